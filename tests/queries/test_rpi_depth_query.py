"""The book with RPI orders is the book and their visible part."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest
from coverage_of import covers
from hypothesis import given
from hypothesis import strategies as st
from request_markets import LINEAR, START_MS, get, markets_of
from stage import snapshot, update

from tickerplant.errors import RequestError
from tickerplant.events import Level, RpiUpdate
from tickerplant.market.markets import Markets

MIDDLE = 6_528_000
quantities = st.integers(1, 500)
bid_levels = st.dictionaries(st.integers(1, 30).map(lambda n: MIDDLE - n), quantities, min_size=1)
ask_levels = st.dictionaries(st.integers(1, 30).map(lambda n: MIDDLE + n), quantities, min_size=1)
retail_levels = st.dictionaries(
    st.integers(-30, 30).map(lambda n: MIDDLE + n), st.integers(0, 500), max_size=20
)


def levels(side: dict[int, int], *, bids: bool) -> list[Level]:
    return sorted(side.items(), reverse=bids)


def opened(bids: dict[int, int], asks: dict[int, int]) -> Markets:
    markets = markets_of(LINEAR)
    book = snapshot(1000, levels(bids, bids=True), levels(asks, bids=False), START_MS)
    markets.by_symbol["BTCUSDT"].apply(book)
    return markets


@covers("/v1/rpiDepth")
@given(bids=bid_levels, asks=ask_levels, retail_bids=retail_levels, retail_asks=retail_levels)
def test_it_is_the_book_and_the_rpi_orders_that_do_not_cross_it(
    bids: dict[int, int],
    asks: dict[int, int],
    retail_bids: dict[int, int],
    retail_asks: dict[int, int],
) -> None:
    markets = opened(bids, asks)
    market = markets.by_symbol["BTCUSDT"]
    market.apply(
        RpiUpdate(
            "BTCUSDT", 1002, list(retail_bids.items()), list(retail_asks.items()), START_MS + 5
        )
    )
    response: Any = get(markets, "/v1/rpiDepth", symbol="BTCUSDT")
    for side, book, retail, descending in (
        ("bids", bids, retail_bids, True),
        ("asks", asks, retail_asks, False),
    ):
        shown = {
            price: quantity
            for price, quantity in retail.items()
            if quantity and (price < min(asks) if descending else price > max(bids))
        }
        expected = [
            [Fraction(price, 100), Fraction(book.get(price, 0) + shown.get(price, 0), 1000)]
            for price in sorted({*book, *shown}, reverse=descending)
        ]
        assert [[Fraction(text) for text in level] for level in response[side]] == expected
    assert (response["lastUpdateId"], response["T"]) == (1003, START_MS + 5)


def test_its_id_is_after_the_last_change_of_either_kind() -> None:
    markets = opened({MIDDLE - 1: 5}, {MIDDLE + 1: 5})
    market = markets.by_symbol["BTCUSDT"]

    def id_now() -> int:
        response: Any = get(markets, "/v1/rpiDepth", symbol="BTCUSDT")
        return int(response["lastUpdateId"])

    assert id_now() == 1001, "between two changes, as of the book without RPI orders"
    market.apply(RpiUpdate("BTCUSDT", 1002, [(MIDDLE - 1, 1)], [], START_MS))
    assert id_now() == 1003
    market.apply(update(1000, 1004, [(MIDDLE - 2, 1)], [], START_MS))
    assert id_now() == 1005
    plain: Any = get(markets, "/v1/depth", symbol="BTCUSDT")
    assert plain["bids"][0] == ["65279.99", "0.005"], "the plain book never counts RPI orders"


def test_it_has_a_thousand_levels_and_no_other_number() -> None:
    many = {MIDDLE - n: 1 for n in range(1, 1500)}
    markets = opened(many, {MIDDLE + 1: 5})
    market = markets.by_symbol["BTCUSDT"]
    market.apply(RpiUpdate("BTCUSDT", 1002, [(MIDDLE - 1400, 1), (MIDDLE, 1)], [], START_MS))
    response: Any = get(markets, "/v1/rpiDepth", symbol="BTCUSDT", limit="1000")
    assert len(response["bids"]) == 1000
    assert response["bids"][0] == ["65280.00", "0.001"], "the best is an RPI order alone"
    for limit in ("5", "500", "0", "1001"):
        with pytest.raises(RequestError, match="is not valid depth limit") as refused:
            get(markets, "/v1/rpiDepth", symbol="BTCUSDT", limit=limit)
        assert refused.value.code == -4021


def test_without_a_book_it_is_not_known() -> None:
    markets = markets_of(LINEAR)
    for path in ("/v1/rpiDepth", "/v1/depth"):
        with pytest.raises(RequestError, match="The book of BTCUSDT is not known") as refused:
            get(markets, path, symbol="BTCUSDT")
        assert refused.value.status == 503
