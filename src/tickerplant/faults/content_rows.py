"""The faults of messages and of the exchange's clock, as rows; `message_faults.py` carries them out."""

from __future__ import annotations

from tickerplant.faults.row import MEAN, SHARE, FaultRow, Param

TIME = Param(
    name="time", kind="duration", required=True, doc="How long a message is withheld, at least."
)
JITTER = Param(
    name="jitter", kind="duration", doc="How much longer at most; drawn for each message."
)

DROP = FaultRow(
    name="drop",
    acts_on="message",
    doc="Connections miss messages, so that there is a hole in `U`, `u` and `pu`, or in the ids of "
    "trades; other subscribers of the stream get them.",
    params=(SHARE, MEAN),
    value=("share",),
)
CHAIN = FaultRow(
    name="chain",
    acts_on="message",
    doc="Connections miss one message with ids (`depthUpdate`, `trade`, `aggTrade`), so that the "
    "chain of ids breaks; other subscribers of the stream get it.",
    params=(MEAN,),
    value=("mean",),
)
DUPLICATE = FaultRow(
    name="duplicate",
    acts_on="message",
    doc="Messages come twice, one after the other.",
    params=(SHARE, MEAN),
    value=("share",),
)
REORDER = FaultRow(
    name="reorder",
    acts_on="message",
    doc="Messages come after the next one of their stream instead of before it.",
    params=(SHARE, MEAN),
    value=("share",),
)
DELAY = FaultRow(
    name="delay",
    acts_on="message",
    doc="Messages come late, after others that were made later; the rest of the connection is on "
    "time, unlike with `latency`. When 10,000 messages of a connection wait, the oldest comes early.",
    params=(TIME, JITTER, SHARE, MEAN),
    value=("time",),
)
MISSING_FIELD = FaultRow(
    name="missing_field",
    acts_on="message",
    doc="Messages lack a field; in an array, each element does.",
    params=(
        Param(
            name="field",
            kind="text",
            default="E",
            doc="Its key, or a path such as `k.c` [the event time, `E`].",
        ),
        SHARE,
    ),
    value=("field", "share"),
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
NUMBERS = FaultRow(
    name="numbers",
    acts_on="message",
    doc="Decimals are JSON numbers instead of strings, with the same digits.",
    params=(SHARE,),
    value=("share",),
)
SCALE = FaultRow(
    name="scale",
    acts_on="message",
    doc="Prices or quantities have their decimal point elsewhere, as after a redenomination that "
    "a client has missed.",
    params=(
        Param(
            name="digits",
            kind="integer",
            least=-8,
            most=8,
            required=True,
            doc="How many digits too large they are; negative: too small.",
        ),
        Param(
            name="of",
            kind="choice",
            choices=("price", "quantity"),
            default="price",
            doc="What is changed: `price` or `quantity` [price].",
        ),
        SHARE,
    ),
    value=("digits", "share"),
)
CLOCK = FaultRow(
    name="clock",
    acts_on="clock",
    doc="The exchange's clock is off: event times, transaction times, `serverTime` and `time` of "
    "messages and answers are; the bounds of candles and the times of fundings are not.",
    params=(
        Param(
            name="by",
            kind="offset",
            required=True,
            doc="How far it is ahead, such as `2s`; behind, such as `-5s`.",
        ),
    ),
    value=("by",),
)

CONTENT_ROWS = (
    DROP,
    CHAIN,
    DUPLICATE,
    REORDER,
    DELAY,
    MISSING_FIELD,
    FIELDS,
    WORDS,
    NUMBERS,
    SCALE,
    CLOCK,
)
