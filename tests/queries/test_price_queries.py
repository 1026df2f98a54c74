"""Last prices, mark prices and continuous candles are those that were published."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from coverage_of import covers
from exact import exact
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs
from request_markets import INVERSE, LINEAR, OTHER_PAIR, SECOND, START_MS, call, get
from stage import BTCUSD_260626, BTCUSD_260925, BTCUSDT_260626, mark, open_plant

from tickerplant.events import MarkPrice, Trade
from tickerplant.instrument import Instrument
from tickerplant.market.interval import next_open_time, open_time
from tickerplant.market.markets import Markets
from tickerplant.units import MINUTE_MS

VENUES = ((LINEAR, SECOND, BTCUSDT_260626), (INVERSE, BTCUSD_260626, OTHER_PAIR))
LINEAR_NEXT = structs.replace(
    BTCUSDT_260626,
    symbol="BTCUSDT_260925",
    contract_type="NEXT_QUARTER",
    delivery_date_ms=BTCUSD_260925.delivery_date_ms,
)
PAIRS = ((LINEAR, BTCUSDT_260626, LINEAR_NEXT), (INVERSE, BTCUSD_260626, BTCUSD_260925))
"""The contracts of one pair of either venue, of each type."""
OFF_BOOK = ("INSURANCE_FUND", "ADL", "NA")


class Fill(NamedTuple):
    """A trade of one of three contracts, `gap_ms` after the previous one."""

    place: int
    gap_ms: int
    price: int
    quantity: int
    sold: bool
    origin: str
    retail: bool


class Told(NamedTuple):
    """Prices of one of three contracts, `gap_s` after the previous ones."""

    place: int
    gap_s: int
    mark_price: int
    index_price: int
    settle_price: int
    rate: int


gaps_ms = st.integers(0, 3000) | st.integers(0, 20 * MINUTE_MS)
fills = st.lists(
    st.builds(
        Fill,
        st.integers(0, 2),
        gaps_ms,
        st.integers(1, 10**7),
        st.integers(1, 500),
        st.booleans(),
        st.sampled_from(["MARKET", "MARKET", *OFF_BOOK]),
        st.booleans(),
    ),
    max_size=15,
)
prices = st.integers(0, 10**13)
tellings = st.lists(
    st.builds(
        Told,
        st.integers(0, 2),
        st.integers(0, 90),
        prices,
        prices,
        prices,
        st.integers(-3_000_000, 3_000_000),
    ),
    max_size=12,
)


def traded(instruments: Sequence[Instrument], tape: list[Fill]) -> tuple[Markets, list[Trade]]:
    """Return markets that received `tape`, and the trades on the book."""
    plant = open_plant(instruments, start_ms=START_MS)
    trades = []
    for number, fill in enumerate(tape, start=1):
        plant.advance(plant.now_ms + fill.gap_ms)
        symbol = instruments[fill.place].symbol
        event = Trade(symbol, number, *fill[2:5], plant.now_ms, fill.origin, fill.retail)
        plant.publish(event)
        trades.append(event)
    return plant.venues[instruments[0].venue.name], [t for t in trades if t.origin == "MARKET"]


@covers("/v1/ticker/price", "/v2/ticker/price", "ticker.price")
@given(tape=fills)
def test_the_price_is_that_of_the_last_trade_on_the_book(tape: list[Fill]) -> None:
    for instruments in VENUES:
        markets, trades = traded(instruments, tape)
        last = {trade.symbol: trade for trade in trades}
        rows = [price_row(each, last[each.symbol]) for each in instruments if each.symbol in last]
        assert get(markets, "/v1/ticker/price") == rows
        if markets.venue.inverse:
            of_pair = [row for row in rows if row["ps"] == "BTCUSD"]
            assert get(markets, "/v1/ticker/price", pair="BTCUSD") == of_pair
        else:
            assert get(markets, "/v2/ticker/price") == call(markets, "ticker.price") == rows
        for row in rows:
            alone = get(markets, "/v1/ticker/price", symbol=row["symbol"])
            assert alone == ([row] if markets.venue.inverse else row)
            if not markets.venue.inverse:
                assert get(markets, "/v2/ticker/price", symbol=row["symbol"]) == row
                assert call(markets, "ticker.price", symbol=row["symbol"]) == row


def price_row(instrument: Instrument, last: Trade) -> dict[str, Any]:
    return {
        "symbol": instrument.symbol,
        **({"ps": instrument.pair} if instrument.venue.inverse else {}),
        "price": exact(last.price, instrument.price.decimals),
        "time": last.trade_time_ms,
    }


@covers("/v1/premiumIndex")
@given(tape=tellings)
def test_the_premium_index_is_the_latest(tape: list[Told]) -> None:
    for instruments in VENUES:
        plant = open_plant(instruments, start_ms=START_MS)
        last: dict[str, MarkPrice] = {}
        for reported in tape:
            plant.advance(plant.now_ms + reported.gap_s * 1000)
            instrument = instruments[reported.place]
            event = structs.replace(
                mark(
                    plant.now_ms, instrument.symbol, reported.rate if instrument.perpetual else None
                ),
                mark_price=reported.mark_price,
                index_price=reported.index_price,
                estimated_settle_price=reported.settle_price,
            )
            plant.publish(event)
            last[event.symbol] = event
        markets = plant.venues[instruments[0].venue.name]
        rows = [index_row(each, last[each.symbol]) for each in instruments if each.symbol in last]
        assert get(markets, "/v1/premiumIndex") == rows
        for row in rows:
            alone = get(markets, "/v1/premiumIndex", symbol=row["symbol"])
            assert alone == ([row] if markets.venue.inverse else row)


def index_row(instrument: Instrument, last: MarkPrice) -> dict[str, Any]:
    rate = last.funding_rate
    return {
        "symbol": instrument.symbol,
        **({"pair": instrument.pair} if instrument.venue.inverse else {}),
        "markPrice": exact(last.mark_price),
        "indexPrice": exact(last.index_price),
        "estimatedSettlePrice": exact(last.estimated_settle_price),
        "lastFundingRate": "" if rate is None else exact(rate),
        "interestRate": "" if rate is None else "0.00010000",
        "nextFundingTime": last.next_funding_time_ms,
        "time": last.time_ms,
    }


@covers("/v1/continuousKlines")
@given(tape=fills, interval=st.sampled_from(["1m", "5m", "1h", "1d", "1M"]))
def test_the_candles_of_a_type_are_made_of_the_trades_of_its_contract(
    tape: list[Fill], interval: str
) -> None:
    for instruments in PAIRS:
        markets, trades = traded(instruments, tape)
        for instrument in instruments:
            rows: Any = get(
                markets,
                "/v1/continuousKlines",
                pair=instrument.pair,
                contractType=instrument.contract_type,
                interval=interval,
                limit=1500,
            )
            own = [each for each in trades if each.symbol == instrument.symbol]
            assert [row[:9] for row in rows] == candles(instrument, own, interval, markets.now_ms)


def candles(
    instrument: Instrument, trades: list[Trade], interval: str, now_ms: int
) -> list[list[Any]]:
    """The first nine values of every candle since the first of `trades`."""
    rows: list[list[Any]] = []
    opened_ms = open_time(interval, trades[0].trade_time_ms) if trades else now_ms + 1
    close = trades[0].price if trades else 0
    while opened_ms <= now_ms:
        next_ms = next_open_time(interval, opened_ms)
        inside = [each for each in trades if opened_ms <= each.trade_time_ms < next_ms]
        seen = [each.price for each in inside] or [close]
        turnover = sum(instrument.turnover(each.price, each.quantity) for each in inside)
        rows.append(
            [
                opened_ms,
                *(exact(p, instrument.price.decimals) for p in (seen[0], max(seen), min(seen))),
                exact(seen[-1], instrument.price.decimals),
                exact(sum(each.quantity for each in inside), instrument.quantity.decimals),
                next_ms - 1,
                exact(turnover, instrument.turnover_decimals),
                len(inside),
            ]
        )
        opened_ms, close = next_ms, seen[-1]
    return rows
