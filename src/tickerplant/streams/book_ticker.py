"""Best bid and ask, of one symbol or of all."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import UNSET, UnsetType, field

from tickerplant.events import BookTicker
from tickerplant.streams.conflation import Conflation
from tickerplant.streams.pace import Conflated, Immediate, Pace, Subjects
from tickerplant.streams.pattern import Args, Pattern
from tickerplant.streams.stream import Payload, Stream, real_time
from tickerplant.streams.subjects import every_symbol, one_symbol

if TYPE_CHECKING:
    from tickerplant.market.market import Market


class BookTickerMessage(Payload, frozen=True, kw_only=True, tag="bookTicker"):
    """The best bid and ask after one change of price or quantity."""

    update_id: int = field(name="u")
    symbol: str = field(name="s")
    pair: str | UnsetType = field(name="ps", default=UNSET)
    bid_price: str = field(name="b")
    bid_quantity: str = field(name="B")
    ask_price: str = field(name="a")
    ask_quantity: str = field(name="A")
    transaction_time: int = field(name="T")
    event_time: int = field(name="E")
    symbol_type: int | UnsetType = field(name="st", default=UNSET)


def book_ticker(market: Market, event: BookTicker, now_ms: int, _args: Args) -> BookTickerMessage:
    """Return the best bid and ask."""
    price = market.instrument.price.text
    quantity = market.instrument.quantity.text
    return BookTickerMessage(
        update_id=event.update_id,
        symbol=event.symbol,
        pair=market.pair_label,
        bid_price=price[event.bid_price],
        bid_quantity=quantity[event.bid_quantity],
        ask_price=price[event.ask_price],
        ask_quantity=quantity[event.ask_quantity],
        transaction_time=event.transaction_time_ms,
        event_time=now_ms,
        symbol_type=market.type_label,
    )


def _immediate_or_conflated(period_ms: int, subjects: Subjects) -> Pace:
    """Send every change at once if the venue is in real time, else the last one of each period."""
    return Conflated(period_ms, subjects) if period_ms else Immediate(period_ms, subjects)


STREAMS = (
    Stream(
        pattern=Pattern("<symbol>@bookTicker"),
        subjects=one_symbol,
        events=("bookTicker",),
        follows=(BookTicker,),
        pace=Immediate,
        period=real_time,
        build=book_ticker,
        route="public",
        conflation=Conflation.NEWEST,
        doc="Best bid and ask of a symbol, at every change of price or quantity.",
    ),
    Stream(
        pattern=Pattern("!bookTicker"),
        subjects=every_symbol,
        events=("bookTicker",),
        follows=(BookTicker,),
        pace=_immediate_or_conflated,
        period=lambda venue, _: venue.all_book_ticker_ms,
        build=book_ticker,
        route="public",
        conflation=Conflation.NEWEST_OF_SYMBOL,
        doc="Best bid and ask of every symbol that changed, one message per symbol.",
    ),
)
