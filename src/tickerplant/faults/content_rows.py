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
    "drop",
    "message",
    "Connections miss messages, so that there is a hole in `U`, `u` and `pu`, or in the ids of "
    "trades; other subscribers of the stream get them.",
    (SHARE, MEAN),
    joined=("share",),
)
CHAIN = FaultRow(
    "chain",
    "message",
    "Connections miss one message with ids (`depthUpdate`, `trade`, `aggTrade`), so that the "
    "chain of ids breaks; other subscribers of the stream get it.",
    (MEAN,),
)
DUPLICATE = FaultRow(
    "duplicate",
    "message",
    "Messages come twice, one after the other.",
    (SHARE, MEAN),
    joined=("share",),
)
REORDER = FaultRow(
    "reorder",
    "message",
    "Messages come after the next one of their stream instead of before it.",
    (SHARE, MEAN),
    joined=("share",),
)
DELAY = FaultRow(
    "delay",
    "message",
    "Messages come late, after others that were made later; the rest of the connection is on "
    "time, unlike with `latency`. When 10,000 messages of a connection wait, the oldest comes early.",
    (TIME, JITTER, SHARE, MEAN),
    joined=("time",),
)
MISSING_FIELD = FaultRow(
    "missing_field",
    "message",
    "Messages lack a field; in an array, each element does.",
    (
        Param(
            name="field",
            kind="text",
            default="E",
            doc="Its key, or a path such as `k.c` [the event time, `E`].",
        ),
        SHARE,
    ),
)
FIELDS = FaultRow(
    "fields",
    "message",
    "Stream messages end with unknown fields, a number and an object; in an array, each "
    "element does.",
    (SHARE,),
)
WORDS = FaultRow(
    "words",
    "message",
    "Stream messages with a word in `X` (trades, forced orders) have an unknown one there, "
    "`NEW_WORD`.",
    (SHARE,),
)
NUMBERS = FaultRow(
    "numbers",
    "message",
    "Decimals are JSON numbers instead of strings, with the same digits.",
    (SHARE,),
)
SCALE = FaultRow(
    "scale",
    "message",
    "Prices or quantities have their decimal point elsewhere, as after a redenomination that "
    "a client has missed.",
    (
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
    joined=("digits", "share"),
)
CLOCK = FaultRow(
    "clock",
    "clock",
    "The exchange's clock is off: event times, transaction times, `serverTime` and `time` of "
    "messages and answers are; the bounds of candles and the times of fundings are not.",
    (
        Param(
            name="by",
            kind="offset",
            required=True,
            doc="How far it is ahead, such as `2s`; behind, such as `-5s`.",
        ),
    ),
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
