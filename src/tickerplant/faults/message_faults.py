"""The faults of the messages of streams; `message_filters.py` lets connections have them."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Annotated, ClassVar

from tickerplant.faults import payloads
from tickerplant.faults.fault import OF_CONNECTIONS, ActsOn, Fault
from tickerplant.faults.params import (
    Duration,
    MaybeDuration,
    Mean,
    Offset,
    Share,
    Text,
    choice,
    whole,
)


class MessageFault(Fault):
    """Happens to messages of streams."""

    acts_on: ClassVar[ActsOn] = "message"
    acted_on = "messages"
    aims: ClassVar[tuple[str, ...]] = ("venue", "stream", *OF_CONNECTIONS)
    occasion = "it acts on messages of streams that are sent while it is on"
    takes_every: ClassVar[bool] = False
    """Whether it can hit every message, so that none has to be looked at to know that."""

    withholds: ClassVar[bool] = False
    """Whether it lets messages come later, and changes none."""

    def takes(self, _text: bytes) -> bool:
        """Return whether it can hit a message."""
        return True

    def change(self, text: bytes) -> Sequence[bytes]:
        """Return what comes in the place of a message; itself alone if that cannot be hit."""
        return (text,)

    def hold_ms(self, _random: Random) -> int | None:
        """Draw how long a message is withheld; None: until the next one of its stream."""
        return None


class Drop(MessageFault):
    """Connections miss messages, so that there is a hole in `U`, `u` and `pu`, or in the ids of
    trades; other subscribers of the stream get them.
    """

    joined = ("share",)
    takes_every = True
    share: Share = None
    mean: Mean = None

    def change(self, _text: bytes) -> Sequence[bytes]:
        return ()


class Chain(MessageFault):
    """Connections miss one message with ids (`depthUpdate`, `trade`, `aggTrade`), so that the chain of
    ids breaks; other subscribers of the stream get it.
    """

    mean: Mean = None

    def takes(self, text: bytes) -> bool:
        return payloads.has_ids(text)

    def change(self, _text: bytes) -> Sequence[bytes]:
        return ()


class Duplicate(MessageFault):
    """Messages come twice, one after the other."""

    joined = ("share",)
    takes_every = True
    share: Share = None
    mean: Mean = None

    def change(self, text: bytes) -> Sequence[bytes]:
        return text, text


class Reorder(MessageFault):
    """Messages come after the next one of their stream instead of before it."""

    joined = ("share",)
    withholds = True
    share: Share = None
    mean: Mean = None


class Delay(MessageFault):
    """Messages come late, after others that were made later; the rest of the connection is on time,
    unlike with `latency`. When 10,000 messages of a connection wait, the oldest comes early.
    """

    joined = ("time",)
    withholds = True
    is_timed = True
    time: Duration
    """How long a message is withheld, at least."""
    jitter: MaybeDuration = None
    """How much longer at most; drawn for each message."""
    share: Share = None
    mean: Mean = None

    def hold_ms(self, random: Random) -> int:
        return self.time + (random.randint(0, self.jitter) if self.jitter else 0)


class MissingField(MessageFault):
    """Messages lack a field; in an array, each element does."""

    field: Text = "E"
    """Its key, or a path such as `k.c` [the event time, `E`]."""
    share: Share = None

    def change(self, text: bytes) -> Sequence[bytes]:
        return (payloads.without_field(text, self.field),)


class Fields(MessageFault):
    """Stream messages end with unknown fields, a number and an object; in an array, each element does."""

    share: Share = None

    def change(self, text: bytes) -> Sequence[bytes]:
        return (payloads.with_unknown_fields(text),)


class Words(MessageFault):
    """Stream messages with a word in `X` (trades, forced orders) have an unknown one there, `NEW_WORD`."""

    share: Share = None

    def takes(self, text: bytes) -> bool:
        return payloads.has_word(text)

    def change(self, text: bytes) -> Sequence[bytes]:
        return (payloads.with_unknown_word(text),)


class Numbers(MessageFault):
    """Decimals are JSON numbers instead of strings, with the same digits."""

    share: Share = None

    def change(self, text: bytes) -> Sequence[bytes]:
        return (payloads.with_numbers(text),)


class Scale(MessageFault):
    """Prices or quantities have their decimal point elsewhere, as after a redenomination that a client
    has missed.
    """

    joined = ("digits", "share")
    digits: Annotated[int, whole(-8, 8)]
    """How many digits too large they are; negative: too small."""
    of: Annotated[payloads.Scaled, choice("price", "quantity")] = "price"
    """What is changed: `price` or `quantity` [price]."""
    share: Share = None

    def change(self, text: bytes) -> Sequence[bytes]:
        return (payloads.with_other_scale(text, self.digits, self.of),)


class Clock(MessageFault):
    """The exchange's clock is off: event times, transaction times, `serverTime` and `time` of messages
    and answers are; the bounds of candles and the times of fundings are not.
    """

    acts_on = "clock"
    acted_on = "times"
    aims = ("venue", "stream", *OF_CONNECTIONS, "path", "method")
    occasion = "it acts on messages and answers that have a time"
    by: Offset
    """How far it is ahead, such as `2s`; behind, such as `-5s`."""

    def change(self, text: bytes) -> Sequence[bytes]:
        return (payloads.with_clock_off(text, self.by),)
