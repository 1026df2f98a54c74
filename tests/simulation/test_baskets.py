"""The spot markets that index prices are made of."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tickerplant.events import IndexBasket
from tickerplant.instrument import Instrument
from tickerplant.simulation.indices import Basket
from tickerplant.simulation.instruments import instruments

LISTED = instruments(1_780_000_000_000)
BY_SYMBOL = {each.symbol: each for each in LISTED}


def mean(basket: IndexBasket) -> int:
    """The weighted mean, to the nearest 10^-8."""
    total = sum(each.price * each.weight for each in basket.constituents)
    return (2 * total + 10**8) // (2 * 10**8)


@given(
    st.sampled_from(LISTED),
    st.lists(st.integers(1_000, 20_000_000_000_000), min_size=1, max_size=4),
    st.integers(1, 50),
)
def test_the_weighted_mean_of_a_basket_is_the_index_exactly(
    contract: Instrument, index_prices: list[int], seed: int
) -> None:
    basket = Basket(contract, seed)
    for second, index_price in enumerate(index_prices):
        reported = basket.at(index_price, 1000 * second)
        assert sum(each.weight for each in reported.constituents) == 10**8
        assert min(each.weight for each in reported.constituents) > 0
        assert mean(reported) == index_price
        assert 4 <= len(reported.constituents) <= 7
        exchanges = [each.exchange for each in reported.constituents]
        assert len(set(exchanges)) == len(exchanges), "no market counts twice"


def test_contracts_of_a_pair_have_the_same_basket() -> None:
    perpetual, dated, coin = (
        BY_SYMBOL[symbol] for symbol in ("BTCUSDT", "BTCUSDT_260626", "BTCUSD_PERP")
    )
    first, second, other = (
        [
            (part.exchange, part.symbol, part.weight, part.price)
            for part in Basket(each, 3).at(10**12, 0).constituents
        ]
        for each in (perpetual, dated, coin)
    )
    assert first == second
    assert first != other, "BTCUSD has another index"
    assert first[0][:2] == ("binance", "BTCUSDT")


def test_what_a_basket_is_made_of_stays_and_its_prices_move() -> None:
    basket = Basket(BY_SYMBOL["ETHUSDT"], 3)
    earlier, later = (basket.at(10**12, time_ms).constituents for time_ms in (1000, 11_000))
    for before, after in zip(earlier, later, strict=True):
        assert (before.exchange, before.weight) == (after.exchange, after.weight)
        assert before.price != after.price


def test_shares_and_metals_are_bought_elsewhere() -> None:
    for symbol, exchange in (("TSLAUSDT", "nasdaq"), ("XAUUSDT", "lbma")):
        reported = Basket(BY_SYMBOL[symbol], 1).at(40_000_000_000, 0)
        assert reported.constituents[0].exchange == exchange
