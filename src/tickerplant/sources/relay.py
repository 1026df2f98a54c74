"""A live upstream as a source: the exchange, or another plant.

Market time follows the upstream's messages (`upstream_clock.py`).  Between them it advances with this
machine's clock, for a second at most, so that what is due is sent although nothing happens.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from math import inf
from operator import attrgetter
from typing import TypeAlias

from msgspec import Struct

from tickerplant.feed.feed import Feed
from tickerplant.feed.weight import Allowances
from tickerplant.logs import Complaints, logger
from tickerplant.notices import (
    DecodeFailed,
    Disconnected,
    Gap,
    Notice,
    Recovered,
    Stale,
    SubscriptionRejected,
)
from tickerplant.plant import Plant
from tickerplant.protocol.redaction import loggable
from tickerplant.readiness import Readiness, Sample
from tickerplant.sources.discovery import RETRIES, Retries, retry
from tickerplant.sources.source import Clients, Readers
from tickerplant.sources.upstream import Upstream
from tickerplant.sources.upstream_clock import UpstreamClock

LOST = "the upstream is lost"
MEASURED_EVERY_NS = 1_000_000
"""How long after a message another is measured: measuring each would cost a part of relaying it."""

Reading: TypeAlias = tuple[Callable[[Upstream], int], str]
"""How a number of an upstream is read, and what it is."""

GAUGES: Mapping[str, Reading] = {
    "upstream_connections": (
        lambda upstream: sum(each.is_open for each in _feed(upstream).connections.values()),
        "Connections to the upstream that are open.",
    ),
    "upstream_streams": (
        lambda upstream: len(_feed(upstream).merged_streams),
        "Streams that are subscribed to upstream.",
    ),
    "upstream_undelivered_streams": (
        lambda upstream: sum(
            each.primary is None for each in _feed(upstream).merged_streams.values()
        ),
        "Of those, the ones that no connection delivers.",
    ),
    "upstream_stale_streams": (
        lambda upstream: sum(each.is_stale for each in _feed(upstream).merged_streams.values()),
        "Of those, the ones that are silent for longer than expected.",
    ),
    "upstream_unsubscribed_streams": (
        lambda upstream: len(upstream.subscriptions.unsubscribed),
        "Streams with local subscribers that are not subscribed to upstream.",
    ),
}
"""What is measured of each upstream."""
COUNTERS: Mapping[str, Reading] = {
    f"upstream_{name}": (attrgetter(f"runner.feed.counters.{field}"), doc)
    for name, field, doc in (
        ("messages", "messages", "Messages received from the upstream."),
        ("connections_opened", "opened", "Connections to the upstream that were opened."),
        ("connections_refused", "refused", "Attempts to connect to the upstream that failed."),
        ("connections_lost", "lost", "Connections to the upstream that were lost."),
        ("connections_renewed", "renewed", "Connections replaced before their age limit."),
        ("duplicates", "duplicates", "Messages received again over another connection."),
        ("gaps", "gaps", "Gaps in the messages of the upstream."),
        ("missing", "missing", "Messages missing according to their ids."),
        ("unreadable", "unreadable", "Messages of the upstream that could not be decoded."),
    )
} | {
    "upstream_streams_rejected": (
        attrgetter("subscriptions.rejected"),
        "Times a stream was not subscribed to upstream, or refused there.",
    ),
}
"""What is counted of each upstream."""


def _feed(upstream: Upstream) -> Feed:
    return upstream.runner.feed


_NOTICE_KINDS = {
    Disconnected: "disconnected",
    Recovered: "recovered",
    Stale: "stale",
    Gap: "gap",
    SubscriptionRejected: "refused",
    DecodeFailed: "unreadable",
}


class RelayTiming(Struct, frozen=True):
    """The intervals of a relay."""

    tick_s: float = 0.02
    """How often market time advances between messages."""
    slice_s: float = 0.005
    """How long market time may catch up before other tasks run."""
    check_s: float = 0.5
    """How often the state of the upstreams is checked."""
    relist_s: float = 3_600.0
    """How often the contracts are fetched when no change is announced."""
    relist_delay_s: float = 5.0
    """How long after an announced change they are fetched: more may change."""
    relist_again_s: float = 70.0
    """How long after that they are fetched again: an upstream may cache its response for a minute."""
    repeat_s: float = 1.0
    """How often, at most, the subscribers of a lost stream are disconnected."""
    log_s: float = 1.0
    """How often, at most, notices of one kind are logged; all are counted."""
    retries: Retries = RETRIES


TIMING = RelayTiming()


class RelaySource:
    """Drives a plant with the messages of its upstreams."""

    def __init__(
        self,
        plant: Plant,
        upstreams: Sequence[Upstream],
        clients: Clients,
        *,
        grace_ms: int,
        timing: RelayTiming = TIMING,
    ) -> None:
        self.notices: Counter[tuple[str, str]] = Counter()
        """How often each kind of notice came, by venue and kind."""
        self._plant = plant
        self._upstreams = upstreams
        self._clients = clients
        self._grace_ms = grace_ms
        self._timing = timing
        self._loop = asyncio.get_running_loop()
        self._clock = UpstreamClock(plant.now_ms, self._machine_ms())
        self._connected: set[str] = set()
        """The venues that were connected at some time."""
        self._lost: dict[str, frozenset[str]] = {}
        """The upstream streams that are lost for longer than the grace period, by venue."""
        self._reported_s: dict[str, float] = {}
        """When subscribers of lost streams were last disconnected, by venue."""
        self._in_outage: set[str] = set()
        """The venues whose streams are all lost."""
        self._logged_s: dict[tuple[str, str], float] = {}
        self._received_ns = 0
        """When the message that is relayed now was received, since 1970; 0 without one."""
        self._next_measured_ns = 0
        self._log = logger()
        self._complaints = Complaints()
        self._status: Readiness
        allowances = Allowances()
        for upstream in upstreams:
            upstream.connect_to(
                on_time=self._on_time, on_notice=self._on_notice, on_loss=self._disconnect
            )
            if plant.profile.shared_budget:
                upstream.allowances = allowances

    async def run(self, readers: Readers, status: Readiness) -> None:
        """Relay until cancelled."""
        del readers  # an upstream does not wait for slow clients
        self._status = status
        status.skipped = self.skipped
        status.late_ns = self._late_ns
        status.measure(self.samples)
        status.ready(False, "connecting to the upstream")
        try:
            for upstream in self._upstreams:
                upstream.start(self._plant)
            await asyncio.gather(
                self._keep_time(), *(self._relist(upstream) for upstream in self._upstreams)
            )
        finally:
            await asyncio.gather(*(upstream.stop() for upstream in self._upstreams))

    def skipped(self) -> Counter[str]:
        """Count the messages that were forwarded but not applied to the market, by reason."""
        total: Counter[str] = Counter()
        for upstream in self._upstreams:
            total += upstream.skipped
        return total

    def samples(self) -> Iterator[Sample]:
        """Return the measurements of the upstreams, for the metrics."""
        for upstream in self._upstreams:
            labels = {"venue": upstream.venue.name}
            for name, (read, doc) in GAUGES.items():
                yield Sample(name=name, value=read(upstream), doc=doc, labels=labels)
            for name, (read, doc) in COUNTERS.items():
                yield Sample(
                    name=name, value=read(upstream), doc=doc, type="counter", labels=labels
                )

    # Time

    def _on_time(self, time_ms: int, received_ns: int) -> bool:
        """Advance market time to that of a message; return whether it is that of the upstream."""
        self._received_ns = received_ns
        if received_ns >= self._next_measured_ns:
            self._next_measured_ns = received_ns + MEASURED_EVERY_NS
            self._status.observe_lateness(time.time_ns() - received_ns)
        now_ms = self._clock.on_message(time_ms, self._machine_ms())
        if now_ms > self._plant.now_ms:
            self._plant.advance_before(now_ms)
        return not (self._clock.is_behind or self._clock.is_catching_up)

    async def _keep_time(self) -> None:
        next_check_s = 0.0
        while True:
            now_s = self._loop.time()
            self._advance(now_s + self._timing.slice_s)
            self._status.lag_ms = self._clock.lag_ms
            if now_s >= next_check_s:
                next_check_s = now_s + self._timing.check_s
                self._check()
            await asyncio.sleep(0 if self._clock.is_catching_up else self._timing.tick_s)

    def _machine_ms(self) -> int:
        """Return the clock of the machine, which never goes back."""
        return int(self._loop.time() * 1_000)

    def _late_ns(self) -> int | None:
        """Return how long ago the message that is relayed now was received; None without one."""
        return time.time_ns() - self._received_ns if self._received_ns else None

    def _advance(self, until_s: float) -> None:
        """Advance market time, and catch up with the upstream until `until_s`."""
        self._received_ns = 0
        while True:
            now_ms = self._clock.advance(self._machine_ms())
            try:
                self._plant.advance(now_ms)
            except Exception as fault:  # noqa: BLE001  # one task must not cost the others
                self._complain(fault, "! a scheduled task failed")
            is_there = self._plant.now_ms >= now_ms and not self._clock.is_catching_up
            if is_there or self._loop.time() >= until_s:
                return

    def _complain(self, fault: Exception, text: str, **fields: object) -> None:
        self._complaints.add(f"{text[2:]}: {type(fault).__name__}", text, exc_info=True, **fields)

    # State

    def _check(self) -> None:
        reasons = ["catching up with the clock of the upstream"] * self._clock.is_catching_up
        for upstream in self._upstreams:
            name = upstream.venue.name
            try:
                reasons += self._check_upstream(upstream)
            except Exception as fault:  # noqa: BLE001  # one venue must not cost the other
                self._complain(fault, "! internal error in the upstream monitor", venue=name)
                reasons.append(f"{name}: internal error in the upstream monitor; see the log")
        if self._clock.is_behind:
            self._status.warn("clock", "the clock of the upstream is behind market time here")
        else:
            self._status.clear("clock")
        self._status.ready(not reasons, "; ".join(reasons))

    def _check_upstream(self, upstream: Upstream) -> Iterator[str]:
        """Report outages and warnings of a venue, and yield why it is not ready."""
        upstream.tick()
        name, outages = upstream.venue.name, upstream.outages(self._grace_ms)
        lost = frozenset(name for name, since_ms in outages.items() if since_ms >= self._grace_ms)
        outage_ms = upstream.outage_ms
        is_all = outage_ms is not None and outage_ms >= self._grace_ms
        self._report_lost(upstream, lost, is_all=is_all)
        if upstream.is_connected:
            self._connected.add(name)
        if name not in self._connected:
            yield f"{name}: connecting to the upstream"
        elif outages:
            longest_s = max(outages.values()) / 1_000
            yield (
                f"{name}: the upstream is lost for {len(outages)} of {len(upstream.accepted_streams)} "
                f"streams, for {longest_s:.0f} s"
            )
        elif not upstream.is_connected:
            yield f"{name}: connecting to the upstream"
        elif upstream.is_silent:
            yield f"{name}: connected to the upstream, but no data is arriving"
        unsubscribed, stale = len(upstream.subscriptions.unsubscribed), upstream.stale_count
        self._warn(name, unsubscribed, "not subscribed to upstream and stay silent")
        self._warn(f"{name} stale", stale, "silent for longer than expected")

    def _warn(self, subject: str, count: int, what: str) -> None:
        """Warn of `count` streams of the venue that `subject` begins with; withdraw it for 0."""
        are = "1 stream is" if count == 1 else f"{count} streams are"
        if count:
            self._status.warn(subject, f"{subject.partition(' ')[0]}: {are} {what}")
        else:
            self._status.clear(subject)

    def _report_lost(self, upstream: Upstream, lost: frozenset[str], *, is_all: bool) -> None:
        """Disconnect the subscribers of lost streams, and accept clients again afterwards."""
        venue, now_s = upstream.venue.name, self._loop.time()
        known = self._lost.get(venue, frozenset())
        self._lost[venue] = lost
        if is_all:
            if venue not in self._in_outage:
                self._in_outage.add(venue)
                self._log.warning(f"! {LOST}, all of it", venue=venue)
                self._clients.start_outage(venue, None, LOST)
            return
        if venue in self._in_outage:
            self._in_outage.discard(venue)
            self._log.info("= the upstream is back", venue=venue, streams_lost=len(lost))
            self._clients.end_outage(venue)
        elif lost - known:
            self._log.warning(f"! {LOST} for some streams", venue=venue, streams=_shown(lost))
        elif known and not lost:
            self._log.info("= all streams of the upstream are delivered again", venue=venue)
        # A client that returns to a stream that is still lost is disconnected again, but not at once.
        is_due = now_s - self._reported_s.get(venue, -inf) >= self._timing.repeat_s
        if self._disconnect(upstream, lost if is_due else lost - known):
            self._reported_s[venue] = now_s

    def _disconnect(self, upstream: Upstream, lost: Collection[str]) -> bool:
        """Disconnect the subscribers of what is made from `lost`; return whether there may be any."""
        venue, source_of = upstream.venue.name, upstream.subscriptions.source_of
        names = [name for name in self._plant.hubs[venue].channels if source_of(name) in lost]
        if names:
            self._clients.start_outage(venue, names, LOST)
        return bool(names)

    def _on_notice(self, upstream: Upstream, notice: Notice) -> None:
        """Count and log a notice."""
        kind = _NOTICE_KINDS.get(type(notice))
        if kind is None:
            return
        venue, now_s = upstream.venue.name, self._loop.time()
        self.notices[venue, kind] += 1
        if now_s - self._logged_s.get((venue, kind), -self._timing.log_s) < self._timing.log_s:
            return
        self._logged_s[venue, kind] = now_s
        fields = {
            name: getattr(notice, name)
            for name in ("reason", "close_code", "retry_ms", "outage_ms", "silent_ms", "missing")
            if getattr(notice, name, None) not in {None, ""}
        }
        log = self._log.info if isinstance(notice, Recovered) else self._log.warning
        sign = "=" if isinstance(notice, Recovered) else "!"
        log(
            f"{sign} upstream {kind}",
            venue=venue,
            streams=_shown(notice.streams),
            **fields,
        )

    # Contracts

    async def _relist(self, upstream: Upstream) -> None:
        """Keep the list of contracts up to date."""
        timing = self._timing
        next_s = self._loop.time() + timing.relist_s
        while True:
            await asyncio.sleep(timing.relist_delay_s)
            has_changed = upstream.contracts_changed
            if not has_changed and self._loop.time() < next_s:
                continue
            await retry(upstream, upstream.refresh_contracts, self._complaints, timing.retries)
            again_s = timing.relist_again_s if has_changed else timing.relist_s
            next_s = self._loop.time() + again_s


def _shown(names: Iterable[str]) -> str:
    """Return the first name, which a client may have made up, and how many more there are."""
    first, *others = names
    return loggable(first) + (f" and {len(others)} more" if others else "")
