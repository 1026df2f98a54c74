"""`tickerplant ask`: one request over the WebSocket API or REST."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, cast
from urllib.parse import parse_qsl

from msgspec import Struct

from tickerplant.client.ask_target import is_path, typed_params
from tickerplant.client.market import connect
from tickerplant.client.rest import full_path
from tickerplant.config.settings import AskSettings
from tickerplant.errors import ConfigError, RequestError, UpstreamError
from tickerplant.output import print_error, print_json, terminal_width
from tickerplant.stdio import FAILED
from tickerplant.streams.spelling import is_inverse
from tickerplant.venue import COINM, USDM, Venue, VenueName, venue_of_address
from tickerplant.watching.arguments import check_text, pairs_in, venue_of_settings

_RESERVED = "timeout_s"
"""The argument of `Market.ask` that is not sent; no request has a parameter of this name."""
_VENUE_PARAMS = ("symbol", "pair")


class Request(Struct, frozen=True):
    """One request to a venue."""

    venue: Venue
    name: str
    """A method of the WebSocket API, or a REST path."""
    params: Mapping[str, object]


def ask(settings: AskSettings, name: str, given: Sequence[str]) -> int:
    """Send one request and print the response; return the exit status."""
    request = parse_request(settings, name, given)
    try:
        response = asyncio.run(_send(settings, request))
    except (RequestError, UpstreamError) as error:
        print_error(str(error))
        return FAILED
    print_json(response, is_compact=settings.json or terminal_width() is None)
    return 0


async def _send(settings: AskSettings, request: Request) -> Any:
    venue = cast("VenueName", request.venue.name)
    async with connect(
        venue,
        base_url=settings.url,
        stream_url=settings.stream_url,
        rest_url=settings.rest_url,
        api_url=settings.api_url,
    ) as market:
        timeout_s = settings.timeout_ms / 1000
        return await market.ask(request.name, timeout_s=timeout_s, **request.params)


def parse_request(settings: AskSettings, name: str, given: Sequence[str]) -> Request:
    """Return the request that the arguments describe.

    Args:
        settings: The settings of the command.
        name: A method of the WebSocket API, or a REST path, perhaps with a query string.
        given: The parameters, as `key=value`.
    """
    check_text("METHOD", name)
    if "://" in name:
        expected = (
            "a method such as ticker.price or a path such as /fapi/v1/depth; --url says where"
        )
        raise ConfigError("METHOD", name, expected)
    path, _, query = name.partition("?")
    in_query = (f"{key}={value}" for key, value in parse_qsl(query, keep_blank_values=True))
    params = dict(pairs_in((*in_query, *given), "a parameter such as symbol=BTCUSDT"))
    if _RESERVED in params:
        raise ConfigError("KEY=VALUE", _RESERVED, "the name of a parameter")
    venue = (
        venue_of_settings(settings)
        or venue_of_address(f"/{path.removeprefix('/')}")
        or _venue_of_params(params)
    )
    if is_path(venue, path):
        return Request(venue, path, params)
    if settings.rest:
        return Request(venue, full_path(path, venue), params)
    return Request(venue, path, typed_params(venue, path, params))


def _venue_of_params(params: Mapping[str, str]) -> Venue:
    return COINM if any(is_inverse(params.get(name, "")) for name in _VENUE_PARAMS) else USDM
