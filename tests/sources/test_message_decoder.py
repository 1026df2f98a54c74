from __future__ import annotations

from collections import Counter
from typing import Any

import msgspec
import pytest
from loopback import looped, until
from relaying import BTCUSDT as HOUSE_BTCUSDT
from relaying import ETHUSDT as HOUSE_ETHUSDT
from relaying import relay, serve
from stage import BTCUSDT_260626, INSTRUMENTS, START_MS, open_plant

from tickerplant.messages.message import Message
from tickerplant.messages.readers import UNREADABLE
from tickerplant.profile import CURRENT, P2026Q1, Profile
from tickerplant.sources.message_decoder import MessageDecoder

TIMES = {"E": START_MS, "T": START_MS}
TRADE = TIMES | {"s": "BTCUSDT", "p": "1.0", "q": "1", "m": True}
ORDER = {"S": "SELL", "o": "LIMIT", "f": "IOC", "q": "1", "p": "1", "ap": "1", "X": "FILLED"}
MARK = TIMES | {"s": "BTCUSDT", "p": "1.0", "i": "1.0", "P": "1.0", "r": "0.0001"}
ASSET = dict.fromkeys("ibaBAqgQG", "1.0") | {"E": START_MS, "s": "BTCUSDT"}
PAYLOADS: dict[str, dict[str, Any]] = {
    "trade": TRADE | {"e": "trade", "t": 1, "X": "MARKET"},
    "aggTrade": TRADE | {"e": "aggTrade", "a": 1, "f": 1, "l": 1},
    "bookTicker": TIMES | {"s": "BTCUSDT", "u": 1, "b": "1.0", "B": "1", "a": "2.0", "A": "1"},
    "forceOrder": {"E": START_MS, "o": ORDER | {"s": "BTCUSDT", "l": "1", "z": "1", "T": START_MS}},
    "compositeIndex": {"E": START_MS, "s": "BTCUSDT", "p": "1.0", "C": "baseAsset", "c": []},
    "markPrice": MARK,
    "markPrice@1s": MARK,
    "depth@500ms": TIMES | {"s": "BTCUSDT", "U": 1, "u": 2, "pu": 0, "b": [], "a": []},
    "assetIndex": ASSET,
}
ANOTHER = {"another symbol than that of the stream": 1}


class Read:
    """What is read of the messages of a venue."""

    def __init__(self, venue: str = "usdm", profile: Profile = P2026Q1) -> None:
        self.markets = open_plant(INSTRUMENTS, profile=profile).venues[venue]
        self.skipped: Counter[str] = Counter()
        self.passed_on: list[bytes] = []
        self.decoder = MessageDecoder(
            self.skipped, lambda _, payload: self.passed_on.append(payload)
        )

    def symbols(self, stream: str, payload: object) -> list[str]:
        message = Message()
        message.stream, message.payload = stream, msgspec.json.encode(payload)
        return [event.symbol for event in self.decoder.events(message, self.markets)]


@pytest.mark.parametrize("kind", PAYLOADS)
def test_what_a_stream_of_one_symbol_says_of_another_is_left_out(kind: str) -> None:
    read, payload = Read(), PAYLOADS[kind]
    assert read.symbols(f"btcusdt@{kind}", payload) == ["BTCUSDT"]
    assert not read.skipped
    assert read.symbols(f"ethusdt@{kind}", payload) == []
    assert read.skipped == ANOTHER
    assert read.symbols(f"btcusdt_260626@{kind}", payload) == [], "one of the same pair"
    assert read.symbols(f"btcusdt@{kind}", payload) == ["BTCUSDT"]


def test_a_symbol_that_nobody_has_is_left_out_of_a_stream_of_one() -> None:
    read = Read()
    assert read.symbols("btcusdt@markPrice", MARK | {"s": "NONEUSDT"}) == []
    assert read.skipped == {"unknown symbol": 1}


@pytest.mark.parametrize("stream", ["!markPrice@arr", "!markPrice@arr@1s"])
def test_a_stream_of_all_symbols_may_say_something_of_each(stream: str) -> None:
    read = Read()
    rows = [MARK, MARK | {"s": "ETHUSDT"}, MARK | {"s": "NONEUSDT"}]
    assert read.symbols(stream, rows) == ["BTCUSDT", "ETHUSDT"]
    assert read.symbols("!bookTicker", PAYLOADS["bookTicker"]) == ["BTCUSDT"]
    assert not read.skipped


@pytest.mark.parametrize(("venue", "profile"), [("coinm", P2026Q1), ("usdm", CURRENT)])
def test_a_stream_of_a_pair_is_of_its_contracts(venue: str, profile: Profile) -> None:
    read = Read(venue, profile)
    perpetual, dated = (MARK | {"s": symbol} for symbol in ("BTCUSD_PERP", "BTCUSD_260626"))
    both = ["BTCUSD_PERP", "BTCUSD_260626"]
    assert read.symbols("btcusd@markPrice", [perpetual, dated]) == both
    assert not read.skipped
    assert read.symbols("ethusd@markPrice", [perpetual, dated]) == []
    assert read.skipped == ANOTHER
    assert read.symbols("btcusd_perp@markPrice", [perpetual, dated]) == ["BTCUSD_PERP"]


def test_a_symbol_is_not_its_pair() -> None:
    read = Read(profile=CURRENT)
    dated = MARK | {"s": BTCUSDT_260626.symbol}
    assert read.symbols("btcusdt@markPrice", [MARK, dated]) == ["BTCUSDT"]
    assert read.skipped == ANOTHER


@looped
async def test_a_book_is_not_made_of_updates_of_another() -> None:
    read, payload = Read(), msgspec.json.encode(PAYLOADS["depth@500ms"])
    assert read.decoder.payload_reader("btcusdt@depth@100ms").decode(payload).symbol == "BTCUSDT"
    decode = read.decoder.payload_reader("ethusdt@depth@100ms").decode
    for _ in range(2):
        with pytest.raises(UNREADABLE, match="a message of another symbol than ETHUSDT"):
            decode(payload)
    assert read.passed_on == [payload], "byte for byte, and once"
    assert read.skipped == {"unknown form": 1}


@looped
async def test_a_relay_takes_in_what_is_of_the_stream() -> None:
    async with (
        serve((HOUSE_BTCUSDT, HOUSE_ETHUSDT)) as house,
        relay(house) as near,
        near.connect("/ws/btcusdt@trade") as client,
    ):
        await until(lambda: near.carries("btcusdt@trade"))
        hub = house.plant.hubs["usdm"]
        for trade_id, symbol in enumerate(("ETHUSDT", "BTCUSDT"), start=1):
            trade = PAYLOADS["trade"] | {"s": symbol, "t": trade_id, "p": "1.00", "q": "1.000"}
            hub.publishers.start_passthrough("btcusdt@trade")
            hub.broadcast("btcusdt@trade", msgspec.json.encode(trade))
            hub.flush()
            assert f'"s":"{symbol}"' in str(await client.recv())
        assert near.upstream.skipped == ANOTHER
        assert len(near.plant.markets["ETHUSDT"].trades) == 0
        assert len(near.plant.markets["BTCUSDT"].trades) == 1
