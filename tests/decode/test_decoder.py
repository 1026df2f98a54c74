from __future__ import annotations

import json

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tickerplant.decode.decoder import Decoder
from tickerplant.decode.inference import InstrumentInference
from tickerplant.errors import DecodeError
from tickerplant.events import (
    AggregateTrade,
    AssetIndex,
    BookSnapshot,
    BookTicker,
    CompositeIndex,
    CompositePart,
    DepthUpdate,
    Liquidation,
    MarkPrice,
    Trade,
)
from tickerplant.instrument import Instrument, Scale, decimal_text
from tickerplant.raw_events import RawDepth, RawQuote, RawTrade

TRADE = (
    b'{"e":"trade","E":1723161256322,"T":1723161256321,"s":"BTCUSDT","t":5266583935,'
    b'"p":"61800.30","q":"0.006","X":"MARKET","m":false}'
)
AGGREGATE = (
    b'{"e":"aggTrade","E":1790526539075,"a":3,"s":"BTCUSDT","p":"84551.00","q":"0.250",'
    b'"nq":"0.200","f":7,"l":9,"T":1790526538960,"m":true,"st":1}'
)
TICKER = (
    b'{"e":"bookTicker","u":51,"s":"BTCUSDT","b":"61800.20","B":"2.507","a":"61800.30",'
    b'"A":"2.510","T":1723161256313,"E":1723161256314}'
)
COINM_TICKER = (
    b'{"u":99,"e":"bookTicker","s":"BTCUSD_PERP","ps":"BTCUSD","b":"61804.7","B":"35",'
    b'"a":"61804.8","A":"1645","T":1723161257465,"E":1723161257476}'
)
DEPTH = (
    b'{"e":"depthUpdate","E":1723161256299,"T":1723161256298,"s":"BTCUSDT","U":11,"u":15,'
    b'"pu":10,"b":[["58710.20","0.014"],["61510.90","0.000"]],"a":[]}'
)
MARK = (
    b'{"e":"markPriceUpdate","E":1680652701000,"s":"BTCUSDT","p":"28144.50000000",'
    b'"P":"28132.64213171","i":"28155.21900000","r":"-0.00003271","T":1680652800000}'
)
FORCED = (
    b'{"e":"forceOrder","E":1723161257300,"o":{"s":"BTCUSDT","S":"SELL","o":"LIMIT","f":"IOC",'
    b'"q":"0.014","p":"61500.00","ap":"61799.95","X":"FILLED","l":"0.009","z":"0.014",'
    b'"T":1723161256321}}'
)
COMPOSITE = (
    b'{"e":"compositeIndex","E":1723161256000,"s":"BTCUSDT","p":"812.40512345","C":"baseAsset",'
    b'"c":[{"b":"AAVE","q":"USDT","w":"0.58000001","W":"0.25000000","i":"270.50000000"}]}'
)
ASSET = (
    b'{"e":"assetIndexUpdate","E":1723161256000,"s":"ADAUSD","i":"0.50000000","b":"0.10000000",'
    b'"a":"0.20000000","B":"0.45000000","A":"0.60000000","q":"0.05000000","g":"0.06000000",'
    b'"Q":"0.47500000","G":"0.53000000"}'
)
TICKER_24H = b'{"e":"24hrTicker","E":1723161256314,"s":"BTCUSDT","o":"61800.30"}'
KLINE = (
    b'{"e":"kline","E":1790526539075,"s":"BTCUSDT","k":{"t":1,"T":2,"s":"BTCUSDT","i":"1m",'
    b'"f":1,"L":2,"o":"1.00","c":"84551.00","h":"1.00","l":"1.00","v":"35.420","n":2,"x":false,'
    b'"q":"1","V":"1","Q":"1","B":"0"}}'
)
ANSWER = (
    b'{"lastUpdateId":14,"E":1723161256300,"T":1723161256290,'
    b'"bids":[["61800.20","2.507"]],"asks":[["61800.30","2.510"]]}'
)


def drawn(*payloads: tuple[str, bytes]) -> dict[str, Instrument]:
    inference = InstrumentInference()
    for stream, payload in payloads:
        inference.observe(stream, payload)
    found = {name: numbers.instrument(1_723_161_256_000) for name, numbers in inference.items()}
    return {name: instrument for name, instrument in found.items() if instrument}


