"""Parameters of requests: their names, how values are read, and defaults.

REST sends every value as text, the WebSocket API as JSON; both are read alike, so an integer may
also come as "5". Symbols and pairs may be in lower case, as production allows.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING, TypeAlias

from msgspec import Struct

from tickerplant.errors import RequestError
from tickerplant.instrument import ANNOUNCED, CONTRACT_TYPES
from tickerplant.market.interval import INTERVALS
from tickerplant.queries import request_errors
from tickerplant.stream_name import upper_case

if TYPE_CHECKING:
    from tickerplant.market.contract_series import Contract
    from tickerplant.market.market import Market
    from tickerplant.market.markets import Markets
    from tickerplant.market.series import FundingSeries

Reader: TypeAlias = "Callable[[Markets, str, object], object]"
"""Takes the markets, the name of a parameter and its raw value; returns the parsed value.

Raises `RequestError` for an invalid value.
"""

INTEGER = "^[0-9]{1,20}$"
SYMBOL = r"^[\w.-]{1,40}$"
SETTLING = "SETTLING"
"""The status of a delisted contract until it is removed; production refuses its candles."""
LARGEST = 2**62
"""Enough for times in nanoseconds, with room to add to them in 64 bits."""

_INTEGER = re.compile(INTEGER, re.ASCII)
_SYMBOL = re.compile(SYMBOL)


class Param(Struct, frozen=True):
    """One parameter of a request."""

    name: str
    """Its name on the wire."""
    argument: str
    """Its name as an argument of the handler."""
    read: Reader
    doc: str
    required: bool = False
    default: object = None

    def value(self, markets: Markets, raw: Mapping[str, object]) -> object:
        """Return the value of this parameter in `raw`, or the default."""
        sent = raw.get(self.name)
        if sent is not None and sent != "":
            return self.read(markets, self.name, sent)
        if self.required:
            raise request_errors.not_sent(self.name)
        if sent is not None:
            raise request_errors.empty(self.name)
        return self.default


def text(name: str, value: object) -> str:
    """Return `value` if it is text."""
    if not isinstance(value, str):
        raise request_errors.not_valid(name)
    return value


def number(_markets: Markets, name: str, value: object) -> int:
    """Return `value` as an integer from 0 to `LARGEST`."""
    if isinstance(value, str):
        if not _INTEGER.fullmatch(value):
            raise request_errors.illegal_characters(name, INTEGER)
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= LARGEST:
        raise request_errors.not_valid(name)
    return value


def count(most: int) -> Reader:
    """Return a reader of integers from 1 to `most`."""

    def read(markets: Markets, name: str, value: object) -> int:
        parsed = number(markets, name, value)
        if not 1 <= parsed <= most:
            raise request_errors.not_valid(name)
        return parsed

    return read


def word(name: str, value: object) -> str:
    """Return a symbol or pair in upper case."""
    spelled = text(name, value)
    if not _SYMBOL.fullmatch(spelled):
        raise request_errors.illegal_characters(name, SYMBOL)
    return upper_case(spelled)


def listed_market(markets: Markets, name: str, value: object) -> Market:
    """Return the market of the symbol `value`, even if it does not trade yet."""
    return _unless(markets.by_symbol.get(word(name, value)))


def market(markets: Markets, name: str, value: object) -> Market:
    """Return the market of the symbol `value`; one that is only announced is refused."""
    return _unless(markets.by_symbol.get(word(name, value)), ANNOUNCED)


def market_with_candles(markets: Markets, name: str, value: object) -> Market:
    """Do what `market` does on all venues that are listed here; one that is being settled is refused too."""
    return _unless(markets.find_in_universe(word(name, value)), ANNOUNCED, SETTLING)


def contract_with_candles(markets: Markets, name: str, value: object) -> Market | Contract:
    """Do what `market_with_candles` does, but return dated contracts that were delivered too."""
    symbol = word(name, value)
    delivered = (listed.delivered(symbol) for listed in (markets, *markets.others))
    if markets.find_in_universe(symbol) is None and (found := next(filter(None, delivered), None)):
        return found
    return market_with_candles(markets, name, value)


def _unless(found: Market | None, *refused: str) -> Market:
    """Return `found` if it exists and its status is none of `refused`."""
    if found is None:
        raise request_errors.invalid_symbol()
    if found.instrument.status in refused:
        raise request_errors.invalid_symbol_status()
    return found


def fundings(markets: Markets, name: str, value: object) -> FundingSeries:
    """Return the funding payments of the symbol `value`, even if it was removed."""
    removed = markets.former_fundings.get(word(name, value))
    return market(markets, name, value).fundings if removed is None else removed


def pair(markets: Markets, name: str, value: object) -> str:
    """Return `value` if it is the pair of at least one market."""
    parsed = word(name, value)
    if not markets.of_pair(parsed):
        raise _unknown_pair(markets)
    return parsed


def contracts(markets: Markets, name: str, value: object) -> list[Market]:
    """Return the markets of the pair `value`, the perpetual last."""
    return markets.of_pair(pair(markets, name, value))


def pair_anywhere(markets: Markets, name: str, value: object) -> tuple[Markets, str]:
    """Return the pair `value`, and the markets of the venue that has it, of any that is listed here."""
    parsed = word(name, value)
    for listed in (markets, *markets.others):
        if listed.of_pair(parsed):
            return listed, parsed
    raise _unknown_pair(markets)


def _unknown_pair(markets: Markets) -> RequestError:
    inverse = markets.venue.inverse
    return request_errors.invalid_coin_pair() if inverse else request_errors.invalid_pair()


def one_of(words: Collection[str]) -> Reader:
    """Return a reader that accepts `words` only, and raises -1130 for others."""

    def read(_markets: Markets, name: str, value: object) -> str:
        parsed = text(name, value)
        if parsed not in words:
            raise request_errors.not_valid(name)
        return parsed

    return read


def interval(_markets: Markets, name: str, value: object) -> str:
    """Return `value` if it is the name of an interval."""
    parsed = text(name, value)
    if parsed not in INTERVALS:
        raise request_errors.invalid_interval()
    return parsed


ONE_SYMBOL = Param("symbol", "market", market, "The symbol.", required=True)
ANY_SYMBOL = Param("symbol", "market", market, "The symbol; every symbol if left out.")
ANY_PAIR = Param("pair", "pair", pair, "The symbols of this pair; not together with `symbol`.")
START_TIME = Param("startTime", "start_ms", number, "First millisecond of the window.")
END_TIME = Param("endTime", "end_ms", number, "Last millisecond of the window.")


def limit(most: int, default: int) -> Param:
    """Return the parameter that says how many rows are wanted."""
    return Param("limit", "limit", count(most), f"How many, at most {most}.", default=default)


CONTRACT_TYPE = Param(
    "contractType",
    "contract_type",
    one_of(CONTRACT_TYPES),
    f"Which contract of the pair: one of {', '.join(CONTRACT_TYPES)}.",
    required=True,
)


def check_window(start_ms: int | None, end_ms: int | None) -> None:
    """Check that a window with both ends does not end before it begins."""
    if start_ms is not None and end_ms is not None and start_ms > end_ms:
        raise request_errors.start_after_end()
