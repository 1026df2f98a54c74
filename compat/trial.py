"""The seam between the runner and a library's program: where the server is, and what was found.

A program is started with a server as JSON in its first argument, and prints one result a line.
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict, dataclass
from enum import StrEnum
from importlib.metadata import version

USDM = "usdm"
COINM = "coinm"
STREAM = "stream"
REST = "REST"
WS_API = "WS API"
REASON_LENGTH = 400
"""The most that is kept of a reason, in characters."""


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
    patience_s: float
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

    What a library itself prints goes to standard error from now on.
    """

    def __init__(self) -> None:
        self._out = os.fdopen(os.dup(1), "w", encoding="utf-8")
        os.dup2(2, 1)

    def tell(
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
        """Print one result; without an outcome it failed if there is a reason.

        `released` is the version of a library that is no package of Python.
        """
        outcome = outcome or (Outcome.FAILED if reason else Outcome.OK)
        reason = " ".join(reason.split())[:REASON_LENGTH]
        released = released or version(library)
        result = Result(library, released, venue, kind, name, outcome, reason)
        print(json.dumps(asdict(result)), file=self._out, flush=True)


def told() -> Server:
    """Return the server named on the command line."""
    return Server(**json.loads(sys.argv[1]))


def said(error: BaseException) -> str:
    """Return what an error says, in one line."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
