"""A live upstream as a source: the exchange, or another plant.

Market time is that of the upstream's messages (`told_time.py`).  Between them it goes on with this
machine's clock, for a second at most: what is due at a time is told although nothing happens.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from typing import TypeVar

from msgspec import Struct

from tickerplant.errors import DecodeError, RequestError, UpstreamError
from tickerplant.feed.feed import Feed
from tickerplant.feed.weight import Allowances
from tickerplant.instrument import Instrument
from tickerplant.logs import Complaints, logger
from tickerplant.messages.notice import (
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
from tickerplant.sources.source import Clients, Readers, Sample, Status
from tickerplant.sources.told_time import ToldTime
from tickerplant.sources.upstream import Upstream

T = TypeVar("T")

AUTO = "auto"
"""Stands for the profile that the upstream has."""
TICK_S = 0.02
"""How often time goes on between messages."""
SLICE_S = 0.005
"""Longest time that market time catches up without a turn of the event loop."""
LOOK_S = 0.5
"""How often the state of the upstreams is looked at."""
FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 30.0
RELIST_S = 3_600.0
"""The contracts are asked for so often, even if nothing says that they changed."""
RELIST_DELAY_S = 5.0
"""How long contracts that changed may change further before they are asked for."""
RELIST_AGAIN_S = 70.0
"""So long after that they are asked for once more: an upstream may keep its answer for a minute."""
LOST = "the upstream is lost"
LOST_AGAIN_S = 1.0
"""Who hears a stream that is lost is told so again after the grace, but not sooner than this."""
LOG_PAUSE_S = 1.0
"""Notices of one kind are logged at most this often; all are counted."""

_GAUGES: Mapping[str, tuple[Callable[[Feed], int], str]] = {
    "upstream_connections": (
        lambda feed: sum(connection.is_open for connection in feed.connections.values()),
        "Connections to the upstream that are open.",
    ),
    "upstream_streams": (
        lambda feed: len(feed.merged_streams),
        "Streams that the upstream is asked for.",
    ),
    "upstream_undelivered_streams": (
        lambda feed: sum(merged.primary is None for merged in feed.merged_streams.values()),
        "Of those, the ones that no connection carries.",
    ),
    "upstream_stale_streams": (
        lambda feed: sum(merged.is_stale for merged in feed.merged_streams.values()),
        "Of those, the ones that are silent for longer than they should be.",
    ),
}
_COUNTERS = {
    "messages": ("upstream_messages", "Messages that came from the upstream."),
    "opened": ("upstream_connections_opened", "Connections to the upstream that were opened."),
    "refused": ("upstream_connections_refused", "Attempts to connect to the upstream that failed."),
    "lost": (
        "upstream_connections_lost",
        "Connections to the upstream that ended although they were wanted.",
    ),
    "renewed": (
        "upstream_connections_renewed",
        "Connections to the upstream that were replaced in time.",
    ),
    "duplicates": (
        "upstream_duplicates",
        "Messages that came a second time, over another connection.",
    ),
    "gaps": ("upstream_gaps", "Times that messages of the upstream were missing."),
    "missing": ("upstream_missing", "Messages of the upstream that ids prove missing."),
    "unreadable": ("upstream_unreadable", "Messages of the upstream that could not be understood."),
}

_TOLD = {
    Disconnected: "disconnected",
    Recovered: "recovered",
    Stale: "stale",
    Gap: "gap",
    SubscriptionRejected: "refused",
    DecodeFailed: "unreadable",
}


class Met(Struct, frozen=True):
    """What upstreams say of themselves."""

    instruments: list[Instrument]
    time_ms: int
    profile: str


async def meet(upstreams: Sequence[Upstream], profile: str) -> Met:
    """Return what there is to relay, as soon as all upstreams have answered.

    Who does not answer is asked again, for ever, and the log says so.

    Args:
        upstreams: One of each venue that is relayed.
        profile: The period of the protocol, or `auto` for that of the first upstream.
    """
    complaints = Complaints()
    met = await asyncio.gather(
        *(_patiently(upstream, upstream.meet, complaints) for upstream in upstreams)
    )
    instruments = [instrument for listed, _ in met for instrument in listed]
    if profile == AUTO:
        profile = await _patiently(upstreams[0], upstreams[0].upstream_profile, complaints)
    return Met(instruments, max(time_ms for _, time_ms in met), profile)


async def _patiently(
    upstream: Upstream, ask: Callable[[], Awaitable[T]], complaints: Complaints
) -> T:
    """Ask until there is an answer that can be used."""
    pause_s = FIRST_PAUSE_S
    while True:
        try:
            return await ask()
        except (UpstreamError, RequestError, DecodeError) as error:
            logger().warning(
                f"! the upstream does not answer: {error}",
                venue=upstream.venue.name,
                retry_s=pause_s,
            )
        except Exception as fault:  # noqa: BLE001  # an odd answer must not end the relay
            kind = f"{ask.__name__}: {type(fault).__name__}"
            text = "! an answer of the upstream was not dealt with"
            complaints.add(kind, text, venue=upstream.venue.name, exc_info=True)
        await asyncio.sleep(pause_s)
        pause_s = min(2 * pause_s, LONGEST_PAUSE_S)


class RelaySource:
    """Drives a plant with what its upstreams tell.

    Args:
        plant: Made from the contracts of the upstreams.
        upstreams: One of each venue that is relayed.
        clients: Who is let know that the upstream is lost.
        grace_ms: How long streams may be lost before clients are.
    """

    def __init__(
        self, plant: Plant, upstreams: Sequence[Upstream], clients: Clients, *, grace_ms: int
    ) -> None:
        self.notices: Counter[tuple[str, str]] = Counter()
        """What was noticed so far, by venue and kind."""
        self._plant = plant
        self._upstreams = upstreams
        self._clients = clients
        self._grace_ms = grace_ms
        self._time = ToldTime(plant.now_ms, _machine_ms())
        self._met: set[str] = set()
        """The venues that were heard."""
        self._lost: dict[str, frozenset[str]] = {}
        """The streams of the upstream that are lost for longer than the grace, by venue."""
        self._told_s: dict[str, float] = {}
        """When clients were last let know of some, by venue."""
        self._closed: set[str] = set()
        """The venues of which all is lost."""
        self._logged_s: dict[tuple[str, str], float] = {}
        self._log = logger()
        self._complaints = Complaints()
        self._status: Status
        allowances = Allowances()
        for upstream in upstreams:
            upstream.heard = self._approach
            upstream.noticed = self._note
            if plant.profile.shared_budget:
                upstream.allowances = allowances

    async def run(self, readers: Readers, status: Status) -> None:
        """Relay until cancelled."""
        del readers  # an upstream waits for nobody
        self._status = status
        status.left_out = self.left_out
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

    def left_out(self) -> Counter[str]:
        """Count the messages that were passed on and not taken in, by what was wrong with them."""
        total: Counter[str] = Counter()
        for upstream in self._upstreams:
            total += upstream.left_out
        return total

    def samples(self) -> Iterator[Sample]:
        """Return how the upstreams are, for the metrics."""
        for upstream in self._upstreams:
            feed, labels = upstream.runner.feed, {"venue": upstream.venue.name}
            counters = feed.counters
            gauges = {name: read(feed) for name, (read, _) in _GAUGES.items()}
            for name, value in gauges.items():
                yield Sample(name=name, value=value, doc=_GAUGES[name][1], labels=labels)
            for field, (name, doc) in _COUNTERS.items():
                value = getattr(counters, field)
                yield Sample(name=name, value=value, doc=doc, type="counter", labels=labels)
            yield Sample(
                name="upstream_unsubscribed_streams",
                value=len(upstream.wanted.unasked),
                doc="Streams that are heard here and that the upstream is not asked for.",
                labels=labels,
            )
            yield Sample(
                name="upstream_streams_rejected",
                value=upstream.wanted.turned_away,
                doc="Times the upstream was not asked for a stream, or refused it.",
                type="counter",
                labels=labels,
            )

    # Time

    def _approach(self, time_ms: int) -> bool:
        """Let market time reach that of a message; return whether it is that of the upstream."""
        now_ms = self._time.tell(time_ms, _machine_ms())
        if now_ms > self._plant.now_ms:
            self._plant.advance_before(now_ms)
        return not (self._time.is_behind or self._time.is_catching_up)

    async def _keep_time(self) -> None:
        next_look_s = 0.0
        while True:
            now_s = time.monotonic()
            self._go_on(now_s + SLICE_S)
            self._status.lag_ms = self._time.lag_ms
            if now_s >= next_look_s:
                next_look_s = now_s + LOOK_S
                self._look_around()
            await asyncio.sleep(0 if self._time.is_catching_up else TICK_S)

    def _go_on(self, until_s: float) -> None:
        """Let time pass, and catch up with what was told, until the machine's clock says so."""
        while True:
            now_ms = self._time.reach(_machine_ms())
            try:
                self._plant.advance(now_ms)
            except Exception as fault:  # noqa: BLE001  # one thing that is due costs no other
                self._complain(fault, "! what was due was not done")
            has_come = self._plant.now_ms >= now_ms and not self._time.is_catching_up
            if has_come or time.monotonic() >= until_s:
                return

    def _complain(self, fault: Exception, text: str, **fields: object) -> None:
        self._complaints.add(f"{text[2:]}: {type(fault).__name__}", text, exc_info=True, **fields)

    # State

    def _look_around(self) -> None:
        reasons = ["catching up with the clock of the upstream"] * self._time.is_catching_up
        for upstream in self._upstreams:
            name = upstream.venue.name
            try:
                reasons += self._look_at(upstream)
            except Exception as fault:  # noqa: BLE001  # one venue must not cost the other
                self._complain(fault, "! an upstream was not looked after", venue=name)
                reasons.append(f"{name}: the upstream was not looked after, see the log")
        if self._time.is_behind:
            self._status.warn("clock", "the clock of the upstream is behind market time here")
        else:
            self._status.clear("clock")
        self._status.ready(not reasons, "; ".join(reasons))

    def _look_at(self, upstream: Upstream) -> Iterator[str]:
        """Do what is due, and yield why the venue is not ready."""
        upstream.tick()
        name, blind = upstream.venue.name, upstream.blind(self._grace_ms)
        lost = frozenset(name for name, since_ms in blind.items() if since_ms >= self._grace_ms)
        outage_ms = upstream.outage_ms
        is_all = outage_ms is not None and outage_ms >= self._grace_ms
        self._tell_lost(upstream, lost, is_all=is_all)
        if upstream.is_met:
            self._met.add(name)
        if name not in self._met:
            yield f"{name}: connecting to the upstream"
        elif blind:
            longest_s = max(blind.values()) / 1_000
            yield (
                f"{name}: the upstream is lost for {len(blind)} of {len(upstream.asked)} streams, "
                f"since {longest_s:.0f} s"
            )
        elif not upstream.is_met:
            yield f"{name}: connecting to the upstream"
        elif upstream.is_silent:
            yield f"{name}: the upstream is connected, and tells nothing"
        self._warn_of_unasked(upstream)
        self._warn_of_stale(upstream)

    def _warn_of_unasked(self, upstream: Upstream) -> None:
        name, count = upstream.venue.name, len(upstream.wanted.unasked)
        if count:
            self._status.warn(name, f"{name}: {count} streams are not asked for and stay silent")
        else:
            self._status.clear(name)

    def _warn_of_stale(self, upstream: Upstream) -> None:
        name, count = upstream.venue.name, upstream.stale
        if count:
            are, they = ("1 stream is", "it") if count == 1 else (f"{count} streams are", "they")
            text = f"{name}: {are} silent for longer than {they} should be"
            self._status.warn(f"{name} stale", text)
        else:
            self._status.clear(f"{name} stale")

    def _tell_lost(self, upstream: Upstream, lost: frozenset[str], *, is_all: bool) -> None:
        """Let clients know what is lost, for as long as it is, and when they may come back."""
        venue, now_s = upstream.venue.name, time.monotonic()
        known = self._lost.get(venue, frozenset())
        self._lost[venue] = lost
        if is_all:
            if venue not in self._closed:
                self._closed.add(venue)
                self._log.warning(f"! {LOST}, all of it", venue=venue)
                self._clients.start_outage(venue, None, LOST)
            return
        if venue in self._closed:
            self._closed.discard(venue)
            self._told_s[venue] = now_s
            self._log.info("= the upstream is there again", venue=venue, streams_lost=len(lost))
            self._clients.end_outage(venue)
        elif lost - known:
            self._log.warning(f"! {LOST} for some streams", venue=venue, streams=_shown(lost))
        elif known and not lost:
            self._log.info("= all streams of the upstream are heard again", venue=venue)
        # Who comes back to a stream that is lost still is told so again, but not at once.
        pause_s = max(self._grace_ms / 1_000, LOST_AGAIN_S)
        is_due = now_s - self._told_s.get(venue, -pause_s) >= pause_s
        told = lost if is_due else lost - known
        if told:
            source_of = upstream.wanted.source_of
            names = [name for name in self._plant.hubs[venue].channels if source_of(name) in told]
            if names:
                self._told_s[venue] = now_s
                self._clients.start_outage(venue, names, LOST)

    def _note(self, upstream: Upstream, notice: Notice) -> None:
        """Count and log what was noticed."""
        kind = _TOLD.get(type(notice))
        if kind is None:
            return
        venue, now_s = upstream.venue.name, time.monotonic()
        self.notices[venue, kind] += 1
        if now_s - self._logged_s.get((venue, kind), -LOG_PAUSE_S) < LOG_PAUSE_S:
            return
        self._logged_s[venue, kind] = now_s
        fields = {
            name: getattr(notice, name)
            for name in ("reason", "close_code", "retry_ms", "outage_ms", "silent_ms", "missing")
            if getattr(notice, name, None) not in {None, ""}
        }
        tell = self._log.info if isinstance(notice, Recovered) else self._log.warning
        sign = "=" if isinstance(notice, Recovered) else "!"
        tell(
            f"{sign} upstream {kind}",
            venue=venue,
            streams=_shown(notice.streams),
            **fields,
        )

    # Contracts

    async def _relist(self, upstream: Upstream) -> None:
        """Keep the list of contracts up to date."""
        next_s = time.monotonic() + RELIST_S
        while True:
            await asyncio.sleep(RELIST_DELAY_S)
            has_changed = upstream.contracts_changed
            if not has_changed and time.monotonic() < next_s:
                continue
            upstream.contracts_changed = False
            await _patiently(upstream, upstream.relist_anew, self._complaints)
            next_s = time.monotonic() + (RELIST_AGAIN_S if has_changed else RELIST_S)


def _machine_ms() -> int:
    """Return the clock of the machine, which never goes back."""
    return time.monotonic_ns() // 1_000_000


def _shown(names: Iterable[str]) -> str:
    """Return how many names there are and the first, which a client may have made up."""
    first, *others = names
    return loggable(first) + (f" and {len(others)} more" if others else "")
