"""A capture of cryptofeed, replayed: its REST responses contain books and contracts."""

from __future__ import annotations

from pathlib import Path

import pytest
from played import SNAPSHOT, START_MS, Replay, depth, trade

from tickerplant.replaying.scan import scan

LISTED = (
    b'{"serverTime":1,"symbols":[%b,{"symbol":"NEVERUSDT"},{"symbol":"BTCUSDT_X"}]}'
    % b'{"symbol":"BTCUSDT","pair":"BTCUSDT","contractType":"PERPETUAL","status":"TRADING",'
    b'"deliveryDate":4133404800000,"onboardDate":1,"baseAsset":"BTC","quoteAsset":"USDT",'
    b'"marginAsset":"USDT","pricePrecision":2,"quantityPrecision":3,"filters":['
    b'{"filterType":"PRICE_FILTER","minPrice":"0.10","maxPrice":"1000000","tickSize":"0.10"},'
    b'{"filterType":"LOT_SIZE","minQty":"0.001","maxQty":"1000","stepSize":"0.001"}]}'
)


def capture(folder: Path) -> Path:
    """A capture whose book begins with a REST response, as the collector writes it."""

    def at(ms: int) -> bytes:
        seconds, rest = divmod(START_MS + ms, 1_000)
        return b"%d.%03d" % (seconds, rest)

    received = [
        (at(u), b'{"stream":"btcusdt@depth","data":%b}' % depth(u, u - 1)) for u in range(10, 30)
    ]
    received.append((at(30), b'{"stream":"btcusdt@trade","data":%b}' % trade(30)))
    folder.mkdir()
    files = {
        "BINANCE_FUTURES.0": b"https://h/fapi/v1/exchangeInfo -> %b: %b\n" % (at(0), LISTED),
        "BINANCE_FUTURES.http.0.0": b"https://h/fapi/v1/depth?symbol=BTCUSDT&limit=1000 -> %b: %b\n"
        % (at(21), SNAPSHOT),
        "BINANCE_FUTURES.ws.1.0": b"wss://h/stream?streams=btcusdt@depth <-> 1\n"
        + b"".join(b"%b: %b\n" % line for line in received),
    }
    for name, text in files.items():
        (folder / name).write_bytes(text)
    return folder


@pytest.mark.parametrize("named", ["", "BINANCE_FUTURES.ws.1.0"], ids=["folder", "file"])
def test_the_book_of_a_capture_begins_and_its_contract_is_the_listed_one(
    tmp_path: Path, named: str
) -> None:
    path = capture(tmp_path / "c") / named
    warnings: list[str] = []
    found = scan([str(path)], warn=warnings.append)
    (instrument,) = found.instruments
    assert (instrument.symbol, instrument.tick_size, instrument.max_quantity) == (
        "BTCUSDT",
        10,
        1_000_000,
    )
    assert found.start_ms == START_MS, "when it was received counts, not what a cache says"
    assert [Path(each).name for each in found.files[0].companions] == [
        "BINANCE_FUTURES.0",
        "BINANCE_FUTURES.http.0.0",
    ]
    assert warnings == [], "listed contracts without messages are not reported"
    replay = Replay([path], {"usdm": ["btcusdt@depth5@100ms"]})
    replay.run()
    market = replay.plant.markets["BTCUSDT"]
    assert market.book.top(5) == ([(9_900, 2_000), (9_800, 1_000)], [(10_100, 3_000)])


def test_requested_symbols_without_messages_in_a_capture_are_reported(tmp_path: Path) -> None:
    path = capture(tmp_path / "c")
    (received,) = path.glob("*.ws.*")
    text = received.read_bytes()
    received.write_bytes(
        text.replace(b"=btcusdt@depth", b"=btcusdt@depth/xrpusdt@trade/!ticker@arr")
    )
    (requests,) = path.glob("*.http.*")
    other = requests.read_bytes().replace(b"=BTCUSDT", b"=ETHUSDT")
    requests.write_bytes(requests.read_bytes() + other)
    replay = Replay([path], {"usdm": ["btcusdt@depth5@100ms"]})
    replay.run()
    [warning] = [each for each in replay.readiness.warnings if "no message" in each]
    assert warning == (
        "ETHUSDT, XRPUSDT: requested by the collector, but no message was recorded: "
        "their streams are silent"
    )
    assert "NEVERUSDT" not in "".join(replay.readiness.warnings), "it is listed, as all are"
