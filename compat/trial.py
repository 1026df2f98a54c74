"""The interface between the runner and the program of a library: the server, what it lists, the results.

A program receives the server as JSON in its first argument and prints one result per line.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
import urllib.request
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from enum import StrEnum
from importlib.metadata import version
from typing import Any

USDM = "usdm"
COINM = "coinm"
STREAM = "stream"
REST = "REST"
WS_API = "WS API"
Call = Callable[[], Awaitable[Any]]
ANSWER_TIMEOUT_S = 60.0
REASON_LENGTH = 400
"""Maximum length of a reason, in characters."""


class Outcome(StrEnum):
    """How one trial ended."""

    OK = "ok"
    FAILED = "failed"
    DIFFERS = "differs from the exchange"
    NOT_OFFERED = "not offered"


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


@dataclass(frozen=True)
class Contracts:
    """Examples of what is listed.

    `rows` are the contracts as exchangeInfo has them, `symbols` their names; `pairs` has one pair per contract type
    that can be asked for by name, such as `{"CURRENT_QUARTER": "BTCUSDT"}`; `now_ms` is the market's time at the
    question.
    """

    perpetual: str
    pair: str
    composite: str
    rows: list[dict[str, Any]]
    symbols: tuple[str, ...]
    pairs: dict[str, str]
    now_ms: int


class Trial:
    """The trial of a library, or of one for each venue: the server, and the results, printed as they are found.

    Results go to `out`; output of the library itself is redirected to standard error.
    """

    def __init__(self, library: str, of_coinm: str = "") -> None:
        self.server = Server(**json.loads(sys.argv[1]))
        self._libraries = {USDM: library, COINM: of_coinm or library}
        self.out = os.fdopen(os.dup(1), "w", encoding="utf-8")
        os.dup2(2, 1)

    def add(
        self, venue: str, kind: str, name: str, reason: str = "", outcome: Outcome | None = None
    ) -> None:
        """Print one result; without an outcome, a reason means that it failed."""
        outcome = outcome or (Outcome.FAILED if reason else Outcome.OK)
        reason = " ".join(reason.split())[:REASON_LENGTH]
        library = self._libraries[venue]
        result = Result(library, version(library), venue, kind, name, outcome, reason)
        print(json.dumps(asdict(result)), file=self.out, flush=True)

    async def ask(
        self, venue: str, kind: str, name: str, call: Call, *, may_be_empty: bool = False
    ) -> None:
        """Print the result of a call, which must bring something in time."""
        wait_s = self.server.timeout_s if kind == STREAM else ANSWER_TIMEOUT_S
        try:
            answer = await asyncio.wait_for(call(), wait_s)
        except TimeoutError:
            problem = "nothing arrived"
        except Exception as error:  # noqa: BLE001  # whatever a library raises is a finding
            problem = error_text(error)
        else:
            is_good = isinstance(answer, dict | list | int) and (answer or may_be_empty)
            problem = "" if is_good else f"an answer without content: {answer!r}"[:200]
        self.add(venue, kind, name, problem)

    def contracts(self, venue: str) -> Contracts:
        """Ask a venue what it lists.

        Raises:
            OSError: the venue does not answer.
        """
        path = "/fapi/v1/exchangeInfo" if venue == USDM else "/dapi/v1/exchangeInfo"
        url = f"http://{self.server.address(venue)}{path}"
        with urllib.request.urlopen(url, timeout=10) as answer:  # an address of our own
            info = json.load(answer)
        rows: list[dict[str, Any]] = info["symbols"]
        pairs: dict[str, str] = {}
        for row in rows:
            pairs.setdefault(row["contractType"], row["pair"])
        indices = [row["symbol"] for row in rows if row["underlyingType"] == "INDEX"]
        return Contracts(
            perpetual="BTCUSDT" if venue == USDM else "BTCUSD_PERP",
            pair="BTCUSDT" if venue == USDM else "BTCUSD",
            composite=indices[0] if indices else "DEFIUSDT",
            rows=rows,
            symbols=tuple(row["symbol"] for row in rows),
            pairs={name: pairs[name] for name in sorted(pairs) if "DELIVERING" not in name},
            now_ms=info["serverTime"],
        )


def error_text(error: BaseException) -> str:
    """Return the text of an error on one line."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def until(condition: Callable[[], bool], timeout_s: float) -> None:
    """Wait until a condition holds, or for as long as the timeout allows."""
    end = time.monotonic() + timeout_s
    while not condition() and time.monotonic() < end:
        time.sleep(0.1)
