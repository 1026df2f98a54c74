"""Candles of trades, and of the index price, mark price and premium index."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING, TypeAlias

from msgspec import Raw, structs

from tickerplant.instrument import RATE_DECIMALS, Instrument
from tickerplant.market.bars import (
    CLOSE,
    COUNT,
    OPEN,
    OPEN_TIME,
    TAKER_BUY_TURNOVER,
    TAKER_BUY_VOLUME,
    TURNOVER,
    VOLUME,
)
from tickerplant.market.candle_window import CLOSE_TIME, CandleWindow
from tickerplant.market.row_form import Number, RowForm, row_form
from tickerplant.queries import request_errors
from tickerplant.queries.param import (
    CONTRACT_TYPE,
    END_TIME,
    START_TIME,
    Param,
    check_window,
    contract_with_candles,
    interval,
    limit,
    market_with_candles,
    pair_anywhere,
)
from tickerplant.queries.query import LimitWeight, Query
from tickerplant.units import DAY_MS
from tickerplant.venue import COINM

if TYPE_CHECKING:
    from tickerplant.market.candles import Candles
    from tickerplant.market.contract_series import Contract
    from tickerplant.market.market import Market
    from tickerplant.market.markets import Markets


PRICES = range(OPEN, CLOSE + 1)
MAX_LIMIT = 1500
DEFAULT_LIMIT = 500
DIGITS_OF_FORMS = 64
"""Most combinations of decimals whose forms are cached."""


@lru_cache(maxsize=DIGITS_OF_FORMS)
def _kline_form(price: int, quantity: int, turnover: int) -> RowForm:
    """Return the form of a candle of trades with so many decimals.

    Open time, open, high, low, close, volume, close time, turnover, trades, taker-bought volume and
    turnover, and an unused field.
    """
    return row_form(
        '[{},"{}","{}","{}","{}","{}",{},"{}",{},"{}","{}","0"]',
        Number(OPEN_TIME),
        *(Number(column, price) for column in PRICES),
        Number(VOLUME, quantity),
        Number(CLOSE_TIME),
        Number(TURNOVER, turnover),
        Number(COUNT),
        Number(TAKER_BUY_VOLUME, quantity),
        Number(TAKER_BUY_TURNOVER, turnover),
    )


PRICE_FORM = row_form(
    '[{},"{}","{}","{}","{}","0",{},"0",{},"0","0","0"]',
    Number(OPEN_TIME),
    *(Number(column, RATE_DECIMALS) for column in PRICES),
    Number(CLOSE_TIME),
    Number(COUNT),
)
"""The form of a candle of a price that is not traded: its volumes and turnovers are 0."""


def window_of(
    instrument: Instrument, interval: str, start_ms: int | None, end_ms: int | None, limit: int
) -> CandleWindow:
    """Return the candles of a request by the rule of the venue.

    USDⓈ-M: with a start the first ones, otherwise the latest ones. COIN-M: the latest ones of at
    most 200 days; a missing end of the window is that far from the other (Kline Candlestick Data
    page).
    """
    days = instrument.venue.kline_window_days
    if days is None:
        return CandleWindow(interval, start_ms, end_ms, limit)
    width_ms = days * DAY_MS
    if start_ms is None:
        start_ms = None if end_ms is None else end_ms - width_ms
    elif end_ms is None:
        end_ms = start_ms + width_ms
    elif end_ms - start_ms > width_ms:
        raise request_errors.interval_too_long(days)
    return CandleWindow(interval, start_ms, end_ms, limit, is_latest=True)


Found: TypeAlias = "tuple[Instrument, Candles, RowForm] | None"
"""A contract, candles, and their form; None if there are none."""


def klines(contract: Market | Contract) -> Found:
    """Return the candles of a contract."""
    return contract.instrument, contract.candles, _form_of(contract.instrument)


def _form_of(instrument: Instrument) -> RowForm:
    decimals = instrument.price.decimals, instrument.quantity.decimals
    return _kline_form(*decimals, instrument.turnover_decimals)


def continuous_klines(listing: tuple[Markets, str], contract_type: str) -> Found:
    """Return the candles of the contracts that have or had a type on a pair."""
    markets, pair = listing
    found = markets.candles(pair, contract_type)
    return None if found is None else (*found, _form_of(found[0]))


def mark_price_klines(market: Market) -> Found:
    """Return the candles of the mark price of a market."""
    return market.instrument, market.marks.candles, PRICE_FORM


def premium_index_klines(market: Market) -> Found:
    """Return the candles of the premium index of a market."""
    return market.instrument, market.premiums.candles, PRICE_FORM


def index_price_klines(listing: tuple[Markets, str]) -> Found:
    """Return the index candles of a pair, from its longest-lived contract."""
    markets, pair = listing
    market = markets.of_pair(pair)[-1]
    return market.instrument, market.indices.candles, PRICE_FORM


SYMBOL = Param(
    "symbol",
    "market",
    market_with_candles,
    "The symbol; in the merged universe of either venue.",
    required=True,
)
CONTRACT = structs.replace(
    SYMBOL,
    argument="contract",
    read=contract_with_candles,
    doc=f"{SYMBOL.doc} Delivered contracts too.",
)
PAIR = structs.replace(
    SYMBOL,
    name="pair",
    argument="listing",
    read=pair_anywhere,
    doc="The pair; in the merged universe of either venue.",
)
CANDLE_PARAMS = (
    Param("interval", "interval", interval, "Length of a candle, `1m` to `1M`.", required=True),
    START_TIME,
    END_TIME,
    limit(MAX_LIMIT, DEFAULT_LIMIT),
)
# Kline pages: weights 1, 2, 5, 10. Production was measured to include 100 and 500 in the lower
# band, and to charge 5 without a limit.
WEIGHT = LimitWeight(((100, 1), (500, 2), (1000, 5), (MAX_LIMIT, 10)), unlimited=5)
WINDOW_DOC = (
    "USDⓈ-M: with `startTime` the first from there on, otherwise the latest; "
    f"COIN-M: the latest of a window of at most {COINM.kline_window_days} days."
)


def _query(name: str, handler: Callable[..., Found], doc: str, *params: Param) -> Query:
    """Return the query of a kind of candles: `params`, then the window."""

    def respond(
        markets: Markets,
        *,
        interval: str,
        start_ms: int | None,
        end_ms: int | None,
        limit: int,
        **others: object,
    ) -> Raw:
        """Return the candles, oldest first, including the open one."""
        check_window(start_ms, end_ms)
        found = handler(**others)
        if found is None:
            return Raw(b"[]")
        instrument, candles, form = found
        window = window_of(instrument, interval, start_ms, end_ms, limit)
        return Raw(markets.candle_texts.page(candles, window, form))

    return Query(
        path=f"/v1/{name}",
        weight=WEIGHT,
        params=(*params, *CANDLE_PARAMS),
        handler=respond,
        doc=f"Candles of {doc}. {WINDOW_DOC}",
    )


QUERIES = (
    _query("klines", klines, "a symbol", CONTRACT),
    _query(
        "continuousKlines",
        continuous_klines,
        "the contracts of a pair that have or had the type, one after the other",
        PAIR,
        CONTRACT_TYPE,
    ),
    _query("indexPriceKlines", index_price_klines, "the index price of a pair", PAIR),
    _query("markPriceKlines", mark_price_klines, "the mark price of a symbol", SYMBOL),
    _query("premiumIndexKlines", premium_index_klines, "the premium index of a symbol", SYMBOL),
)
