from __future__ import annotations

from datetime import UTC, datetime

import pytest

from tickerplant.decode.inference import InstrumentInference, venue_of
from tickerplant.instrument import PERPETUAL_DELIVERY_MS, Instrument
from tickerplant.venue import COINM, USDM, Venue


def ms(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


NOW_MS = ms("2024-08-08")


def drawn(symbol: str, *numbers: tuple[str, str], time_ms: int = NOW_MS) -> Instrument | None:
    observed = InstrumentInference()[symbol]
    for price, quantity in numbers:
        observed.add([price], [quantity])
    return observed.instrument(time_ms)


@pytest.mark.parametrize(
    ("symbol", "venue"),
    [
        ("BTCUSDT", USDM),
        ("BTCUSDT_240927", USDM),
        ("ETHBTC", USDM),
        ("BTCUSD_PERP", COINM),
        ("btcusd_240927", COINM),
    ],
)
def test_the_symbol_determines_the_venue(symbol: str, venue: Venue) -> None:
    assert venue_of(symbol) is venue


def test_numbers_determine_decimals_and_tick() -> None:
    instrument = drawn("BTCUSDT", ("61800.20", "0.006"), ("61800.50", "1.000"))
    assert instrument is not None
    assert (instrument.price.decimals, instrument.quantity.decimals) == (2, 3)
    assert instrument.tick_size == 10, "every price seen is a multiple of 0.10"
    assert instrument.step_size == 2, "every quantity seen is a multiple of 0.002"
    assert instrument.min_price <= 6180020 <= instrument.max_price


def test_a_coin_margined_perpetual_is_inferred_completely() -> None:
    instrument = drawn("BTCUSD_PERP", ("61804.7", "35"), ("61804.8", "1"))
    assert instrument is not None
    assert (instrument.pair, instrument.contract_type) == ("BTCUSD", "PERPETUAL")
    assert (instrument.base_asset, instrument.quote_asset) == ("BTC", "USD")
    assert instrument.margin_asset == "BTC"
    assert instrument.contract_size == 100
    assert instrument.delivery_date_ms == PERPETUAL_DELIVERY_MS
    assert instrument.quantity.decimals == 0


@pytest.mark.parametrize(
    ("symbol", "now", "contract_type", "delivery"),
    [
        ("BTCUSDT_240927", "2024-08-08", "CURRENT_QUARTER", "2024-09-27T08:00"),
        ("BTCUSDT_241227", "2024-08-08", "NEXT_QUARTER", "2024-12-27T08:00"),
        ("BTCUSD_241227", "2024-09-27T08:00", "CURRENT_QUARTER", "2024-12-27T08:00"),
        ("BTCUSD_250328", "2024-12-30", "CURRENT_QUARTER", "2025-03-28T08:00"),
    ],
)
def test_a_dated_contract_has_its_delivery_and_its_quarter(
    symbol: str, now: str, contract_type: str, delivery: str
) -> None:
    instrument = drawn(symbol, ("1.0", "1"), time_ms=ms(now))
    assert instrument is not None
    assert instrument.contract_type == contract_type
    assert instrument.delivery_date_ms == ms(delivery)
    assert instrument.pair == symbol.partition("_")[0]


@pytest.mark.parametrize("symbol", ["BTCUSDT_999999", "X"])
def test_insufficient_numbers_determine_no_instrument(symbol: str) -> None:
    numbers = [("1.0", "1")] if "_" in symbol else []
    assert drawn(symbol, *numbers) is None


def test_numbers_are_observed_in_every_kind_of_message_that_has_them() -> None:
    inference = InstrumentInference()
    levels = b'"b":[["1.5","2"]],"a":[]'
    for stream, payload in (
        (
            "a@trade",
            b'{"s":"A","E":1,"T":1,"t":1,"p":"1.5","q":"2","m":true}',
        ),
        (
            "b@aggTrade",
            b'{"s":"B","E":1,"T":1,"a":1,"p":"1.5","q":"2","f":1,"l":1,"m":true}',
        ),
        ("c@bookTicker", b'{"s":"C","u":1,"b":"1.5","B":"2","a":"1.5","A":"2"}'),
        ("d@depth20@100ms", b'{"s":"D","E":1,"T":1,"U":1,"u":1,"pu":1,%b}' % levels),
        ("e@kline_1m", b'{"s":"E","k":{"s":"E","c":"1.5","v":"2"}}'),
        ("f@trade", b'{"s":"F"}'),
    ):
        inference.observe(stream, payload)
    found = {name: numbers.instrument(NOW_MS) for name, numbers in inference.items()}
    assert sorted(found) == ["A", "B", "C", "D", "E"], "messages in other forms are ignored"
    assert all(each and each.price.decimals == 1 for each in found.values())


@pytest.mark.parametrize(
    "payload",
    [b"{}", b'{"k":1}', b'{"k":{}}', b"[]", b"nothing", b'{"e":"\xff"}', b"[" * 5_000],
)
@pytest.mark.parametrize("kind", ["kline_1m", "trade", "aggTrade", "bookTicker", "depth@100ms"])
def test_messages_in_unknown_forms_are_ignored(kind: str, payload: bytes) -> None:
    inference = InstrumentInference()
    inference.observe(f"btcusdt@{kind}", payload)
    assert [numbers.instrument(NOW_MS) for numbers in inference.values()] in ([], [None])
