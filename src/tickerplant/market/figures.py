"""The derived numbers of tickers, candles and trades, as the exchange writes them.

Integer arithmetic only. Quotients are rounded to the nearest last digit, halves away from zero;
captured tickers of both venues agree with that in every percent change and weighted average.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tickerplant.instrument import RATE_DECIMALS, Instrument, decimal_text, round_div

if TYPE_CHECKING:
    from tickerplant.market.minutes import Statistics

PERCENT_DECIMALS = 3
_HUNDRED_PERCENT = 100 * 10**PERCENT_DECIMALS
_POWERS_OF_TEN = tuple(int(10**exponent) for exponent in range(40))
"""More than any sum of two scales."""


def change(instrument: Instrument, stats: Statistics) -> str:
    """Return the price change, in price decimals."""
    return decimal_text(stats.last - stats.open, instrument.price.decimals)


def percent(stats: Statistics) -> str:
    """Return the change in percent of the opening price, with three decimals; 0 if none traded."""
    thousandths = round_div(_HUNDRED_PERCENT * (stats.last - stats.open), stats.open or 1)
    return decimal_text(thousandths, PERCENT_DECIMALS)


def weighted_average(instrument: Instrument, stats: Statistics) -> str:
    """Return the average price weighted by quantity; without trades the last price.

    USDⓈ-M: turnover / volume in price decimals. COIN-M: volume × contract size / turnover in eight
    decimals, in tickers and REST responses alike.
    """
    scale = instrument.price
    if not instrument.venue.inverse:
        volume = stats.volume
        average = (2 * stats.turnover + volume) // (2 * volume) if volume else stats.last
        return decimal_text(average, scale.decimals)
    if not stats.turnover:
        return decimal_text(
            stats.last * _POWERS_OF_TEN[RATE_DECIMALS - scale.decimals], RATE_DECIMALS
        )
    contracts_value = stats.volume * instrument.contract_size * _POWERS_OF_TEN[2 * RATE_DECIMALS]
    return decimal_text(round_div(contracts_value, stats.turnover), RATE_DECIMALS)


def ticker_turnover(
    instrument: Instrument, turnover: int, base_decimals: int = RATE_DECIMALS
) -> str:
    """Return a 24-hour turnover: USDⓈ-M in price decimals, COIN-M base coin in `base_decimals`."""
    if instrument.venue.inverse:
        decimals, dropped = base_decimals, RATE_DECIMALS - base_decimals
    else:
        decimals, dropped = instrument.price.decimals, instrument.quantity.decimals
    last_digit = _POWERS_OF_TEN[dropped]
    return decimal_text((2 * turnover + last_digit) // (2 * last_digit), decimals)


def volume(instrument: Instrument, stats: Statistics) -> str:
    """Return the volume; it rarely repeats, so the scale need not cache it."""
    return decimal_text(stats.volume, instrument.quantity.decimals)


def bar_turnover(instrument: Instrument, turnover: int) -> str:
    """Return a candle's exact turnover: price + quantity decimals, or base coin in eight."""
    return decimal_text(turnover, instrument.turnover_decimals)


def trade_turnover(instrument: Instrument, price: int, quantity: int) -> str:
    """Return the turnover of one trade: USDⓈ-M truncated to price decimals, COIN-M in eight.

    The exchange truncates here and does not round: 0.007 at 11494.06 is listed as 80.45.
    """
    turnover = instrument.turnover(price, quantity)
    if instrument.venue.inverse:
        return bar_turnover(instrument, turnover)
    whole = turnover // _POWERS_OF_TEN[instrument.quantity.decimals]
    return decimal_text(whole, instrument.price.decimals)