BOTH = drawn(("btcusdt@bookTicker", TICKER), ("btcusd_perp@bookTicker", COINM_TICKER))


def in_units(event: object, instruments: dict[str, Instrument]) -> object:
    """Return an event in units, converted if its numbers are text."""
    if isinstance(event, RawQuote | RawDepth | RawTrade):
        return event.event(instruments[event.symbol])
    return event


def wrapped(stream: str, payload: bytes) -> bytes:
    return b'{"stream":"%b","data":%b}' % (stream.encode(), payload)


@pytest.mark.parametrize(
    ("stream", "payload", "time_ms", "event"),
    [
        (
            "btcusdt@trade",
            TRADE,
            1723161256322,
            Trade("BTCUSDT", 5266583935, 6180030, 6, False, 1723161256321),
        ),
        (
            "btcusdt@aggTrade",
            AGGREGATE,
            1790526539075,
            AggregateTrade("BTCUSDT", 3, 8455100, 250, 200, 7, 9, 1790526538960, True),
        ),
        (
            "btcusdt@bookTicker",
            TICKER,
            1723161256314,
            BookTicker("BTCUSDT", 51, 6180020, 2507, 6180030, 2510, 1723161256313),
        ),
        (
            "!bookTicker",
            COINM_TICKER,
            1723161257476,
            BookTicker("BTCUSD_PERP", 99, 618047, 35, 618048, 1645, 1723161257465),
        ),
        (
            "btcusdt@depth@0ms",
            DEPTH,
            1723161256299,
            DepthUpdate("BTCUSDT", 11, 15, 10, [(5871020, 14), (6151090, 0)], [], 1723161256298),
        ),
        (
            "btcusdt@markPrice@1s",
            MARK,
            1680652701000,
            MarkPrice(
                "BTCUSDT",
                2814450000000,
                2815521900000,
                2813264213171,
                -3271,
                1680652800000,
                1680652701000,
            ),
        ),
        (
            "!forceOrder@arr",
            FORCED,
            1723161257300,
            Liquidation("BTCUSDT", "SELL", 14, 6150000, 6179995, "FILLED", 9, 14, 1723161256321),
        ),
        (
            "btcusdt@compositeIndex",
            COMPOSITE,
            1723161256000,
            CompositeIndex(
                "BTCUSDT",
                81240512345,
                (CompositePart("AAVE", "USDT", 58000001, 25000000, 27050000000),),
                1723161256000,
            ),
        ),
        (
            "adausd@assetIndex",
            ASSET,
            1723161256000,
            AssetIndex(
                "ADAUSD",
                50000000,
                10000000,
                20000000,
                45000000,
                60000000,
                5000000,
                6000000,
                47500000,
                53000000,
                1723161256000,
            ),
        ),
    ],
)
def test_a_message_is_its_stream_its_exact_payload_and_its_event(
    stream: str, payload: bytes, time_ms: int, event: object
) -> None:
    decoder = Decoder(BOTH)
    for _ in range(2):  # a stream met for the first time takes another way than a known one
        *head, (decoded,) = decoder.decode(wrapped(stream, payload))
        assert head == [stream, payload, time_ms]
        assert in_units(decoded, BOTH) == event


@pytest.mark.parametrize(
    ("payload", "stream"),
    [
        (TRADE, "btcusdt@trade"),
        (AGGREGATE, "btcusdt@aggTrade"),
        (TICKER, "btcusdt@bookTicker"),
        (COINM_TICKER, "btcusd_perp@bookTicker"),
        (DEPTH, "btcusdt@depth"),
        (MARK, "btcusdt@markPrice"),
        (KLINE, "btcusdt@kline_1m"),
        (TICKER_24H, "btcusdt@ticker"),
        (FORCED, "btcusdt@forceOrder"),
        (COMPOSITE, "btcusdt@compositeIndex"),
        (ASSET, "adausd@assetIndex"),
        (b"[%b]" % ASSET, "!assetIndex@arr"),
        (b"[%b]" % MARK, "!markPrice@arr"),
    ],
)
def test_the_stream_of_a_bare_payload_follows_from_it(payload: bytes, stream: str) -> None:
    decoded = Decoder(BOTH).decode(payload)
    assert decoded[0] == stream
    assert decoded[1] == payload


