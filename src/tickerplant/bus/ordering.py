"""The messages of a plant at an edge: in the plant's order, each once, none missing without a word.

    live ── a message is missing, or the connection was cut ──▶ holding ── settled ──▶ live

While it is *live*, batches are delivered as they come, up to an interleaved turn, which waits for its
mark.  While it is *holding*, batches wait until those before them were replayed from the memory of the
bus.  A stream that cannot be made whole is lost: its subscribers are told, and it goes on from the
next batch.

Streams are known by their subjects.  Pure.
"""

from __future__ import annotations

from collections.abc import Iterable
from operator import itemgetter
from typing import Protocol, TypeAlias

from tickerplant.bus.batches import Batch, Message

ANY = -1
"""The last number of a stream that goes on with any message."""
MAX_HELD_BYTES = 64 << 20
"""Payload bytes that wait while the memory is read; more, and all streams are lost instead."""

_Arrival: TypeAlias = tuple[str, Batch]


class Outlet(Protocol):
    """Where the messages go."""

    def deliver(self, subject: str, message: Message) -> object:
        """Take the next message."""
        ...

    def lose(self, subjects: Iterable[str], reason: str) -> object:
        """Note that messages of streams may be missing before the next one."""
        ...

    def recover(self) -> object:
        """Replay the messages after `Ordering.delivered`, then `settle`."""
        ...


