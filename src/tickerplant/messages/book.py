"""The order book: its changes, its best levels, and snapshots of it."""

from __future__ import annotations

from typing import Literal, TypeAlias, get_args, overload

from msgspec import field

from tickerplant.errors import ConfigError
from tickerplant.messages.message import Message, StreamName
from tickerplant.stream_name import choice, symbol_part

DepthLevels: TypeAlias = Literal[5, 10, 20]
"""Levels per side in the streams of the best levels."""
DiffSpeed: TypeAlias = Literal["0ms", "100ms", "250ms", "500ms"]
"""How often changes of a book are sent; the exchange does not document `0ms`, every change at once."""
BookSpeed: TypeAlias = Literal["100ms", "250ms", "500ms"]
"""How often the best levels are sent; local books follow changes at one of these speeds."""
SnapshotLimit: TypeAlias = Literal[5, 10, 20, 50, 100, 500, 1000]
"""Levels per side that a snapshot can have."""
_UNNAMED_SPEED = "250ms"
"""The speed of the names without one."""
_RPI_SPEED = "500ms"

SNAPSHOT_LEVELS = 1000
"""Levels per side in the deepest snapshot that the exchange offers."""


class DepthUpdate(Message, kw_only=True, gc=False):
    """`<symbol>@depth`, `@depth5`, `@depth10`, `@depth20`, `@rpiDepth`, at any speed.

    Levels are price and absolute quantity.  In a diff (`@depth`, `@rpiDepth`) they are the changed
    ones, and quantity 0 removes a level; otherwise they are the best ones, best first.
    """

    event_time_ms: int = field(name="E")
    transaction_time_ms: int = field(name="T")
    """When the book last changed."""
    symbol: str = field(name="s")
    pair: str = field(name="ps", default="")
    first_update_id: int = field(name="U")
    final_update_id: int = field(name="u")
    previous_update_id: int = field(name="pu")
    """The final update id of the previous message; if it differs, messages are missing."""
    bids: list[tuple[str, str]] = field(name="b")
    asks: list[tuple[str, str]] = field(name="a")
    symbol_type: int = field(name="st", default=0)
    """1 on USDⓈ-M, 2 on COIN-M; 0 if the message does not contain it."""

    @overload
    @classmethod
    def of(
        cls,
        symbol: str,
        *,
        speed: DiffSpeed = ...,
        levels: None = ...,
        rpi: Literal[False] = ...,
    ) -> StreamName[DepthUpdate]: ...
    @overload
    @classmethod
    def of(
        cls,
        symbol: str,
        *,
        speed: BookSpeed = ...,
        levels: DepthLevels,
        rpi: Literal[False] = ...,
    ) -> StreamName[DepthUpdate]: ...
    @overload
    @classmethod
    def of(
        cls,
        symbol: str,
        *,
        speed: Literal["500ms"] = ...,
        levels: None = ...,
        rpi: Literal[True],
    ) -> StreamName[DepthUpdate]: ...
    @classmethod
    def of(
        cls,
        symbol: str,
        *,
        speed: DiffSpeed | None = None,
        levels: DepthLevels | None = None,
        rpi: bool = False,
    ) -> StreamName[DepthUpdate]:
        """Return the name of a stream of changes of the book of `symbol`, or of its best levels.

        It is `<symbol>@depth`, `<symbol>@depth<levels>` or `<symbol>@rpiDepth`, followed by the
        speed unless that is `250ms` (Diff. Book Depth, Partial Book Depth and RPI Diff. Book Depth
        Streams pages).

        Args:
            symbol: The symbol.
            speed: How often it is sent; without it `250ms`, or `500ms` with RPI orders, their only
                speed.  `0ms`, every change at once, is not documented by the exchange.
            levels: The number of best levels per side; None for the changes of all levels.
            rpi: Whether to include RPI orders; only USDⓈ-M has them.

        Raises:
            ConfigError: The text cannot be a symbol, or there is no such stream.
        """
        topic = symbol_part("symbol", symbol)
        if rpi:
            if levels is not None:
                raise ConfigError(
                    "levels", levels, "None with rpi=True: best levels contain no RPI orders"
                )
            chosen = choice("speed", _RPI_SPEED if speed is None else speed, (_RPI_SPEED,))
            return StreamName(f"{topic}@rpiDepth@{chosen}")
        if levels is None:
            kind, speeds = "depth", get_args(DiffSpeed)
        else:
            kind = f"depth{choice('levels', levels, get_args(DepthLevels))}"
            speeds = get_args(BookSpeed)
        chosen = choice("speed", _UNNAMED_SPEED if speed is None else speed, speeds)
        return StreamName(f"{topic}@{kind}" + f"@{chosen}" * (chosen != _UNNAMED_SPEED))


class DepthSnapshot(Message, kw_only=True, gc=False):
    """The response of `depth`: the best levels of a book, best first.

    It includes every update whose final update id is not above `last_update_id`.
    """

    symbol: str = ""
    """USDⓈ-M responses do not contain it; in a recording it is taken from the request."""
    last_update_id: int = field(name="lastUpdateId")
    event_time_ms: int = field(name="E", default=0)
    transaction_time_ms: int = field(name="T", default=0)
    """When the book last changed."""
    bids: list[tuple[str, str]]
    asks: list[tuple[str, str]]


def requested_levels(snapshot: DepthSnapshot) -> int:
    """Return the number of levels that were requested with a snapshot, as far as they show it.

    A side with fewer levels is complete; of a side with that many, there may be more.
    """
    levels = max(len(snapshot.bids), len(snapshot.asks))
    return next((limit for limit in get_args(SnapshotLimit) if limit >= levels), levels)


class BookTicker(Message, kw_only=True, gc=False):
    """`<symbol>@bookTicker`, `!bookTicker`: the best bid and ask after one change of the book."""

    update_id: int = field(name="u")
    """Id of the change; increasing for a symbol, with gaps."""
    symbol: str = field(name="s")
    pair: str = field(name="ps", default="")
    bid_price: str = field(name="b")
    bid_quantity: str = field(name="B")
    ask_price: str = field(name="a")
    ask_quantity: str = field(name="A")
    transaction_time_ms: int = field(name="T", default=0)
    """When the book changed; 0 in recordings older than this field."""
    event_time_ms: int = field(name="E", default=0)
    """When the message was sent; 0 in recordings older than this field."""
    symbol_type: int = field(name="st", default=0)
    """1 on USDⓈ-M, 2 on COIN-M; 0 if the message does not contain it."""

    @classmethod
    def of(cls, symbol: str | None = None) -> StreamName[BookTicker]:
        """Return the name of the stream of best prices of `symbol`, or of all symbols.

        It is `<symbol>@bookTicker` (Individual Symbol Book Ticker Streams page) or `!bookTicker`,
        which USDⓈ-M sends every 5 seconds (All Book Tickers Stream page).

        Args:
            symbol: The symbol; None for all.

        Raises:
            ConfigError: The text cannot be a symbol.
        """
        if symbol is None:
            return StreamName("!bookTicker")
        return StreamName(f"{symbol_part('symbol', symbol)}@bookTicker")
