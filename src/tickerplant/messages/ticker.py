"""Rolling 24-hour statistics."""

from __future__ import annotations

from msgspec import field

from tickerplant.messages.message import Message, StreamName
from tickerplant.stream_name import symbol_part


class MiniTicker(Message, kw_only=True, gc=False):
    """`<symbol>@miniTicker`, and the elements of `!miniTicker@arr`."""

    event_time_ms: int = field(name="E")
    symbol: str = field(name="s")
    pair: str = field(name="ps", default="")
    close_price: str = field(name="c")
    """The last price."""
    open_price: str = field(name="o")
    """The price 24 hours before."""
    high_price: str = field(name="h")
    low_price: str = field(name="l")
    volume: str = field(name="v")
    """In base asset on USDⓈ-M, in contracts on COIN-M."""
    turnover: str = field(name="q")
    """In quote asset on USDⓈ-M, in base asset on COIN-M."""
    symbol_type: int = field(name="st", default=0)
    """1 on USDⓈ-M, 2 on COIN-M; 0 if the message does not contain it."""

    @classmethod
    def of(cls, symbol: str | None = None) -> StreamName[MiniTicker]:
        """Return the name of the stream of short statistics of `symbol`, or of all symbols.

        It is `<symbol>@miniTicker` or `!miniTicker@arr`; the latter has only the symbols that
        changed (All Market Mini Tickers Stream page).

        Args:
            symbol: The symbol; None for all.

        Raises:
            ConfigError: The text cannot be a symbol.
        """
        if symbol is None:
            return StreamName("!miniTicker@arr")
        return StreamName(f"{symbol_part('symbol', symbol)}@miniTicker")


class Ticker(Message, kw_only=True, gc=False):
    """`<symbol>@ticker`, and the elements of `!ticker@arr`."""

    event_time_ms: int = field(name="E")
    symbol: str = field(name="s")
    pair: str = field(name="ps", default="")
    price_change: str = field(name="p")
    """The last price minus the opening price."""
    price_change_percent: str = field(name="P")
    weighted_average_price: str = field(name="w")
    close_price: str = field(name="c")
    """The last price."""
    last_quantity: str = field(name="Q")
    open_price: str = field(name="o")
    """The price 24 hours before."""
    high_price: str = field(name="h")
    low_price: str = field(name="l")
    volume: str = field(name="v")
    """In base asset on USDⓈ-M, in contracts on COIN-M."""
    turnover: str = field(name="q")
    """In quote asset on USDⓈ-M, in base asset on COIN-M."""
    open_time_ms: int = field(name="O")
    """When the 24 hours began."""
    close_time_ms: int = field(name="C")
    """When they ended."""
    first_trade_id: int = field(name="F")
    last_trade_id: int = field(name="L")
    trade_count: int = field(name="n")
    symbol_type: int = field(name="st", default=0)
    """1 on USDⓈ-M, 2 on COIN-M; 0 if the message does not contain it."""

    @classmethod
    def of(cls, symbol: str | None = None) -> StreamName[Ticker]:
        """Return the name of the stream of all statistics of `symbol`, or of all symbols.

        It is `<symbol>@ticker` or `!ticker@arr`; the latter has only the symbols that changed
        (All Market Tickers Streams page).

        Args:
            symbol: The symbol; None for all.

        Raises:
            ConfigError: The text cannot be a symbol.
        """
        if symbol is None:
            return StreamName("!ticker@arr")
        return StreamName(f"{symbol_part('symbol', symbol)}@ticker")