class Ordering:
    """Restores the order over all streams of an edge, and finds what is missing.

    Args:
        epoch: The run of the plant whose numbers count.
        control: The subject of the control messages, which is always open.
        outlet: Takes the messages; must not call back.
    """

    def __init__(self, epoch: str, control: str, outlet: Outlet) -> None:
        self.epoch = epoch
        self.delivered = 0
        """The greatest number that was delivered, or that is known not to concern this edge."""
        self.is_holding = False
        """Whether batches wait until those before them were replayed."""
        self.duplicate_count = 0
        """Messages that were delivered already."""
        self.foreign_count = 0
        """Batches of another run of the plant, or of a stream that it has not accepted yet."""
        self.late_count = 0
        """Batches that came after later messages of other streams."""
        self.lost_count = 0
        """Times a stream could not be made whole."""
        self.held_bytes = 0
        self._control = control
        self._outlet = outlet
        self._last: dict[str, int | None] = {control: ANY}
        """The last number of each open stream; None until the plant has accepted the interest."""
        self._turn: list[_Arrival] = []
        """The batches of an interleaved turn, until its mark."""
        self._held: list[_Arrival] = []
        self._expected: dict[str, int] = {}
        """The plant's last number of streams of which messages are missing."""

    # Streams

    def open(self, subject: str) -> None:
        """Expect batches of `subject` as soon as the plant has accepted the interest."""
        self._last[subject] = None

    def close(self, subject: str) -> None:
        """Expect no batches of `subject` any more."""
        self._last.pop(subject, None)

    def accept(self, subjects: Iterable[str], number: int) -> None:
        """Expect every message of `subjects` after `number`: the plant publishes them."""
        for subject in subjects:
            if self._last.get(subject, ANY) is None:
                self._last[subject] = max(number, self.delivered)
                if not self.is_holding:
                    self.delivered = max(self.delivered, number)

    def restart(self, epoch: str) -> None:
        """Forget every number: another run of the plant begins."""
        self.epoch, self.delivered = epoch, 0
        self._go_on(None)

    # Live

    def take(self, subject: str, batch: Batch) -> None:
        """Take a batch as it comes from the bus."""
        if batch.epoch != self.epoch or self._last.get(subject) is None:
            self.foreign_count += 1
        elif self.is_holding:
            self._hold([(subject, batch)])
        elif self._turn or batch.is_interleaved or not batch.messages:
            self._take_in_turn(subject, batch)
        elif not self._admit([(subject, batch)], is_final=False):
            self._begin_holding([(subject, batch)])

    def check(self, latest: Iterable[tuple[str, int]]) -> None:
        """Compare with the plant's own last numbers of streams, as of now."""
        missing = [
            (subject, number)
            for subject, number in latest
            if (last := self._last.get(subject)) is not None and ANY < last < number
        ]
        if missing:
            self._expected.update(missing)
            if not self.is_holding:
                self._begin_holding([])

    def cut(self) -> None:
        """Hold what comes from now on: messages may have been missed."""
        self._turn.clear()  # its end may be among them
        if not self.is_holding:
            self._begin_holding([])

    def _take_in_turn(self, subject: str, batch: Batch) -> None:
        """Keep a batch of an interleaved turn; deliver the turn at its end."""
        if batch.is_interleaved:
            self._turn.append((subject, batch))
            return
        turn, self._turn = self._turn, []
        if batch.messages:  # the mark is missing
            turn.append((subject, batch))
        if turn and not self._admit(turn, is_final=False):
            self._begin_holding(turn)

    # Holding

    def replay(self, subject: str, batch: Batch) -> None:
        """Take a batch from the memory of the bus, in its order."""
        last = self._last.get(subject)
        if batch.epoch != self.epoch or not self.is_holding or last is None:
            return
        if not batch.messages:
            turn, self._turn = self._turn, []
            self._admit(turn, is_final=True)
        elif batch.messages[-1].number <= self.delivered:
            self.duplicate_count += len(batch.messages)
        elif batch.is_interleaved:
            self._turn.append((subject, batch))
        else:
            turn, self._turn = [*self._turn, (subject, batch)], []
            self._admit(turn, is_final=True)

    def settle(self, *, is_final: bool) -> bool:
        """Deliver what was held, and go on live, if nothing is missing before it.

        Args:
            is_final: Whether streams of which messages are missing are lost now.

        Returns:
            Whether it is live again; otherwise the memory has more to replay.
        """
        if not self.is_holding:
            return True
        held, turn, self._held, self._turn = self._held, self._turn, [], []
        if turn and not any(each[1] == turn[0][1] for each in held):
            held = [*turn, *held]  # the rest of a turn that was replayed in part
        position, end = 0, len(held)
        while position < end:
            here = position
            subject, batch = held[position]
            position += 1
            if not batch.is_interleaved:
                group = [(subject, batch)] if batch.messages else []
            else:
                while position < end and held[position][1].is_interleaved:
                    position += 1
                group = held[here:position]
                if position == end:  # its mark has not come yet
                    self._turn = group
                    break
            if group and not self._admit(group, is_final=is_final):
                self._held = held[here:]
                self.held_bytes = sum(_bytes(batch) for _, batch in self._held)
                return False
        self.held_bytes = 0
        if not self._settle_expected(is_final=is_final):
            return False
        self.is_holding = False
        return True

    def _settle_expected(self, *, is_final: bool) -> bool:
        """Return whether everything came of which the plant has told; it is lost if `is_final`."""
        missing = {
            subject: number
            for subject, number in self._expected.items()
            if (last := self._last.get(subject)) is not None and last < number
        }
        self._expected = {} if is_final else missing
        if missing and is_final:
            self._last.update(missing)
            self._lose(missing)
        return is_final or not missing

    def _lose(self, subjects: Iterable[str]) -> None:
        lost = sorted(subjects)
        self.lost_count += len(lost)
        self._outlet.lose(lost, "messages are missing")

    def lose_all(self, reason: str) -> None:
        """Give up what is missing: all streams go on from their next batch."""
        self._go_on(ANY)
        subjects = [subject for subject in self._last if subject != self._control]
        if subjects:
            self.lost_count += len(subjects)
            self._outlet.lose(subjects, reason)

    def forget(self) -> None:
        """Expect nothing until the plant accepts the interest anew: nobody is subscribed any more."""
        self._go_on(None)

    def _go_on(self, number: int | None) -> None:
        """Go on live, with streams after `number`, or with those that are accepted anew."""
        self._turn.clear()
        self._drop_held()
        self.is_holding = False
        self._expected.clear()
        self._last = {
            subject: number if last is not None else None for subject, last in self._last.items()
        }
        self._last[self._control] = ANY

    def _begin_holding(self, arrivals: list[_Arrival]) -> None:
        self.is_holding = True
        turn, self._turn = self._turn, []
        self._hold([*turn, *arrivals])
        if self.is_holding:
            self._outlet.recover()

    def _hold(self, arrivals: list[_Arrival]) -> None:
        self._held += arrivals
        self.held_bytes += sum(_bytes(batch) for _, batch in arrivals)
        if self.held_bytes > MAX_HELD_BYTES:
            self.lose_all("too many messages wait for those that are missing")

    def _drop_held(self) -> None:
        self._held, self.held_bytes = [], 0

    # Delivery

    def _admit(self, arrivals: list[_Arrival], *, is_final: bool) -> bool:
        """Deliver the messages of `arrivals` in order, but those that were delivered before.

        Returns:
            False, with nothing delivered, if messages before them are missing; with `is_final` the
            streams of these are lost instead.
        """
        last = self._last
        if len(arrivals) == 1:
            subject, batch = arrivals[0]
            before = last.get(subject)
            messages = batch.messages
            if before == batch.previous and messages[0].number > self.delivered:  # as usual
                number = messages[-1].number
                last[subject] = self.delivered = number
                deliver = self._outlet.deliver
                for message in messages:
                    deliver(subject, message)
                return True
        return self._admit_carefully(arrivals, is_final=is_final)

    def _admit_carefully(self, arrivals: list[_Arrival], *, is_final: bool) -> bool:
        ends: dict[str, int | None] = {}
        broken: set[str] = set()
        due: list[tuple[int, str, Message]] = []
        late = duplicates = 0
        for subject, batch in arrivals:
            before = ends.get(subject, self._last.get(subject))
            if before is None:
                continue  # it was closed in the meantime
            fresh = [message for message in batch.messages if message.number > before]
            duplicates += len(batch.messages) - len(fresh)
            if not fresh:
                continue
            if before != ANY:
                if fresh[0].number <= self.delivered:
                    late += 1
                    broken.add(subject)
                if batch.previous > before:
                    broken.add(subject)
            ends[subject] = fresh[-1].number
            due += [
                (message.number, subject, message)
                for message in fresh
                if message.number > self.delivered
            ]
        if broken and not is_final:
            return False
        self.late_count += late
        self.duplicate_count += duplicates
        if broken:
            self._lose(broken)
        self._last.update(ends)
        due.sort(key=itemgetter(0))
        for number, subject, message in due:
            self.delivered = number
            self._outlet.deliver(subject, message)
        return True


def _bytes(batch: Batch) -> int:
    return sum(len(message.payload) + len(message.envelope) for message in batch.messages)
