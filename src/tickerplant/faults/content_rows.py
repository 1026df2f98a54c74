"""The faults of messages, snapshots and clocks, as rows."""

from __future__ import annotations

from tickerplant.faults.row import MEAN, SHARE, FaultRow

CHAIN = FaultRow(
    name="chain",
    acts_on="message",
    doc="Connections miss one message with ids (`depthUpdate`, `trade`, `aggTrade`), so that the "
    "chain of ids breaks; other subscribers of the stream get it.",
    params=(MEAN,),
    value=("mean",),
)
FIELDS = FaultRow(
    name="fields",
    acts_on="message",
    doc="Stream messages end with unknown fields, a number and an object; in an array, each "
    "element does.",
    params=(SHARE,),
    value=("share",),
)
WORDS = FaultRow(
    name="words",
    acts_on="message",
    doc="Stream messages with a word in `X` (trades, forced orders) have an unknown one there, "
    "`NEW_WORD`.",
    params=(SHARE,),
    value=("share",),
)

CONTENT_ROWS = (CHAIN, FIELDS, WORDS)
