"""The official npm clients: every market stream and every market-data method they offer."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from compat.channels import EVENTS, SESSIONS
from compat.trial import (
    COINM,
    REST,
    STREAM,
    USDM,
    WS_API,
    Contracts,
    Outcome,
    Report,
    Server,
    listed,
    read_server,
)

SCRIPT = Path(__file__).with_suffix(".mjs")
FOLDER = Path(sys.prefix)
"""Where the packages are: the environment of this program."""
LIBRARIES = {
    USDM: "@binance/derivatives-trading-usds-futures",
    COINM: "@binance/derivatives-trading-coin-futures",
}
TIMEOUT_S = 300.0

LIQUIDATIONS = ["liquidationOrderStreams"]
"""The streams that are subscribed to for every contract, because each has few messages."""
MAY_BE_EMPTY = {"testConnectivity", "getFundingRateInfo"}
DIFFERENT = {
    (
        COINM,
        "topTraderLongShortRatioAccounts",
    ): "the client sends symbol, the documentation has pair"
}
"""Methods that ask for something else than the exchange documents."""
KNOWN_EVENTS = SESSIONS | set(EVENTS.values())


def arguments(contracts: Contracts) -> dict[str, dict[str, Any]]:
    """Return what the methods of each kind are given; each takes those that it knows."""
    names = {"symbol": contracts.perpetual, "pair": contracts.pair}
    lower = {name: text.lower() for name, text in names.items()}
    return {
        REST: {
            **names,
            "interval": "1m",
            "period": "5m",
            "contractType": "PERPETUAL",
            "limit": 5,
            "startTime": contracts.now_ms - 24 * 3_600_000,
            "endTime": contracts.now_ms,
        },
        WS_API: {"symbol": contracts.perpetual},
        STREAM: {**lower, "interval": "1m", "contractType": "perpetual", "levels": 5},
    }


def others(venue: str, contracts: Contracts) -> dict[str, dict[str, Any]]:
    """Return, by method, the arguments that differ from those of the others; null leaves one out."""
    pair = {"symbol": contracts.pair}
    if venue == USDM:
        return {
            "assetIndex": {"symbol": "ADAUSD"},
            "compositeIndexSymbolInformation": {"symbol": contracts.composite},
            "compositeIndexSymbolInformationStreams": {"symbol": contracts.composite.lower()},
            "queryIndexPriceConstituents": pair,
            "rpiOrderBook": {"limit": 1000},
        }
    either = ["indexPriceAndMarkPrice", "symbolOrderBookTicker", "symbolPriceTicker"]
    either += ["ticker24hrPriceChangeStatistics"]
    return {"queryIndexPriceConstituents": pair} | {name: {"pair": None} for name in either}


def problem(kind: str, method: str, found: dict[str, Any]) -> str:
    """Return what is wrong with what a method brought; empty if nothing is."""
    if "error" in found:
        return str(found["error"])
    answer = found["answer"]
    if not answer and method not in MAY_BE_EMPTY:
        return f"an answer without content: {answer!r}"
    if kind == STREAM:
        rows = answer if isinstance(answer, list) else [answer]
        if unknown := {str(row.get("e")) for row in rows} - KNOWN_EVENTS:
            return f"e is {sorted(unknown)}"
    return ""


def try_venue(report: Report, server: Server, venue: str) -> None:
    """Run the client of one venue, and report what each of its methods brought."""
    contracts = listed(server, venue)
    asked = {
        "folder": str(FOLDER),
        "venue": venue,
        "address": server.address(venue),
        "arguments": arguments(contracts),
        "others": others(venue, contracts),
        "symbols": [symbol.lower() for symbol in contracts.symbols],
        "liquidations": LIQUIDATIONS,
        "timeout_s": server.timeout_s,
    }
    done = subprocess.run(  # noqa: S603  # our own words
        [str(FOLDER / "bin" / "node"), str(SCRIPT), json.dumps(asked)],
        stdout=subprocess.PIPE,
        timeout=TIMEOUT_S,
        text=True,
        check=True,
    )
    package = FOLDER / "node_modules" / LIBRARIES[venue] / "package.json"
    version = json.loads(package.read_text(encoding="utf-8"))["version"]
    for line in done.stdout.splitlines():
        if not line.startswith("{"):  # what the client logs
            sys.stderr.write(f"{line}\n")
            continue
        found = json.loads(line)
        kind, method = found["kind"], found["method"]
        reason, outcome = problem(kind, method, found), None
        if reason and (venue, method) in DIFFERENT:
            reason, outcome = DIFFERENT[venue, method], Outcome.DIFFERS
        report.add(LIBRARIES[venue], venue, kind, method, reason, outcome, released=version)


def main() -> None:
    """Try the clients of both venues."""
    server, report = read_server(), Report()
    for venue in LIBRARIES:
        try_venue(report, server, venue)


if __name__ == "__main__":
    main()
