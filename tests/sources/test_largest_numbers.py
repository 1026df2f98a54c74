"""Numbers that no market has must not end it, however large they are."""

from __future__ import annotations

from collections import Counter
from typing import Any

import msgspec
import pytest
from stage import BTCUSD_PERP, BTCUSDT, START_MS, open_plant

from tickerplant.events import BookTicker, MarkPrice, Trade
from tickerplant.instrument import LARGEST, Instrument
from tickerplant.messages.message import Message
from tickerplant.plant import Plant
from tickerplant.sources.message_decoder import MessageDecoder

TRADE = {
    "e": "trade",
    "E": START_MS,
    "T": START_MS,
    "s": "BTCUSDT",
    "t": 1,
    "p": "1.00",
    "q": "1.000",
    "X": "MARKET",
    "m": True,
}
AGGREGATE = {
    "e": "aggTrade",
    "E": START_MS,
    "s": "BTCUSDT",
    "a": 1,
    "p": "1.00",
    "q": "1.000",
    "f": 1,
    "l": 1,
    "T": START_MS,
    "m": True,
}
MARK = {
    "e": "markPriceUpdate",
    "E": START_MS,
    "s": "BTCUSDT",
    "p": "1.00000000",
    "i": "1.00000000",
    "P": "1.00000000",
    "r": "0.00010000",
    "T": START_MS + 1_000,
}
HUGE = "1" + "0" * 20
MINUTES_MS = 200_000


def message(stream: str, payload: dict[str, Any]) -> Message:
    reported = Message()
    reported.stream, reported.payload = stream, msgspec.json.encode(payload)
    return reported


class Relayed:
    """A plant whose market is told by messages."""

    def __init__(self, stream: str, instrument: Instrument = BTCUSDT) -> None:
        self.stream = stream
        self.plant: Plant = open_plant((instrument,))
        self.venue = instrument.venue.name
        self.market = self.plant.markets[instrument.symbol]
        self.plant.start_passthrough(self.venue, (stream,))
        self.skipped: Counter[str] = Counter()
        self._reading = MessageDecoder(self.skipped, lambda *_: None)

    def report(self, payload: dict[str, Any]) -> None:
        read = message(self.stream, payload)
        for event in self._reading.events(read, self.plant.venues[self.venue]):
            self.plant.publish(event)

    def go_on(self) -> None:
        self.plant.advance(self.plant.now_ms + MINUTES_MS)


@pytest.mark.parametrize(
    ("stream", "payload", "wrong"),
    [
        *(("trade", TRADE, {"t": trade_id}) for trade_id in (10**30, LARGEST + 1)),
        *(("trade", TRADE, wrong) for wrong in ({"T": 10**30}, {"E": 2**63})),
        *(("aggTrade", AGGREGATE, {key: 10**30}) for key in "al"),
        *(("aggTrade", AGGREGATE, wrong) for wrong in ({"f": 2}, {"f": -1}, {"T": 2**63})),
        ("markPrice@1s", MARK, {"p": "92233720368.55"}),
        *(("markPrice@1s", MARK, {key: HUGE}) for key in "iPr"),
        *(("markPrice@1s", MARK, wrong) for wrong in ({"E": 10**30}, {"T": 2**63})),
    ],
)
def test_ids_times_and_prices_beyond_all_are_left_out(
    stream: str, payload: dict[str, Any], wrong: dict[str, Any]
) -> None:
    relayed = Relayed(f"btcusdt@{stream}")
    relayed.report(payload | wrong)
    assert relayed.skipped == {"unknown form": 1}
    relayed.go_on()
    market = relayed.market
    assert (len(market.trades), len(market.aggregates), market.mark_price) == (0, 0, None)


@pytest.mark.parametrize(
    "wrong",
    [
        {"p": HUGE},
        {"q": HUGE},
        {"p": "100000000.00", "q": "100000000.000"},
        {"p": "0.00"},
        {"p": "-1.00"},
        {"q": "-1.000"},
        {"p": "1." + "0" * 1_000},
    ],
)
def test_a_trade_that_cannot_be_counted_is_left_out(wrong: dict[str, Any]) -> None:
    relayed = Relayed("btcusdt@trade")
    relayed.report(TRADE | wrong)
    assert relayed.market.unreadable == 1
    relayed.go_on()
    assert len(relayed.market.trades) == 0
    assert relayed.market.last_price == 0
    relayed = Relayed("btcusdt@aggTrade")
    relayed.report(AGGREGATE | wrong)
    assert relayed.skipped == {"unknown form": 1}
    relayed.go_on()
    assert len(relayed.market.aggregates) == 0


def test_what_never_was_on_the_book_may_be_without_a_price() -> None:
    relayed = Relayed("btcusdt@trade")
    relayed.report(TRADE | {"X": "NA", "p": "0", "q": "0"})
    assert relayed.market.unreadable == 0


@pytest.mark.parametrize("wrong", [{"p": "0.0"}, {"p": "0.1", "q": str(LARGEST)}])
def test_a_trade_of_coins_that_cannot_be_counted_is_left_out(wrong: dict[str, Any]) -> None:
    relayed = Relayed("btcusd_perp@trade", BTCUSD_PERP)
    trade = TRADE | {"s": "BTCUSD_PERP", "p": "1.0", "q": "1"}
    relayed.report(trade | wrong)
    assert relayed.market.unreadable == 1
    relayed.report(trade)
    relayed.go_on()
    assert len(relayed.market.trades) == 1


def test_a_premium_beyond_all_is_none() -> None:
    relayed = Relayed("btcusdt@markPrice@1s")
    relayed.plant.publish(BookTicker("BTCUSDT", 1, 100_000_000, 1, 100_000_001, 1, START_MS))
    relayed.report(MARK | {"i": "0.00000001"})
    relayed.go_on()
    assert relayed.market.mark_price is not None
    assert relayed.market.premiums.candles.running("1m") is None


def test_the_largest_numbers_are_counted() -> None:
    relayed = Relayed("btcusdt@trade")
    relayed.report(TRADE | {"t": LARGEST, "p": "0.01", "q": f"{LARGEST // 1_000}.000"})
    relayed.go_on()
    assert (relayed.market.unreadable, len(relayed.market.trades)) == (0, 1)


def test_sums_beyond_all_are_the_largest_a_row_can_hold() -> None:
    relayed = Relayed("btcusdt@trade")
    for trade_id in range(200):
        relayed.plant.publish(Trade("BTCUSDT", trade_id, 1, LARGEST, False, START_MS))
    relayed.plant.publish(MarkPrice("BTCUSDT", 2**64, 1, 1, None, 0, START_MS))
    relayed.go_on()
    last = relayed.market.minutes.closed.rows[0].tolist()
    assert (last[5], last[7]) == (2**63 - 1, 200), "volume and count"


def test_aggregates_of_the_largest_trades_can_be_kept() -> None:
    relayed = Relayed("btcusdt@trade")
    for trade_id in range(600):  # more than are packed at once
        relayed.plant.publish(Trade("BTCUSDT", trade_id, 1, LARGEST, False, START_MS))
    relayed.go_on()
    kept = relayed.market.aggregates.latest(1_000)
    assert [each.quantity for each in kept] == [LARGEST] * 600
    relayed.plant.publish(Trade("BTCUSDT", 600, 1, 1, False, START_MS))
    relayed.plant.publish(Trade("BTCUSDT", 601, 1, LARGEST, False, START_MS))
    relayed.go_on()
    assert relayed.market.aggregates.latest(1)[0].quantity == LARGEST + 1
