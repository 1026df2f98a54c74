"""Every market-data method of the official SDKs over REST and the WebSocket API, typed."""

from __future__ import annotations

import json
import logging
import re
import urllib.parse
import urllib.request
from collections.abc import Callable
from typing import Any

from compat.calls import Arguments, calls, questions, shown
from compat.programs.official_client import (
    REFUSED,
    REFUSED_REASON,
    client_of,
    known_to,
    library_of,
    methods_of,
    module_of,
    strangers,
)
from compat.trial import REST, WS_API, Outcome, Report, Server, error_text, listed

KEYS_OF_THE_EXCHANGE = {
    "exchange_information": {
        "futuresType",
        "symbols.filters.positionControlSide",
        "symbols.maxMoveOrderLimit",
        "symbols.permissionSets",
    },
    "get_funding_rate_info": {"updateTime"},
    "get_funding_rate_history_of_perpetual_futures": {"markPrice", "rateType"},
}
"""What the exchange sends and the models do not have, by method."""

MAY_BE_EMPTY = {"test_connectivity", "get_funding_rate_info"}


class Warnings(logging.Handler):
    """What the library logs while it parses: an answer it had to bend is a failure here."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.texts: list[str] = []
        logging.getLogger().addHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the text of a record."""
        self.texts.append(record.getMessage())

    def taken(self) -> str:
        """Return the complaints about parsing, and clear them."""
        texts, self.texts = self.texts, []
        return next((text for text in texts if "pars" in text.lower()), "")


def ask_rest(report: Report, server: Server, venue: str, warnings: Warnings) -> None:
    """Try every method of market data over REST, in every variant its signature allows."""
    contracts = listed(server, venue)
    rest = client_of(server, venue).rest_api
    for name, method in methods_of(module_of(venue, "rest_api.api.market_data_api").MarketDataApi):
        known = known_to(name, questions(contracts))
        path = re.search(r"GET (/\S+)", method.__doc__ or "")
        url = f"http://{server.address(venue)}{path[1] if path else '/'}"
        problems, keys = [], set()
        for arguments in calls(method, known, contracts):
            if REFUSED.items() <= arguments.items():
                refused = f"{name}({shown(arguments)})"
                report.add(library_of(venue), venue, REST, refused, REFUSED_REASON, Outcome.DIFFERS)
                continue
            problem, found = _asked(name, getattr(rest, name), url, arguments)
            problem = warnings.taken() or problem
            keys |= found
            if problem:
                problems.append(f"({shown(arguments)}): {problem}")
        reason, outcome = "; ".join(problems), None
        if keys and not problems:
            reason, outcome = f"the models lack {', '.join(sorted(keys))}", Outcome.DIFFERS
        report.add(library_of(venue), venue, REST, name, reason, outcome)


def _asked(
    name: str, method: Callable[..., Any], url: str, arguments: Arguments
) -> tuple[str, set[str]]:
    """Return what is wrong with one answer, and the exchange's own keys that the model lacks."""
    try:
        data = method(**arguments).data()
        raw = _plain_answer(url, arguments)
    except Exception as error:  # noqa: BLE001  # whatever a library raises is a finding
        return error_text(error), set()
    if not raw:
        return ("" if name in MAY_BE_EMPTY else "an empty answer"), set()
    model = type(data[0]) if isinstance(data, list) else type(data)
    found = strangers(model, raw)
    expected = KEYS_OF_THE_EXCHANGE.get(name, set())
    unknown = ", ".join(sorted(found - expected))
    return (f"unknown to {model.__name__}: {unknown}" if unknown else ""), found & expected


def _plain_answer(url: str, arguments: Arguments) -> Any:
    """Return the answer to the same question without the SDK, which drops unknown keys."""
    query = urllib.parse.urlencode({_camel(name): value for name, value in arguments.items()})
    request = urllib.request.Request(f"{url}?{query}", headers={"X-MBX-APIKEY": "any"})  # noqa: S310  # an address of our own
    with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310  # as above
        return json.load(answer)


def _camel(name: str) -> str:
    """Return the name of a parameter as the protocol writes it."""
    first, *others = name.split("_")
    return first + "".join(part.capitalize() for part in others)


async def ask_api(report: Report, server: Server, venue: str) -> None:
    """Try every method of market data over the WebSocket API."""
    contracts = listed(server, venue)
    client = client_of(server, venue)
    connection = await client.websocket_api.create_connection()
    api = module_of(venue, "websocket_api.api.market_data_api").MarketDataApi
    for name, method in methods_of(api):
        problems = []
        for arguments in calls(method, questions(contracts), contracts):
            try:
                answer = await getattr(connection, name)(**arguments)
                data = answer.data()
                problem = "" if hasattr(data, "to_dict") else f"not parsed: {data}"
                problem = problem or ("" if answer.rate_limits else "no rate limits")
            except Exception as error:  # noqa: BLE001  # whatever a library raises is a finding
                problem = error_text(error)
            if problem:
                problems.append(f"({shown(arguments)}): {problem}")
        report.add(library_of(venue), venue, WS_API, name, "; ".join(problems))
    await connection.close_connection(close_session=True)
