"""The agents, each in isolation: resting orders, random draws."""

from __future__ import annotations

from collections import Counter
from random import Random

import pytest

from tickerplant.events import Event, Liquidation, Trade
from tickerplant.instrument import Instrument
from tickerplant.simulation.contract_market import ContractMarket
from tickerplant.simulation.contract_profile import contract_profile
from tickerplant.simulation.depth_makers import DepthMakers
from tickerplant.simulation.instruments import instruments
from tickerplant.simulation.leverage import LeveragedPositions
from tickerplant.simulation.news import LiveUnderlying, Sector
from tickerplant.simulation.order_sizes import OrderSizes
from tickerplant.simulation.scheduler import Scheduler
from tickerplant.simulation.valuation import FairValue, FollowerValuation, LeaderValuation, News

START_MS = 1_780_000_000_000
BTC, PERP = instruments(START_MS, ["BTCUSDT", "BTCUSD_PERP"])


@pytest.mark.parametrize("instrument", [BTC, PERP], ids=lambda each: each.symbol)
def test_order_sizes_are_small_habits_with_a_heavy_tail(instrument: Instrument) -> None:
    sizes = OrderSizes(Random(1), instrument, contract_profile(instrument))
    drawn = sorted(sizes.order() for _ in range(20_000))
    assert drawn[0] == sizes.smallest >= instrument.min_quantity
    assert all(size % instrument.step_size == 0 for size in drawn)
    assert sum(drawn[-200:]) > 0.2 * sum(drawn), "one order in a hundred makes the volume"
    if not instrument.venue.inverse:
        notional = sizes.smallest * 65_000 / 10**instrument.quantity.decimals
        assert notional >= instrument.min_notional


def make_market() -> tuple[ContractMarket, OrderSizes, list[Event], Scheduler]:
    tape: list[Event] = []
    scheduler = Scheduler(START_MS)
    market = ContractMarket(BTC, scheduler, tape, 0, 1)
    return market, OrderSizes(Random(2), BTC, contract_profile(BTC)), tape, scheduler


def test_the_depth_keeps_its_size_however_long_it_is_swept() -> None:
    market, sizes, _, _ = make_market()
    price = 6_528_000
    ladder = DepthMakers(Random(3), market, sizes, contract_profile(BTC).style, price)
    market.open(
        [(price, 1000), *ladder.opening(price, True)],
        [(price + 10, 1000), *ladder.opening(price + 10, False)],
        price,
    )
    opened = [len(side.keys) for side in (market.engine.bids, market.engine.asks)]
    for _ in range(2_500):
        ladder.sweep()
    for before, side in zip(opened, (market.engine.bids, market.engine.asks), strict=True):
        assert 0.6 * before < len(side.keys) < 1.6 * before, "occupancy is stationary"
    assert market.engine.bids.best == (price, 1000), "the best price is not the ladder makers'"


def test_positions_are_liquidated_when_the_mark_reaches_them_nearest_first() -> None:
    market, sizes, tape, scheduler = make_market()
    market.open([(6_500_000, 10**7)], [(6_500_010, 10**7)], 6_500_000)
    leverage = LeveragedPositions(Random(4), market, sizes, 6_500_000.0)
    count = len(leverage.longs)
    nearest = leverage.longs[-1][0]
    leverage.mark(nearest + 1)
    assert len(leverage.longs) == count, "the mark has not reached any"
    leverage.mark(nearest - 1)
    assert len(leverage.longs) < count
    while scheduler:
        scheduler.step()
    forced = [event for event in tape if isinstance(event, Liquidation)]
    assert forced
    assert forced[0].side == "SELL", "longs are sold"
    trades = [event for event in tape if isinstance(event, Trade)]
    assert sum(trade.quantity for trade in trades) == sum(each.filled_quantity for each in forced)


