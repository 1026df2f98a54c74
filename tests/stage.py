"""Instruments of both venues, a plant that trades them and somebody who listens."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from msgspec import structs
from websockets.client import ClientProtocol
from websockets.frames import Frame
from websockets.protocol import State
from websockets.uri import parse_uri

from tickerplant.events import (
    AssetIndex,
    BookSnapshot,
    BookTicker,
    Bracket,
    CompositeIndex,
    CompositePart,
    ContractChanged,
    DepthUpdate,
    Level,
    Liquidation,
    MarkPrice,
    RpiUpdate,
    Trade,
)
from tickerplant.hub.hub import UNKNOWN_STREAM
from tickerplant.instrument import TRADIFI_PERPETUAL, Instrument, Scale
from tickerplant.plant import Plant
from tickerplant.profile import P2026Q1, Profile
from tickerplant.streams import LOOKUPS, find
from tickerplant.streams.lookup import Lookup
from tickerplant.streams.stream import Stream
from tickerplant.venue import COINM, USDM

START_MS = 1_772_000_100_000
"""2026-02-25 06:15:00 UTC."""

BTCUSDT = Instrument(
    venue=USDM,
    symbol="BTCUSDT",
    pair="BTCUSDT",
    contract_type="PERPETUAL",
    base_asset="BTC",
    quote_asset="USDT",
    margin_asset="USDT",
    price=Scale(2),
    quantity=Scale(3),
    tick_size=10,
    step_size=1,
    min_price=10,
    max_price=10**9,
    min_quantity=1,
    max_quantity=10**9,
    max_market_quantity=10**9,
)
ETHUSDT = structs.replace(BTCUSDT, symbol="ETHUSDT", pair="ETHUSDT", base_asset="ETH")
BTCUSDT_260626 = structs.replace(
    BTCUSDT,
    symbol="BTCUSDT_260626",
    contract_type="CURRENT_QUARTER",
    delivery_date_ms=1_782_460_800_000,
)
BTCUSD_PERP = Instrument(
    venue=COINM,
    symbol="BTCUSD_PERP",
    pair="BTCUSD",
    contract_type="PERPETUAL",
    base_asset="BTC",
    quote_asset="USD",
    margin_asset="BTC",
    price=Scale(1),
    quantity=Scale(0),
    tick_size=1,
    step_size=1,
    min_price=1,
    max_price=10**8,
    min_quantity=1,
    max_quantity=10**9,
    max_market_quantity=10**9,
    contract_size=100,
)
BTCUSD_260626 = structs.replace(
    BTCUSD_PERP,
    symbol="BTCUSD_260626",
    contract_type="CURRENT_QUARTER",
    delivery_date_ms=1_782_460_800_000,
)
BTCUSD_260925 = structs.replace(
    BTCUSD_PERP,
    symbol="BTCUSD_260925",
    contract_type="NEXT_QUARTER",
    delivery_date_ms=1_790_323_200_000,
)
DEFIUSDT = structs.replace(
    BTCUSDT, symbol="DEFIUSDT", pair="DEFIUSDT", base_asset="DEFI", underlying_type="INDEX"
)
TSLAUSDT = structs.replace(
    BTCUSDT,
    symbol="TSLAUSDT",
    pair="TSLAUSDT",
    base_asset="TSLA",
    contract_type=TRADIFI_PERPETUAL,
    underlying_type="EQUITY",
)
INSTRUMENTS = (BTCUSDT, ETHUSDT, BTCUSDT_260626, BTCUSD_PERP, BTCUSD_260626)
WORLD = (*INSTRUMENTS, BTCUSD_260925, DEFIUSDT, TSLAUSDT)
"""Contracts of every kind."""
BRACKETS = (
    Bracket(1, 0, 5000, 0.01, 0, 21, 50),
    Bracket(2, 5000, 25_000, 0.025, 75, 11, 20),
)


def open_plant(
    instruments: Iterable[Instrument] = INSTRUMENTS,
    *,
    start_ms: int = START_MS,
    profile: Profile = P2026Q1,
    strict_routing: bool = False,
    lookups: Mapping[str, Lookup] = LOOKUPS,
) -> Plant:
    """A plant whose snapshots have ids of their own."""
    return Plant(
        instruments,
        start_ms=start_ms,
        profile=profile,
        strict_routing=strict_routing,
        reserved_snapshot_ids=True,
        lookups=lookups,
    )


def frames(data: bytes) -> list[Frame]:
    """What a client understands of the bytes that a server sent."""
    client = ClientProtocol(parse_uri("ws://localhost/"), state=State.OPEN, max_size=None)
    client.receive_data(data)
    assert client.parser_exc is None, f"not valid frames: {client.parser_exc}"
    return [event for event in client.events_received() if isinstance(event, Frame)]


def payloads(data: bytes) -> list[bytes]:
    """The payloads of whole, unmasked text frames; much faster than `frames`."""
    found, at = [], 0
    while at < len(data):
        assert data[at] == 0x81, f"expected a whole text frame at byte {at}: {data[at : at + 4]!r}"
        length, at = data[at + 1], at + 2
        if length >= 126:
            size = 2 if length == 126 else 8
            length, at = int.from_bytes(data[at : at + size]), at + size
        found.append(data[at : at + length])
        assert len(found[-1]) == length, "expected the end of the last frame"
        at += length
    return found


class Listener:
    """A subscriber that keeps what it was sent."""

    def __init__(self) -> None:
        self.writes: list[bytes] = []

    def write(self, data: bytes) -> None:
        self.writes.append(data)

    def texts(self) -> list[bytes]:
        """The payloads of all frames, in order."""
        return payloads(b"".join(self.writes))

    def messages(self) -> list[Any]:
        return [json.loads(text) for text in self.texts()]

    def take(self) -> list[Any]:
        """The messages since the last time."""
        messages = self.messages()
        self.writes.clear()
        return messages


def listen(plant: Plant, names: str | Sequence[str], venue: str = "usdm") -> Listener:
    """Somebody who is subscribed to `names`, all of them streams of `venue`."""
    listener = Listener()
    silent = plant.hubs[venue].subscribe(listener, [names] if isinstance(names, str) else names)
    assert UNKNOWN_STREAM not in silent.values(), f"not streams of {venue}: {silent}"
    return listener


def sent_to(plant: Plant, listener: Listener) -> list[Any]:
    """What `listener` was sent since the last time, flushed."""
    for hub in plant.hubs.values():
        hub.flush()
    return listener.take()


def trade(
    trade_id: int,
    time_ms: int,
    price: int = 6_528_000,
    quantity: int = 5,
    *,
    sold: bool = False,
    symbol: str = "BTCUSDT",
    origin: str = "MARKET",
) -> Trade:
    return Trade(symbol, trade_id, price, quantity, sold, time_ms, origin)


def snapshot(
    last_id: int,
    bids: list[Level],
    asks: list[Level],
    time_ms: int = START_MS,
    symbol: str = "BTCUSDT",
) -> BookSnapshot:
    return BookSnapshot(symbol, last_id, bids, asks, time_ms)


def update(
    previous_id: int,
    final_id: int,
    bids: list[Level],
    asks: list[Level],
    time_ms: int = START_MS,
    symbol: str = "BTCUSDT",
) -> DepthUpdate:
    """The changes `previous_id` < id <= `final_id`."""
    return DepthUpdate(symbol, previous_id + 1, final_id, previous_id, bids, asks, time_ms)


def quote(
    update_id: int,
    bid: Level = (6_527_990, 4215),
    ask: Level = (6_528_000, 3763),
    time_ms: int = START_MS,
    symbol: str = "BTCUSDT",
) -> BookTicker:
    return BookTicker(symbol, update_id, *bid, *ask, time_ms)


def mark(
    time_ms: int = START_MS, symbol: str = "BTCUSDT", funding_rate: int | None = 8125
) -> MarkPrice:
    funded = funding_rate is not None
    return MarkPrice(
        symbol=symbol,
        mark_price=6_527_540_000_000,
        index_price=6_529_012_345_678,
        estimated_settle_price=6_530_198_765_432,
        funding_rate=funding_rate,
        next_funding_time_ms=1_772_006_400_000 if funded else 0,
        time_ms=time_ms,
    )


def liquidation(
    time_ms: int = START_MS,
    symbol: str = "BTCUSDT",
    quantity: int = 14,
    side: str = "SELL",
) -> Liquidation:
    return Liquidation(
        symbol=symbol,
        side=side,
        quantity=quantity,
        price=6_480_120,
        average_price=6_499_035,
        status="FILLED",
        last_filled_quantity=quantity,
        filled_quantity=quantity,
        trade_time_ms=time_ms,
    )


def retail(
    update_id: int,
    bids: list[Level],
    asks: list[Level],
    time_ms: int = START_MS,
    symbol: str = "BTCUSDT",
) -> RpiUpdate:
    return RpiUpdate(symbol, update_id, bids, asks, time_ms)


def composite(time_ms: int = START_MS, symbol: str = "DEFIUSDT") -> CompositeIndex:
    parts = (
        CompositePart("AAVE", "USDT", 58_012_345, 21_000_000, 27_140_000_000),
        CompositePart("UNI", "USDT", 1_250_000_000, 79_000_000, 987_000_000),
    )
    return CompositeIndex(symbol, 81_240_512_345, parts, time_ms)


def asset_index(symbol: str = "ADAUSD", time_ms: int = START_MS) -> AssetIndex:
    return AssetIndex(
        symbol=symbol,
        index=51_234_000,
        bid_buffer=10_000_000,
        ask_buffer=10_000_001,
        bid_rate=46_110_600,
        ask_rate=56_357_400,
        auto_exchange_bid_buffer=5_000_000,
        auto_exchange_ask_buffer=5_000_001,
        auto_exchange_bid_rate=48_672_300,
        auto_exchange_ask_rate=53_795_700,
        time_ms=time_ms,
    )


def happen(plant: Plant) -> None:
    """Something of every kind in every market and of every index, at once."""
    now_ms = plant.now_ms
    for symbol in ("ADAUSD", "BTCUSD"):
        plant.publish(asset_index(symbol, now_ms))
    for number, market in enumerate(list(plant.markets.values())):
        symbol, instrument = market.symbol, market.instrument
        plant.publish(snapshot(100, [(6_527_990, 7)], [(6_528_000, 8)], now_ms, symbol))
        plant.publish(update(100, 102, [(6_527_990, 9)], [(6_528_010, 3)], now_ms, symbol))
        plant.publish(quote(102, time_ms=now_ms, symbol=symbol))
        plant.publish(trade(7 + number, now_ms, symbol=symbol, sold=True))
        plant.publish(mark(now_ms, symbol, 8125 if instrument.perpetual else None))
        plant.publish(liquidation(now_ms, symbol))
        if instrument.venue.has_rpi:
            plant.publish(retail(104, [(6_527_980, 2)], [(6_528_000, 4)], now_ms, symbol))
        if instrument.underlying_type == "INDEX":
            plant.publish(composite(now_ms, symbol))
        plant.publish(ContractChanged(symbol, instrument, BRACKETS if number else (), now_ms))


def name_of(plant: Plant, stream: Stream, venue: str) -> str | None:
    """A name of `stream` that is about something on `venue` now, None if there is none."""
    markets = plant.venues[venue]
    free = {
        "symbol": [each.symbol.lower() for each in markets.universe],
        "pair": [each.instrument.pair.lower() for each in markets.universe],
        "assetSymbol": [symbol.lower() for symbol in markets.asset_indices],
    }
    parts = stream.pattern.parts
    for chosen in itertools.product(*(choices or free[part] for part, choices in parts.items())):
        args = dict(zip(parts, chosen, strict=True))
        name = stream.pattern.name(**args)
        if find(markets, name) == (stream, args) and stream.subjects(markets, args):
            return name
    return None