def test_an_envelope_in_another_order_or_with_spaces_is_understood() -> None:
    raw = b'{ "data": %b , "stream" : "btcusdt@trade" }' % TRADE
    stream, payload, _, events = Decoder(BOTH).decode(raw)
    assert (stream, payload) == ("btcusdt@trade", TRADE), "the payload is the exact slice"
    assert len(events) == 1


def test_fields_of_other_years_are_passed_over_or_made_up_for() -> None:
    old = TRADE.replace(b'"X":"MARKET",', b"")
    new = TRADE.replace(b'"m":false', b'"m":false,"st":1,"new":{"a":[1,2]}')
    decoder = Decoder(BOTH)
    events = {decoder.decode(wrapped("btcusdt@trade", each))[3] for each in (TRADE, old, new)}
    assert len(events) == 1, "the trade is the same in every year"


@pytest.mark.parametrize(
    ("stream", "payload", "why"),
    [
        ("ethusdt@trade", TRADE.replace(b"BTC", b"ETH"), "unknown symbol"),
        ("btcusdt@aggTrade", AGGREGATE.replace(b"84551.00", b"84551.005"), "more decimals"),
        ("btcusdt@trade", b'{"e":"trade","E":7}', "unknown form"),
    ],
)
def test_what_cannot_be_applied_is_passed_on_all_the_same_and_counted(
    stream: str, payload: bytes, why: str
) -> None:
    decoder = Decoder(BOTH)
    time_ms = json.loads(payload)["E"]
    assert decoder.decode(wrapped(stream, payload)) == (stream, payload, time_ms, ())
    assert [(why in kind, count) for kind, count in decoder.unapplied.items()] == [(True, 1)]


def test_a_stream_nobody_knows_is_passed_on_with_its_time() -> None:
    payload = b'{"e":"somethingNew","E":1790526539075,"x":{"y":[1]}}'
    assert Decoder(BOTH).decode(wrapped("btcusdt@somethingNew", payload)) == (
        "btcusdt@somethingNew",
        payload,
        1790526539075,
        (),
    )


def test_partial_depth_has_no_events() -> None:
    decoded = Decoder(BOTH).decode(wrapped("btcusdt@depth20@100ms", DEPTH))
    assert decoded == ("btcusdt@depth20@100ms", DEPTH, 1723161256299, ())


def test_a_stream_that_is_not_applied_is_passed_on_without_events() -> None:
    decoder = Decoder(BOTH, applied=lambda stream: not stream.endswith("@500ms"))
    assert decoder.decode(wrapped("btcusdt@depth@500ms", DEPTH))[3] == ()
    assert len(decoder.decode(wrapped("btcusdt@depth@0ms", DEPTH))[3]) == 1


def test_an_array_of_mark_prices_is_an_event_for_each_known_symbol() -> None:
    others = [MARK.replace(b"BTCUSDT", symbol) for symbol in (b"NOUSDT", b"BTCUSD_PERP")]
    payload = b"[%b]" % b",".join([MARK, *others])
    _, _, time_ms, events = Decoder(BOTH).decode(wrapped("!markPrice@arr@1s", payload))
    assert time_ms == 1680652701000
    assert [event.symbol for event in events] == ["BTCUSDT", "BTCUSD_PERP"]


@pytest.mark.parametrize("rate", [b"", b"0.00000000"])
def test_a_contract_without_funding_has_no_rate(rate: bytes) -> None:
    mark = MARK.replace(b"-0.00003271", rate).replace(b'"T":1680652800000', b'"T":0')
    (event,) = Decoder(BOTH).decode(wrapped("btcusdt@markPrice", mark))[3]
    assert isinstance(event, MarkPrice)
    assert event.funding_rate is None


SNAPSHOT = BookSnapshot("BTCUSDT", 14, [(6180020, 2507)], [(6180030, 2510)], 1723161256290)