@pytest.mark.parametrize("buy", [False, True], ids=["long", "short"])
def test_what_the_book_cannot_fill_within_the_limit_is_taken_over(buy: bool) -> None:
    market, sizes, tape, scheduler = make_market()
    bid, ask = 6_500_000, 6_500_010
    behind = 6_600_000 if buy else 6_400_000  # beyond any limit
    bids, asks = [(bid, 3)], [(ask, 3)]
    (asks if buy else bids).append((behind, 10**6))
    market.open(bids, asks, bid)
    leverage = LeveragedPositions(Random(1), market, sizes, 6_500_000.0)
    leverage.longs, leverage.shorts = [], []
    (leverage.shorts if buy else leverage.longs).append((-6_490_000.0 if buy else 6_510_000.0, 9))
    leverage.mark(6_500_000.0)
    scheduler.step()
    booked, over = (event for event in tape if isinstance(event, Trade))
    forced = next(event for event in tape if isinstance(event, Liquidation))
    assert (booked.origin, booked.quantity, booked.price) == ("MARKET", 3, ask if buy else bid)
    assert (over.quantity, over.price) == (6, forced.price)
    assert over.origin in ("INSURANCE_FUND", "ADL")
    assert over.trade_id == booked.trade_id + 1
    assert over.buyer_is_maker is not buy
    assert forced.status == "FILLED"
    assert forced.quantity == forced.filled_quantity == 9
    assert forced.last_filled_quantity == 6
    assert forced.average_price == round((3 * booked.price + 6 * over.price) / 9)
    assert market.last_price == booked.price, "a trade off the book is no price of the market"
    assert market.volume == booked.quantity, "nor does it count as traded there"


def test_most_forced_orders_are_filled_by_the_book_and_few_fall_to_opposite_positions() -> None:
    market, sizes, tape, scheduler = make_market()
    market.open([(6_500_000, 10**9)], [(6_500_010, 10**9)], 6_500_000)
    leverage = LeveragedPositions(Random(4), market, sizes, 6_500_000.0)
    leverage.longs, leverage.shorts = [(6_500_000.0, 5)] * 1000, [(-6_500_000.0, 5)] * 1000
    leverage.mark(6_500_000.0)
    while scheduler:
        scheduler.step()
    origins = Counter(event.origin for event in tape if isinstance(event, Trade))
    assert sum(origins.values()) == 2000
    assert origins["MARKET"] > 1800
    assert 20 < origins["INSURANCE_FUND"] < 150, "the market had passed their bankruptcy"
    assert 0 < origins["ADL"] < origins["INSURANCE_FUND"] / 3


@pytest.mark.parametrize("buy", [True, False], ids=["long", "short"])
def test_orders_open_positions_of_their_side_up_to_a_bound(buy: bool) -> None:
    market, sizes, _, _ = make_market()
    leverage = LeveragedPositions(Random(5), market, sizes, 6_500_000.0)
    own, other = leverage.longs, leverage.shorts
    if not buy:
        own, other = other, own
    others = [*other]
    for _ in range(10_000):
        leverage.opened(buy, 1000, 6_500_000)
    assert len(own) == 256, "no more are followed"
    assert other == others, "who buys is long, who sells is short"


def test_news_has_the_volatility_it_should() -> None:
    news = News(Random(6), 2.0)
    sizes = [news.size() for _ in range(50_000)]
    variance = 2.0 * sum(size * size for size in sizes) / len(sizes)
    assert 0.7 < variance < 1.1, "a second's variance is one, less what the cut tail had"
    gaps = [news.gap_ms(3.0) for _ in range(20_000)]
    assert sum(gaps) / len(gaps) == pytest.approx(1000 / 6, rel=0.05), "busy: three times as often"


def test_a_coin_is_busy_when_its_sector_is_and_when_it_is_itself() -> None:
    sector = Sector(Random(8))
    coins = [
        LiveUnderlying(name, FairValue(100.0, 0.02, 0.8), sector, 1) for name in ("BTC", "ETH")
    ]
    for _ in range(300):
        before = [coin.activity_level() for coin in coins]
        level = sector.activity.level
        sector.activity.step()
        for coin, activity_level in zip(coins, before, strict=True):
            assert coin.activity_level() / activity_level == pytest.approx(
                sector.activity.level / level
            ), "with all"
    (activity_level, others), level = (
        (coin.activity_level() for coin in coins),
        coins[0].activity.level,
    )
    coins[0].activity.step()
    assert coins[0].activity_level() / activity_level == pytest.approx(
        coins[0].activity.level / level
    ), "by itself"
    assert coins[1].activity_level() == others


def test_a_leaders_trades_move_the_coin_and_a_followers_only_itself() -> None:
    coin = FairValue(100.0, 0.02, 0.8)
    leader, follower = LeaderValuation(coin, 10.0), FollowerValuation(1000.0, 0.01)
    leader.add_impact(0.1)
    assert leader.price() == pytest.approx(1105.17, abs=0.01)
    assert coin.index < coin.price, "the index lacks the premium"
    follower.add_impact(0.1)
    assert coin.price == pytest.approx(110.517, abs=0.001)
    before = follower.price()
    follower.update(1000.0, 0.01)
    assert 1010 < follower.price() < before, "its own trades are forgotten little by little"
