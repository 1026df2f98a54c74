"""Markets of both venues with every kind of event."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import structs
from request_markets import INVERSE, LINEAR, OTHER_PAIR, SECOND, START_MS
from stage import BTCUSD_260626, BTCUSDT_260626, mark, open_plant, quote, snapshot

from tickerplant.events import (
    AssetIndex,
    CompositeIndex,
    CompositePart,
    Delivered,
    Event,
    FundingPaid,
    IndexBasket,
    IndexConstituent,
    InsuranceFund,
    Positioning,
    RpiUpdate,
    Trade,
)
from tickerplant.instrument import Instrument
from tickerplant.market.markets import Markets
from tickerplant.plant import Plant
from tickerplant.profile import P2026Q1, Profile
from tickerplant.units import HOUR_MS, MINUTE_MS
from tickerplant.venue import COINM, USDM, Venue

COMPOSITE = structs.replace(
    SECOND, symbol="DEFIUSDT", pair="DEFIUSDT", base_asset="DEFI", underlying_type="INDEX"
)
ADJUSTED = structs.replace(
    OTHER_PAIR, funding_interval_hours=4, funding_cap=2_500_000, onboard_date_ms=START_MS - HOUR_MS
)
ADJUSTED_SECOND = structs.replace(
    SECOND, funding_interval_hours=4, funding_cap=2_500_000, onboard_date_ms=START_MS - HOUR_MS
)
INSTRUMENTS = (
    LINEAR,
    ADJUSTED_SECOND,
    BTCUSDT_260626,
    COMPOSITE,
    INVERSE,
    BTCUSD_260626,
    ADJUSTED,
)
MINUTES = 11
"""Two periods of five minutes, and a part of a third."""
NOW_MS = START_MS + MINUTES * MINUTE_MS
ONE = 10**8


def sample_plant(profile: Profile = P2026Q1) -> Plant:
    """Return a plant that has every kind of event; its last minute has just begun."""
    plant = open_plant(INSTRUMENTS, start_ms=START_MS, profile=profile)
    for event in (*_of_venues(), *(each for one in INSTRUMENTS for each in _opening(one))):
        plant.publish(event)
    for minute in range(MINUTES):
        plant.advance(START_MS + minute * MINUTE_MS)
        for place, instrument in enumerate(INSTRUMENTS):
            for event in _minute(instrument, START_MS + minute * MINUTE_MS, minute + place):
                plant.publish(event)
    plant.advance(NOW_MS)
    return plant


def sample_markets(venue: Venue, profile: Profile = P2026Q1) -> Markets:
    """Return the markets of one venue of such a plant."""
    return sample_plant(profile).venues[venue.name]


def _tick(instrument: Instrument) -> int:
    """Return a tenth of a dollar."""
    return int(10 ** (instrument.price.decimals - 1))


def _opening(instrument: Instrument) -> Iterator[Event]:
    symbol, tick = instrument.symbol, _tick(instrument)
    best = 65_280 * 10**instrument.price.decimals
    bids = [(best - tick, 4215), (best - 2 * tick, 200)]
    asks = [(best, 3763), (best + tick, 2)]
    yield snapshot(1000, bids, asks, START_MS - 3, symbol)
    yield quote(1000, bids[0], asks[0], START_MS - 3, symbol)
    if instrument.venue.has_rpi:
        crossing = (best, 9)
        yield RpiUpdate(symbol, 1002, [(bids[1][0], 70), crossing], [(asks[1][0], 40)], START_MS)
    spots = (
        IndexConstituent("coinbase", f"{instrument.base_asset}-USD", 6_529_100_000_000, 60_000_000),
        IndexConstituent("kraken", f"{instrument.base_asset}/USD", 6_528_900_000_000, 40_000_000),
    )
    yield IndexBasket(symbol, spots, START_MS)
    if instrument.underlying_type == "INDEX":
        part = CompositePart("AAVE", "USDT", 58_012_345, ONE, 9_000_000_000)
        yield CompositeIndex(symbol, 5_221_111_050, (part,), START_MS)


def _minute(instrument: Instrument, time_ms: int, step: int) -> Iterator[Event]:
    """Yield the events of one minute: prices move with `step`."""
    symbol, perpetual = instrument.symbol, instrument.perpetual
    best = 65_280 * 10**instrument.price.decimals
    for number in range(3):
        trade_id = 3 * (step + 1) + number
        price = best + (step % 5 + number) * _tick(instrument)
        sold = (step + number) % 3 == 0
        yield Trade(
            symbol, trade_id, price, 20 + step, sold, time_ms + number * 40, rpi=number == 1
        )
        reported = mark(time_ms + number * 1000, symbol, 8125 if perpetual else None)
        moved = (step % 7) * 11_111_111
        yield structs.replace(
            reported,
            mark_price=reported.mark_price + moved,
            index_price=reported.index_price - moved,
        )
    yield Positioning(
        symbol, 95_744_938 + step, 6442 - step, 5643 + step, 4404 + step, "low", time_ms
    )
    if perpetual and step % 4 == 0:
        yield FundingPaid(symbol, 8125 + step, 6_499_810_000_000, time_ms + 2)


def _of_venues() -> Iterator[Event]:
    for symbol, index in (("ADAUSD", 51_234_000), ("BTCUSD", 6_529_012_345_678)):
        near, far = index // 20, index // 10
        yield AssetIndex(
            symbol,
            index,
            10_000_000,
            10_000_000,
            index - far,
            index + far,
            5_000_000,
            5_000_000,
            index - near,
            index + near,
            START_MS,
        )
    balances = (("USDT", 79_393_057_931_584_800), ("BTC", 6_173_143_554))
    yield InsuranceFund("major", ("BTCUSDT", "ETHUSDT"), balances, START_MS)
    yield InsuranceFund("other", ("DEFIUSDT",), (("USDT", 5_166_686 * ONE),), START_MS)
    for quarter, price in ((2, 6_102_150_000_000), (1, 6_402_150_000_000)):
        delivered_ms = START_MS - quarter * 90 * 24 * HOUR_MS
        symbol = f"BTCUSDT_Q{quarter}"
        yield Delivered(USDM, symbol, "BTCUSDT", price, delivered_ms)
        yield Delivered(COINM, symbol, "BTCUSD", price, delivered_ms)
