"""`tickerplant ask`: one question, over the WebSocket API or over REST."""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import parse_qsl

import click
import msgspec
from msgspec import Struct

from tickerplant.client.market import MarketClient, connect
from tickerplant.client.rest import whole_path
from tickerplant.client.server_info import is_unknown_path, other_venue_served, wrong_venue_text
from tickerplant.config.settings import AskSettings
from tickerplant.errors import ConfigError, RequestError, UpstreamError
from tickerplant.formatting import printable
from tickerplant.queries import find_method, find_path
from tickerplant.queries.param import INTEGER, Param
from tickerplant.stdio import FAILED
from tickerplant.streams.spelling import is_inverse
from tickerplant.venue import COINM, USDM, VENUES, Venue
from tickerplant.watching.places import check_text, venue_named, venue_of_url
from tickerplant.watching.printing import shown_json

_OUR_NAMES = frozenset({"self", "method", "path", "timeout_s"})
"""Names that no question has for a parameter, and the client has for its own."""
_INTEGER = re.compile(r"-?[0-9]{1,18}", re.ASCII)
_TRUTHS = {"true": True, "false": False}
_VENUE_PARAMS = ("symbol", "pair")


class Question(Struct, frozen=True):
    """What is asked of whom, and how."""

    venue: Venue
    name: str
    """A method of the WebSocket API, or a path of REST."""
    is_rest: bool
    params: Mapping[str, object]


def ask(settings: AskSettings, name: str, given: Sequence[str]) -> int:
    """Ask a question and print the answer; return the exit status.

    Raises:
        ConfigError: what is given is no question.
    """
    question = read_question(settings, name, given)
    try:
        answer = asyncio.run(_answer(settings, question))
    except (RequestError, UpstreamError) as error:
        click.echo(printable(f"tickerplant: {error}"), err=True)
        return FAILED
    text = msgspec.json.encode(answer)
    # As bytes: JSON is UTF-8 whatever the terminal is.
    is_read_by_people = sys.stdout is not None and sys.stdout.isatty()
    click.echo(shown_json(msgspec.json.format(text)) if is_read_by_people else text)
    return 0


async def _answer(settings: AskSettings, question: Question) -> Any:
    async with connect(question.venue.name, base_url=settings.url) as market:
        asked = market.get if question.is_rest else market.ask
        timeout_s = settings.timeout_ms / 1000
        try:
            return await asked(question.name, timeout_s, **question.params)
        except (RequestError, UpstreamError) as error:
            await _say_whose_it_is(market, error)
            raise


async def _say_whose_it_is(market: MarketClient, error: RequestError | UpstreamError) -> None:
    """Say that a server serves the other venue, if that is why it does not know the path."""
    if is_unknown_path(error) and (other := await other_venue_served(market.hosts, market.budget)):
        click.echo(f"tickerplant: {wrong_venue_text(market.hosts, other)}", err=True)


def read_question(settings: AskSettings, name: str, given: Sequence[str]) -> Question:
    """Return what is to be asked.

    Args:
        settings: Where, of whom, and whether over REST in any case.
        name: A method of the WebSocket API, or a path of REST, which may have its parameters.
        given: The parameters, as `key=value`.

    Raises:
        ConfigError: it is no question.
    """
    check_text("METHOD", name)
    if "://" in name:
        expected = (
            "a method such as ticker.price or a path such as /fapi/v1/depth; --url says where"
        )
        raise ConfigError("METHOD", name, expected)
    path, _, query = name.partition("?")
    params = _params([*parse_qsl(query, keep_blank_values=True), *map(_pair, given)])
    venue = (
        venue_named(settings.venue)
        or venue_of_url(settings.url)
        or _venue_of_path(path)
        or _venue_of_params(params)
    )
    if settings.rest or _is_path(venue, path):
        return Question(venue, path, is_rest=True, params=params)
    return Question(venue, path, is_rest=False, params=_typed(venue, path, params))


def _pair(text: str) -> tuple[str, str]:
    check_text("key=value", text)
    key, sign, value = text.partition("=")
    if not key or not sign:
        raise ConfigError("key=value", text, "a parameter such as symbol=BTCUSDT")
    return key, value


def _params(pairs: Sequence[tuple[str, str]]) -> dict[str, str]:
    params: dict[str, str] = {}
    for key, value in pairs:
        if key in params:
            raise ConfigError("key=value", f"{key}={value}", f"{key} once")
        if key in _OUR_NAMES:
            raise ConfigError("key=value", f"{key}={value}", "the name of a parameter")
        params[key] = value
    return params


def _venue_of_path(path: str) -> Venue | None:
    prefixes = {venue.rest_prefix[1:]: venue for venue in VENUES}
    return prefixes.get(path.removeprefix("/").partition("/")[0])


def _venue_of_params(params: Mapping[str, str]) -> Venue:
    return COINM if any(is_inverse(params.get(name, "")) for name in _VENUE_PARAMS) else USDM


def _is_path(venue: Venue, name: str) -> bool:
    """Whether `name` is a path of REST, and no method of the WebSocket API."""
    if "/" in name:
        return True
    is_method = find_method(venue, name) is not None
    return not is_method and find_path(venue, whole_path(name, venue)) is not None


def _typed(venue: Venue, method: str, params: Mapping[str, str]) -> dict[str, object]:
    """Return parameters as the WebSocket API has them: those that take integers as JSON numbers."""
    query = find_method(venue, method)
    numeric = {param.name for param in query.params if _is_integer(param)} if query else set()
    return {name: _value(text) if name in numeric else text for name, text in params.items()}


class _NoMarkets:
    """Refuses to be looked at: what reads an integer needs no markets."""

    def __getattr__(self, name: str) -> Any:
        raise RequestError(0, f"no integer depends on {name}")


_NO_MARKETS: Any = _NoMarkets()


def _is_integer(param: Param) -> bool:
    """Whether a parameter takes integers: what is none is refused as such."""
    try:
        param.read(_NO_MARKETS, param.name, "x")
    except RequestError as error:
        return INTEGER in error.message
    return False


def _value(text: str) -> object:
    if _INTEGER.fullmatch(text):
        return int(text)
    return _TRUTHS.get(text, text)
