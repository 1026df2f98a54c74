"""The interface between the runner and the program of a library: the server, what it lists, the results.

A program receives the server as JSON in its first argument and prints one result per line.
"""

from __future__ import annotations

import json
import os
import sys
import urllib.request
from dataclasses import asdict, dataclass
from enum import StrEnum
from importlib.metadata import version
from typing import Any

USDM = "usdm"
COINM = "coinm"
STREAM = "stream"
REST = "REST"
WS_API = "WS API"
REASON_LENGTH = 400
"""Maximum length of a reason, in characters."""


class Outcome(StrEnum):
    """How one trial ended."""

    OK = "ok"
    FAILED = "failed"
    DIFFERS = "differs from the exchange"
    NOT_OFFERED = "not offered"
    ELSEWHERE = "cannot be pointed here"


@dataclass(frozen=True)
class Server:
    """The server a program is pointed at: `host:port` of each venue, and how long to wait.

    `certificate` is the file of the certificate to trust; without one the server has no TLS.
    """

    profile: str
    usdm: str
    coinm: str
    timeout_s: float
    certificate: str = ""

    def address(self, venue: str) -> str:
        """Return `host:port` of a venue."""
        return self.usdm if venue == USDM else self.coinm


@dataclass(frozen=True)
class Result:
    """One trial of one method or stream of a library."""

    library: str
    version: str
    venue: str
    kind: str
    name: str
    outcome: Outcome
    reason: str = ""


class Report:
    """The results of one program, printed as they are found.

    Output of the library itself is redirected to standard error.
    """

    def __init__(self) -> None:
        self._out = os.fdopen(os.dup(1), "w", encoding="utf-8")
        os.dup2(2, 1)

    def add(
        self,
        library: str,
        venue: str,
        kind: str,
        name: str,
        reason: str = "",
        outcome: Outcome | None = None,
        *,
        released: str = "",
    ) -> None:
        """Print one result; without an outcome, a reason means that it failed.

        `released` is the version of a library that is not a Python package.
        """
        outcome = outcome or (Outcome.FAILED if reason else Outcome.OK)
        reason = " ".join(reason.split())[:REASON_LENGTH]
        released = released or version(library)
        result = Result(library, released, venue, kind, name, outcome, reason)
        print(json.dumps(asdict(result)), file=self._out, flush=True)


def read_server() -> Server:
    """Return the server given on the command line."""
    return Server(**json.loads(sys.argv[1]))


def error_text(error: BaseException) -> str:
    """Return the text of an error on one line."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


@dataclass(frozen=True)
class Contracts:
    """Examples of what is listed.

    `symbols` are all that are traded; `pairs` has one pair per contract type that can be asked for by name, such as
    `{"CURRENT_QUARTER": "BTCUSDT"}`; `now_ms` is the market's time at the question.
    """

    perpetual: str
    pair: str
    composite: str
    symbols: tuple[str, ...]
    pairs: dict[str, str]
    now_ms: int


def listed(server: Server, venue: str) -> Contracts:
    """Ask a venue what it lists.

    Raises:
        OSError: the venue does not answer.
    """
    path = "/fapi/v1/exchangeInfo" if venue == USDM else "/dapi/v1/exchangeInfo"
    with urllib.request.urlopen(
        f"http://{server.address(venue)}{path}", timeout=10
    ) as answer:  # an address of our own
        info = json.load(answer)
    symbols: list[dict[str, Any]] = info["symbols"]
    pairs: dict[str, str] = {}
    for row in symbols:
        pairs.setdefault(row["contractType"], row["pair"])
    indices = [row["symbol"] for row in symbols if row["underlyingType"] == "INDEX"]
    return Contracts(
        perpetual="BTCUSDT" if venue == USDM else "BTCUSD_PERP",
        pair="BTCUSDT" if venue == USDM else "BTCUSD",
        composite=indices[0] if indices else "DEFIUSDT",
        symbols=tuple(row["symbol"] for row in symbols),
        pairs={name: pairs[name] for name in sorted(pairs) if "DELIVERING" not in name},
        now_ms=info["serverTime"],
    )
