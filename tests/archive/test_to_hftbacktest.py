"""The example that converts a recording to the events of hftbacktest, against a plain model."""

from __future__ import annotations

import json
import runpy
import sys
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pytest

EXCHANGE, LOCAL, BUY, SELL = 1 << 31, 1 << 30, 1 << 29, 1 << 28
DEPTH, TRADE, CLEAR, SNAPSHOT = 1, 2, 3, 4
EXAMPLE = Path(__file__).parents[2] / "examples" / "to_hftbacktest.py"
NOON_MS = 1_763_726_400_000
Event: TypeAlias = tuple[int, int, int, float, float]
"""Kind and side, exchange time, local time, price, quantity."""


def in_both_orders(events: list[Event]) -> list[Event]:
    """What hftbacktest makes of events: both orders, merged step by step."""
    shift = max(0, *(exch - local for _, exch, local, _, _ in events))
    by_exchange = sorted(events, key=lambda event: event[1])
    by_local = sorted(events, key=lambda event: event[2])
    rows: list[tuple[Event, int]] = []
    while by_exchange or by_local:
        first, other = by_exchange[:1], by_local[:1]
        if first and first[0][1:3] == other[0][1:3]:
            rows.append((by_exchange.pop(0), LOCAL | EXCHANGE))
            by_local.pop(0)
        elif first and first[0][1:3] < other[0][1:3]:
            rows.append((by_exchange.pop(0), EXCHANGE))
        else:
            rows.append((by_local.pop(0), LOCAL))
    return [
        (kind | flags, exch, local + shift, price, size)
        for (kind, exch, local, price, size), flags in rows
    ]


@pytest.mark.heavy
@pytest.mark.parametrize("behind_ms", [0, 40], ids=["clock right", "clock behind"])
def test_the_example_writes_the_events_of_hftbacktest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, behind_ms: int
) -> None:
    lines, events = [], list[Event]()

    def receive(at_ms: int, exch_ms: int, text: str, *levels: tuple[int, float, float]) -> None:
        local_ns, exch_ns = (NOON_MS + at_ms - behind_ms) * 10**6, (NOON_MS + exch_ms) * 10**6
        address, _, body = text.rpartition("|")
        at = f"{local_ns // 10**9}.{local_ns % 10**9:09d}"
        lines.append(f"{address} -> {at}: {body}" if address else f"{at}: {body}")
        events.extend((kind, exch_ns, local_ns, price, size) for kind, price, size in levels)

    def depth(at_ms: int, exch_ms: int, bids: Any = (), asks: Any = (), name: str = "@0ms") -> None:
        times = {"E": NOON_MS + exch_ms, "T": NOON_MS + exch_ms}
        data = {"e": "depthUpdate", **times, "s": "BTCUSDT", "U": 5, "u": 5, "pu": 4}
        message = {"stream": f"btcusdt@depth{name}", "data": {**data, "b": bids, "a": asks}}
        sides = ((DEPTH | BUY, bids), (DEPTH | SELL, asks)) if name == "@0ms" else ()
        levels = [(kind, float(price), float(size)) for kind, side in sides for price, size in side]
        receive(at_ms, exch_ms, json.dumps(message), *levels)

    def trade(at_ms: int, exch_ms: int, is_sold: bool, origin: str = "MARKET") -> None:
        data = {"e": "trade", "E": NOON_MS + exch_ms, "T": NOON_MS + exch_ms, "s": "BTCUSDT"}
        data |= {"t": 7, "p": "100.5", "q": "0.100", "X": origin, "m": is_sold}
        event = (TRADE | (SELL if is_sold else BUY), 100.5, 0.1)
        message = json.dumps({"stream": "btcusdt@trade", "data": data})
        receive(at_ms, exch_ms, message, *([event] if origin == "MARKET" else []))

    depth(10, 1, [["99", "1"], ["98", "0"]], [["101", "2.5"]])
    depth(11, 2, [["1", "1"]], name="5@100ms")  # a partial book
    depth(12, 3)
    trade(13, 9, is_sold=False)
    trade(14, 9, is_sold=True, origin="INSURANCE_FUND")
    depth(15, 5, [["97", "3"]])  # seen by the exchange before the trade
    book: dict[str, Any] = {"lastUpdateId": 5, "E": NOON_MS + 6, "T": NOON_MS + 6}
    book |= {"bids": [["99", "1"], ["97", "3"]], "asks": [["101", "2"], ["104", "4"]]}
    address = "http://127.0.0.1:9001/fapi/v1/depth?symbol=BTCUSDT&limit=1000"
    levels = [(CLEAR | BUY, 97.0, 0.0), (SNAPSHOT | BUY, 99.0, 1.0), (SNAPSHOT | BUY, 97.0, 3.0)]
    levels += [(CLEAR | SELL, 104.0, 0.0), (SNAPSHOT | SELL, 101.0, 2.0)]
    receive(16, 6, f"{address}|{json.dumps(book)}", *levels, (SNAPSHOT | SELL, 104.0, 4.0))
    trade(17, 9, is_sold=True)
    depth(18, 8, [["99", "0"]])
    (tmp_path / "tape").write_text("".join(f"{line}\n" for line in lines))

    arguments = [str(EXAMPLE), str(tmp_path / "tape"), "BTCUSDT", str(tmp_path / "out.npz")]
    monkeypatch.setattr(sys, "argv", arguments)
    runpy.run_path(str(EXAMPLE), run_name="__main__")
    with np.load(tmp_path / "out.npz") as archive:
        data = archive["data"]
    assert "|".join(data.dtype.names) == "ev|exch_ts|local_ts|px|qty|order_id|ival|fval"
    made = [tuple(row)[:5] for row in data.tolist()]
    assert made == in_both_orders(events)
