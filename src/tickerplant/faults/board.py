"""The faults of one server: which are on, when each happens, and how often each did."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from random import Random
from typing import Literal, TypeAlias

from msgspec import Struct, field

from tickerplant.errors import ConfigError
from tickerplant.faults.clock import FaultClock, Timer
from tickerplant.faults.fault import ActsOn
from tickerplant.faults.rule import Rule, opening_ms, parse_rule

State: TypeAlias = Literal["waiting", "on", "over"]
MAX_RULES = 1_000
"""Most rules that wait or are on."""
NEVER = 1 << 62
"""More occasions than there will be."""
MAX_OVER = 100
"""Rules that are over and still listed; the oldest are forgotten first."""
PER_RULE: frozenset[ActsOn] = frozenset({"handshake", "rest", "snapshot"})
"""Faults whose occasions are counted in all, and not on each connection."""


NumberedRule: TypeAlias = tuple[Rule, int]
"""A rule, and which of its kind it is on its board."""
NUMBER = "number"
"""The field of a rule that is passed on with that."""


class FaultOn(Struct, eq=False):
    """A rule on a board."""

    id: str
    rule: Rule
    number: int
    """It is the n-th of its kind on this board; decides its random draws."""
    opens_ms: int
    """When its window opens, on the clock of faults."""
    ends_ms: int | None
    """When it is over; None if it stays until it is removed."""
    hits: int = 0
    """How often it has happened."""
    state: State = "waiting"
    timers: list[Timer] = field(default_factory=list)
    """What changes its state later."""
    all_requests: Chances | None = None
    """Its chances with handshakes and requests, which are counted in all."""

    @property
    def is_on(self) -> bool:
        """Whether its window is open."""
        return self.state == "on"


class Chances:
    """When a rule happens on one connection, or to all requests."""

    def __init__(self, board: FaultBoard, on: FaultOn, ordinal: int) -> None:
        self.on = on
        self.seen = 0
        """Occasions so far."""
        self.done = 0
        """How often it has happened here."""
        self.on_happened: Callable[[], object] = lambda: None
        """Called each time after it has happened."""
        rule = on.rule
        self._board = board
        self._after = rule.window.after
        self._times = rule.window.times
        self._share: float | None = getattr(rule.fault, "share", None)
        self._mean_ms = rule.mean_ms
        self._gap = -1  # occasions that pass before the next one that a share hits; not drawn yet
        self.random = Random(f"{board.seed} {rule.kind} {on.number} {ordinal}")
        """Draws everything that the fault decides by chance."""
        self._due_ms = 0
        """The earliest time of the next one, on a clock that never goes back; 0 without a mean time."""
        if self._mean_ms is not None:
            self._due_ms = board.clock.now_ms + board.clock.gone_back_ms + self.wait_ms()

    @property
    def left_ms(self) -> int:
        """How long it is until the next one, if the rule has a mean time; at most 0 if it is due."""
        clock = self._board.clock
        return self._due_ms - clock.now_ms - clock.gone_back_ms

    @property
    def late_ms(self) -> int:
        """How long ago the messages were published that are written now."""
        return self._board.clock.now_ms - self._board.published_ms()

    @property
    def is_spent(self) -> bool:
        """Whether it happens no more here."""
        return not self.on.is_on or (self._times is not None and self.done >= self._times)

    def wait_ms(self) -> int:
        """Draw how long it is until the next one, if the rule has a mean time."""
        assert self._mean_ms is not None  # noqa: S101  # tells the type checker
        return max(1, round(self.random.expovariate(1 / self._mean_ms)))

    def occurs(self) -> bool:
        """Return whether the fault happens at this occasion; it is counted."""
        if self.is_spent:
            return False
        self.seen += 1
        if self.seen <= self._after:
            return False
        if self._share is not None:
            if self._gap < 0:
                self._gap = gap_of(self._share, self.random)
            self._gap -= 1
            if self._gap >= 0:
                return False
        if self._mean_ms is not None:
            now_ms = self._board.published_ms() + self._board.clock.gone_back_ms
            if now_ms < self._due_ms:
                return False
            self._due_ms = now_ms + self.wait_ms()
        self.happened()
        return True

    def passes(self, occasions: int) -> bool:
        """Return whether it surely happens at none of so many occasions; only then they are counted."""
        if occasions >= self._gap or self.seen < self._after or self._mean_ms is not None:
            return False
        self._gap -= occasions
        self.seen += occasions
        return True

    def overflowed(self) -> None:
        """Count that the fault had to do less here than it says, because a bound was reached."""
        self._board.overflows[self.on.rule.kind] += 1

    def happened(self) -> None:
        """Count that the fault happened here."""
        self.done += 1
        self._board.count(self.on)
        self.on_happened()
        if self is self.on.all_requests and self.is_spent:
            self._board.end(self.on)


class FaultBoard:
    """The faults of one server, for all its ports.

    Args:
        clock: The time by which faults begin and end.
        seed: Decides what happens by chance: the draws of the n-th rule of a kind for the n-th
            connection that is not exempt are the same in every run.
    """

    def __init__(self, clock: FaultClock, seed: int = 1) -> None:
        self.clock = clock
        self.seed = seed
        self.counts: Counter[str] = Counter()
        """How often each kind of fault happened."""
        self.overflows: Counter[str] = Counter()
        """How often each kind of fault did less than it says, because a bound was reached."""
        self.published_ms: Callable[[], int] = lambda: self.clock.now_ms
        """Returns when the messages were published that are written now, on the clock of faults."""
        self.check: Callable[[Rule], object] = lambda _: None
        """Raises ConfigError for a rule whose aim does not exist on this server."""
        self.before_end: Callable[[FaultOn], object] = lambda _: None
        """Called before a rule that is on is over, to let it act on what has happened until now."""
        self._rules: dict[str, FaultOn] = {}
        self._on: dict[ActsOn, tuple[FaultOn, ...]] = {}
        self._listeners: list[Callable[[FaultOn], object]] = []
        self._numbers: Counter[str] = Counter()
        self._added = 0
        self._ordinal = 0

    def __iter__(self) -> Iterator[FaultOn]:
        """Iterate over the rules in the order in which they were added, the last that are over too."""
        return iter(tuple(self._rules.values()))

    def __len__(self) -> int:
        """Return how many rules wait or are on."""
        return sum(on.state != "over" for on in self._rules.values())

    def __getitem__(self, rule_id: str) -> FaultOn:
        return self._rules[rule_id]

    def subscribe(self, callback: Callable[[FaultOn], object]) -> None:
        """Call `callback` with each rule that is added, opens, is over or is removed, afterwards."""
        self._listeners.append(callback)

    def next_ordinal(self) -> int:
        """Return the number of a new connection that is not exempt."""
        self._ordinal += 1
        return self._ordinal

    def on(self, acts_on: ActsOn) -> tuple[FaultOn, ...]:
        """Return the rules that are on and act on something, in the order of the rules."""
        return self._on.get(acts_on, ())

    def add(self, rule: Rule) -> FaultOn:
        """Add a rule; its window may open at once.

        Raises:
            ConfigError: Its aim does not exist, its time is past, or there are too many rules;
                nothing was added.
        """
        self.check(rule)
        if len(self) >= MAX_RULES:
            raise ConfigError("fault", rule.text, f"at most {MAX_RULES} rules; remove some")
        opens_ms = opening_ms(rule.window, self.clock.now_ms)
        self._added += 1
        return self._add(f"f{self._added}", rule, opens_ms)

    def _add(self, rule_id: str, rule: Rule, opens_ms: int, number: int = 0) -> FaultOn:
        for_ms = rule.window.for_ms
        self._numbers[rule.kind] += 1
        on = FaultOn(
            id=rule_id,
            rule=rule,
            number=number or self._numbers[rule.kind],
            opens_ms=opens_ms,
            ends_ms=None if for_ms is None else opens_ms + for_ms,
        )
        if rule.fault.acts_on in PER_RULE:
            on.all_requests = Chances(self, on, 0)
        self._rules[rule_id] = on
        if opens_ms > self.clock.now_ms:
            on.timers.append(self.clock.at(opens_ms, lambda _: self._open(on)))
            self._tell(on)
        else:
            self._open(on)
        return on

    def remove(self, rule_id: str) -> FaultOn:
        """Remove a rule; what it does ends at once.  Raises KeyError if there is none."""
        on = self._rules.pop(rule_id)
        if on.state != "over":
            self._end(on)
        return on

    def clear(self) -> int:
        """Remove all rules, and return how many waited or were on."""
        count = len(self)
        for rule_id in tuple(self._rules):
            self.remove(rule_id)
        return count

    def switch(self, rules: Iterable[Rule]) -> None:
        """Let these rules be on in place of all others."""
        self.clear()
        for rule in rules:
            self.add(rule)

    def end(self, on: FaultOn) -> None:
        """Let a rule be over; it stays on the list."""
        if on.state == "over":
            return
        self._end(on)
        over = [each.id for each in self if each.state == "over"]
        for rule_id in over[:-MAX_OVER]:
            del self._rules[rule_id]

    def replace_all(self, rules: Mapping[str, NumberedRule]) -> None:
        """Let exactly these rules be on, by their ids: what another board has on, as `received` reads it.

        The rules that stay keep their counts, and all draw as they do there.  Their windows open
        there, and end where that is earlier.
        """
        for on in self:
            if rules.get(on.id) != (on.rule, on.number):  # an id is another rule's in another run
                self.remove(on.id)
        for rule_id, (rule, number) in rules.items():
            if rule_id not in self._rules:
                self._add(rule_id, rule, self.clock.now_ms, number)

    def chances(self, on: FaultOn, ordinal: int) -> Chances:
        """Return when a rule happens on a connection, given by its number."""
        return on.all_requests or Chances(self, on, ordinal)

    def takes(self, on: FaultOn, ordinal: int) -> bool:
        """Return whether a rule that is aimed at a share of the connections is aimed at this one."""
        share = on.rule.aim.connections
        if share is None:
            return True
        name = on.rule.kind
        return Random(f"{self.seed} {name} {on.number} {ordinal} is aimed at").random() < share

    def count(self, on: FaultOn) -> None:
        """Count that a rule happened."""
        on.hits += 1
        self.counts[on.rule.kind] += 1

    def _open(self, on: FaultOn) -> None:
        on.state = "on"
        on.timers.clear()
        if on.ends_ms is not None:
            on.timers.append(self.clock.at(on.ends_ms, lambda _: self.end(on)))
        if on.all_requests is not None:
            on.all_requests = Chances(self, on, 0)
        self._tell(on)
        if on.rule.is_instant:
            self.end(on)

    def _end(self, on: FaultOn) -> None:
        if on.is_on:
            self.before_end(on)
        on.state = "over"
        for timer in on.timers:
            timer.cancel()
        on.timers.clear()
        self._tell(on)

    def _tell(self, on: FaultOn) -> None:
        acts_on = on.rule.fault.acts_on
        self._on[acts_on] = tuple(
            each
            for each in self._rules.values()
            if each.is_on and each.rule.fault.acts_on == acts_on
        )
        for callback in tuple(self._listeners):
            callback(on)


def gap_of(share: float, random: Random) -> int:
    """Draw how many occasions pass before the next one that a share hits."""
    if share >= 1:
        return 0
    if share <= 0:
        return NEVER
    return min(NEVER, int(math.log(1 - random.random()) / math.log1p(-share)))


def passed_on(board: FaultBoard) -> dict[str, Mapping[str, object]]:
    """Return the rules that are on and act on connections, as `received` of another process reads them.

    Requests are answered where the market is, so their faults are not passed on.
    """
    return {
        on.id: {
            **{name: value for name, value in on.rule.given.items() if name != "at"},
            NUMBER: on.number,
        }
        for on in board
        if on.is_on and on.rule.fault.acts_on != "rest"
    }


def received(rules: Mapping[str, Mapping[str, object]]) -> dict[str, NumberedRule]:
    """Return the rules that another process has passed on, by their ids.

    Raises:
        ConfigError: one is none of this version of the program.
    """
    found = {}
    for rule_id, given in rules.items():
        number = given.get(NUMBER)
        if not isinstance(number, int) or number < 1:
            raise ConfigError(NUMBER, number, "which of its kind the rule is, from 1")
        fields = {name: value for name, value in given.items() if name != NUMBER}
        found[rule_id] = parse_rule(fields), number
    return found


def faults_text(rules: Iterable[FaultOn]) -> str:
    """Return a sentence that lists the rules that wait or are on."""
    shown = ", ".join(on.rule.text for on in rules if on.state != "over")
    return f"Faults on demand: {shown}."
