"""The faults of order-book snapshots, as rows."""

from __future__ import annotations

from tickerplant.faults.row import SHARE, FaultRow, Param

STALE_MS = 10_000
"""How old the book of a stale snapshot is, where books of any age are kept, if nothing else is given."""

STALE_SNAPSHOT = FaultRow(
    "stale_snapshot",
    "snapshot",
    "Order books over REST and the WebSocket API (`depth`) are as they were earlier, with the "
    "`lastUpdateId` and the times of then, as from a cache or a replica that lags. On a test "
    f"server they are `age` old, {STALE_MS // 1_000} s without it; elsewhere as they were when the "
    "fault began, or as first answered, where the market is in another process.",
    (
        SHARE,
        Param(
            name="age",
            kind="duration",
            doc="How old they are, in market time. Only test servers keep books of any age.",
        ),
    ),
    joined=("share",),
)
CROSSED_BOOK = FaultRow(
    "crossed_book",
    "snapshot",
    "In order books over REST and the WebSocket API, the best bid has the price of the best "
    "ask, and the best ask that of the best bid.",
    (SHARE,),
)
EMPTY_BOOK = FaultRow(
    "empty_book",
    "snapshot",
    "Order books over REST and the WebSocket API have no levels, on both sides or on one; "
    "`lastUpdateId` and times are right.",
    (
        SHARE,
        Param(
            name="side",
            kind="choice",
            doc="The side without levels: `bids`, `asks` or `both`.",
            default="both",
            choices=("both", "bids", "asks"),
        ),
    ),
    joined=("share",),
)

SNAPSHOT_ROWS = (STALE_SNAPSHOT, CROSSED_BOOK, EMPTY_BOOK)