@pytest.mark.parametrize(
    ("raw", "only_symbol"),
    [
        (ANSWER, "BTCUSDT"),
        (b"https://fapi.binance.com/fapi/v1/depth?symbol=BTCUSDT&limit=1000 " + ANSWER, ""),
        (ANSWER.replace(b"{", b'{"symbol":"BTCUSDT","pair":"BTCUSDT",', 1), ""),
    ],
)
def test_a_depth_response_is_a_snapshot_of_the_requested_symbol(
    raw: bytes, only_symbol: str
) -> None:
    stream, _, time_ms, events = Decoder(BOTH, only_symbol=only_symbol).decode(raw)
    assert (stream, time_ms, events) == ("", 1723161256300, (SNAPSHOT,))


def test_the_book_with_rpi_orders_is_not_a_snapshot_of_the_book() -> None:
    raw = b"https://fapi.binance.com/fapi/v1/rpiDepth?symbol=BTCUSDT&limit=1000 " + ANSWER
    assert Decoder(BOTH, only_symbol="BTCUSDT").decode(raw)[3] == ()


def test_a_depth_response_of_an_unknown_symbol_is_counted() -> None:
    decoder = Decoder(BOTH)
    assert decoder.decode(ANSWER)[3] == ()
    assert decoder.unapplied == {"snapshot of an unknown symbol": 1}


@pytest.mark.parametrize(
    "raw",
    [b'{"result":null,"id":1}', b'{"error":{"code":2,"msg":"x"},"id":"a"}', b"https://x {}"],
)
def test_responses_to_control_messages_have_no_stream(raw: bytes) -> None:
    decoder = Decoder(BOTH)
    assert decoder.decode(raw)[0] == ""
    assert decoder.unapplied == {"answers": 1}


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{",
        b"null",
        b"{}",
        b"[]",
        b"[1]",
        wrapped("btcusdt@trade", TRADE)[:-9],
        wrapped("btcusdt@trade", TRADE) + b"}",
        b'{"stream":"btcusdt@trade","data":}',
        b'{"e":"somethingNew","E":1}',
        b'{"lastUpdateId":"x"}',
        b"\xff\xfe",
    ],
)
def test_other_messages_are_refused(raw: bytes) -> None:
    with pytest.raises(DecodeError):
        Decoder(BOTH).decode(raw)


@given(st.binary(max_size=60), st.sampled_from([b"", b'{"stream":"', b'{"e":"trade",', b"["]))
@settings(max_examples=100)
def test_invalid_bytes_raise_only_decode_errors(noise: bytes, head: bytes) -> None:
    decoder = Decoder(BOTH)
    try:
        stream, payload, time_ms, events = decoder.decode(head + noise)
    except DecodeError:
        return
    assert msgspec.json.decode(payload) is not None
    assert (type(stream), type(time_ms), type(events)) == (str, int, tuple)


@pytest.mark.heavy
@given(
    st.lists(st.tuples(st.integers(1, 10**9), st.integers(0, 10**9)), max_size=30),
    st.text(alphabet="ABCDEFGHIJ0123456789", min_size=1, max_size=8),
)
@settings(max_examples=100)
def test_levels_make_a_round_trip_through_text(levels: list[tuple[int, int]], base: str) -> None:
    symbol = f"{base}USDT"
    texts = [[decimal_text(price, 4), decimal_text(quantity, 2)] for price, quantity in levels]
    known = drawn((f"{symbol.lower()}@bookTicker", TICKER.replace(b"BTCUSDT", symbol.encode())))
    instrument = msgspec.structs.replace(known[symbol], price=Scale(4), quantity=Scale(2))
    payload = json.dumps(
        {"e": "depthUpdate", "E": 1, "T": 2, "s": symbol, "U": 3, "u": 4, "pu": 2}
        | {"b": texts, "a": texts}
    ).encode()
    decoder = Decoder({symbol: instrument})
    _, _, _, (event,) = decoder.decode(wrapped(f"{symbol.lower()}@depth", payload))
    assert in_units(event, {symbol: instrument}) == DepthUpdate(symbol, 3, 4, 2, levels, levels, 2)


@pytest.mark.parametrize("raw", [b'{"stream":"btcusdt@trade","data":%b}', b"%b"])
def test_a_message_that_is_nested_without_end_is_not_decoded(raw: bytes) -> None:
    deep = raw % (b'{"a":' * 100_000 + b"1" + b"}" * 100_000)
    decoder = Decoder({})
    for _ in range(2):
        with pytest.raises(DecodeError, match="nested too deeply"):
            decoder.decode(deep)
