"""The contracts a venue lists, as far as the programs need examples of them."""

from __future__ import annotations

import json
import urllib.request
from dataclasses import dataclass
from typing import Any

from compat.trial import USDM, Server


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
