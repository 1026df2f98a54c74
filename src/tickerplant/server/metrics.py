"""What `/metrics` prints: plain counters, read on each request."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeAlias, TypeVar

from msgspec import Struct
from prometheus_client import (
    CollectorRegistry,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from tickerplant.faults.board import FaultBoard
from tickerplant.latency import Histogram
from tickerplant.logs import Complaints
from tickerplant.market.markets import Markets
from tickerplant.plant import Plant
from tickerplant.protocol.close_reasons import SLOW_CONSUMER, STALLED
from tickerplant.protocol.rate_limiter import RateLimiter
from tickerplant.readiness import Readiness
from tickerplant.server.congestion import Congestion
from tickerplant.server.endpoint import Endpoint
from tickerplant.server.flushing import Flusher
from tickerplant.server.operations.nodes import PLANT, Edges
from tickerplant.truth.truth import Truth

if TYPE_CHECKING:  # loads cryptography, only where TLS is served
    from tickerplant.server.certificate import ServedCertificate

PREFIX = "tickerplant_"
MAX_SAMPLES = 1_000
"""Most samples of the source that are printed: it must not label by what clients request."""


T = TypeVar("T")


class Row(Struct, Generic[T], frozen=True):
    """A family of metrics."""

    type: Literal["counter", "gauge"]
    doc: str
    read: Callable[[T], float | Mapping[Any, float]]
    """Returns its number; of a family with labels, numbers by the values of these."""
    labels: tuple[str, ...] = ()


Families: TypeAlias = Mapping[str, Row[T]]
"""Families by name, without the prefix of the program and, of a counter, without `_total`."""


def counter(doc: str, read: Callable[[T], float | Mapping[Any, float]], *labels: str) -> Row[T]:
    """Return a family of numbers that only grow."""
    return Row("counter", doc, read, labels)


def gauge(doc: str, read: Callable[[T], float | Mapping[Any, float]], *labels: str) -> Row[T]:
    """Return a family of numbers that go up and down."""
    return Row("gauge", doc, read, labels)


PORT_ROWS: Families[Endpoint] = {
    "connections_open": gauge("WebSocket connections open now.", lambda it: len(it.connections)),
    "connections_opened": counter("WebSocket connections opened.", lambda it: it.counters.opened),
    "connections_closed": counter(
        "WebSocket connections ended, by reason.", lambda it: it.counters.closed, "reason"
    ),
    "connections_turned_away": counter(
        "Connections rejected before their first request, by reason.",
        lambda it: it.counters.turned_away,
        "reason",
    ),
    "accept_pauses": counter(
        "Times the system had no socket for a connection, and accepting paused.",
        lambda it: it.counters.accept_pauses,
    ),
    "handshakes_refused": counter(
        "WebSocket handshakes refused, by HTTP status.", lambda it: it.counters.refused, "code"
    ),
    "upstream_lost": gauge(
        "1 while stream handshakes are refused because the upstream is lost.",
        lambda it: it.outage is not None,
    ),
    "slow_consumers": counter(
        "Connections closed because they read too slowly or not at all.",
        lambda it: it.counters.closed[SLOW_CONSUMER.name] + it.counters.closed[STALLED.name],
    ),
    "unsent_bytes": gauge(
        "Bytes written to WebSocket connections that the network has not taken.",
        lambda it: sum(each.unsent_bytes for each in it.connections),
    ),
    "messages_sent": counter("Stream messages sent.", lambda it: it.hub.messages_sent),
    "sent_bytes": counter("Bytes of stream frames sent.", lambda it: it.hub.bytes_sent),
    "writes": counter(
        "Writes of stream messages to connections, each of all messages that waited.",
        lambda it: it.hub.writes,
    ),
    "channels": gauge("Streams with at least one subscriber.", lambda it: len(it.hub.channels)),
    "subscriptions": gauge(
        "Stream subscriptions of open connections, silent ones included.",
        lambda it: it.subscription_count,
    ),
    "connections_by_delivery": gauge(
        "Open stream connections, by what happens to their messages while the client is behind.",
        lambda it: it.policy_counts,
        "delivery",
    ),
    "connections_held": gauge(
        "Connections whose messages wait, because the client is behind.",
        lambda it: sum(each.is_held for each in it.hub.backlogs.values()),
    ),
    "backlog_bytes": gauge(
        "Messages that wait for such connections, in bytes.",
        lambda it: sum(each.size_bytes for each in it.hub.backlogs.values()),
    ),
    "messages_conflated": counter(
        "Messages that were replaced by a later one or merged into it before they were sent.",
        lambda it: it.hub.delivery_counters.conflated,
    ),
    "messages_dropped": counter(
        "Messages that were dropped because too many waited for a connection.",
        lambda it: it.hub.delivery_counters.dropped,
    ),
    "silent_subscriptions": counter(
        "Subscriptions on which nothing is delivered, by reason.",
        lambda it: it.hub.silent,
        "reason",
    ),
    "control_messages": counter(
        "Requests on WebSocket connections, by method.",
        lambda it: it.session_counters.methods,
        "method",
    ),
    "control_errors": counter(
        "Error replies on WebSocket connections, by code.",
        lambda it: it.session_counters.errors,
        "code",
    ),
    "pings_sent": counter("Pings sent.", lambda it: it.session_counters.pings_sent),
    "pongs_received": counter("Pongs received.", lambda it: it.session_counters.pongs_received),
    "http_requests": counter(
        "HTTP requests answered.", lambda it: it.counters.requests, "path", "method", "code"
    ),
    "http_compressed": counter(
        "HTTP responses sent as gzip; made: compressed for the request, kept: before it; evicted: "
        "those that were kept and made room for others.",
        lambda it: it.counters.compressed,
        "outcome",
    ),
    "http_malformed": counter(
        "HTTP requests that could not be parsed.", lambda it: it.counters.malformed
    ),
    "http_timeouts": counter(
        "HTTP connections closed because a head or body was late, a response was not read, or idle.",
        lambda it: it.counters.timeouts,
        "what",
    ),
}
"""What is counted for each port, with the label `venue`."""
PROCESS_ROWS: Families[PortsCollector] = {
    "connections_behind": gauge(
        "WebSocket connections for which data waited when they were last checked.",
        lambda it: sum(each.behind_count for each in it.congestions),
    ),
    "flushes": counter(
        "Writes of all messages that wait, long ones in slices.", lambda it: it.flusher.flushes
    ),
    "flushes_continued": counter(
        "Flushes that continued one that had taken its slice.", lambda it: it.flusher.continued
    ),
    "flushes_rested": counter(
        "Flushes that waited longer than the turn of the loop because writing took most of the core.",
        lambda it: it.flusher.rested,
    ),
    "flush_seconds": counter("Time that flushes took.", lambda it: it.flusher.busy_s),
    "flush_interval_seconds": gauge(
        "How long the last flush waited beyond the turn of the loop; 0 while flushes are cheap.",
        lambda it: it.flusher.rest_s,
    ),
    "faults": counter(
        "Faults injected on demand, by fault.",
        lambda it: {name: it.board.counts[name] for name in it.kinds},
        "fault",
    ),
    "fault_overflows": counter(
        "How often a fault did less than it says, because a bound was reached, by fault.",
        lambda it: {name: it.board.overflows[name] for name in it.kinds},
        "fault",
    ),
    "fault_rules": gauge(
        "Rules of faults on demand, by state.",
        lambda it: {
            state: sum(on.state == state for on in it.board) for state in ("waiting", "on")
        },
        "state",
    ),
    "complaints": counter(
        "Problems by kind; the first of each kind is logged.",
        lambda it: it.complaints.counts,
        "kind",
    ),
    "certificate_expiry_seconds": gauge(
        "Until when the certificate of the ports is valid, seconds since 1970.",
        lambda it: it.certificate.expires_s if it.certificate else {},
    ),
    "certificate_reads": counter(
        "Times the certificate was read again; failed: it could not be used, and the old one stays.",
        lambda it: (
            {"used": it.certificate.reloads, "failed": it.certificate.failures}
            if it.certificate
            else {}
        ),
        "outcome",
    ),
}
"""What is counted for all ports of a process."""


class PortsCollector(Collector):
    """Reads the counters of ports."""

    def __init__(
        self,
        endpoints: Iterable[Endpoint],
        flusher: Flusher,
        complaints: Complaints,
        faults: FaultBoard,
        certificate: ServedCertificate | None = None,
    ) -> None:
        self.endpoints = tuple(endpoints)
        self.certificate: ServedCertificate | None = certificate
        self.flusher: Flusher = flusher
        self.complaints: Complaints = complaints
        self.board: FaultBoard = faults

    @property
    def congestions(self) -> set[Congestion]:
        """What counts the connections that read too slowly."""
        return {each.congestion for each in self.endpoints}

    @property
    def kinds(self) -> Iterable[str]:
        """The kinds of faults that are on or were."""
        return dict.fromkeys((*(on.rule.kind for on in self.board), *self.board.counts))

    def collect(self) -> Iterator[Metric]:
        """Yield every metric family."""
        ports = {(each.venue.name,): each for each in self.endpoints}
        yield from metric_families(PORT_ROWS, ports, "venue")
        yield _histogram(
            "publish_to_write_seconds",
            "Time from the publication of a message to its last write, one count for a group of "
            "writes; messages that wait for a slow client are not counted.",
            self.flusher.publish_to_write,
        )
        yield from metric_families(PROCESS_ROWS, {(): self})


SOURCE_ROWS: Families[PlantCollector] = {
    "requests_refused": counter(
        "Requests refused with 429 or 418, HTTP and WebSocket API.",
        lambda it: sum(each.refusals for each in it.rate_limiters),
    ),
    "limits_exceeded": counter(
        "Number of times a client exceeded a limit, whether refused or only counted, by limit.",
        lambda it: sum((each.exceeded for each in it.rate_limiters), Counter()),
        "limit",
    ),
    "bans": counter(
        "Addresses banned for ignoring a 429.",
        lambda it: sum(each.bans for each in it.rate_limiters),
    ),
    "addresses_forgotten": counter(
        "Addresses whose usage was forgotten to make room for others.",
        lambda it: sum(each.forgotten for each in it.rate_limiters),
    ),
    "market_events": counter(
        "Events the source published, by kind.",
        lambda it: {kind.__name__: n for kind, n in it.plant.published.items()},
        "kind",
    ),
    "source_ready": gauge("1 while the source is running.", lambda it: it.readiness.is_ready),
    "source_lag_seconds": gauge(
        "How far the source is behind its own clock.", lambda it: it.readiness.lag_ms / 1000
    ),
    "source_clock_offset_seconds": gauge(
        "How far the machine is ahead of a market that follows it, because its clock was set.",
        lambda it: it.readiness.clock_offset_ms / 1000,
    ),
    "source_warnings": gauge(
        "What is incomplete, such as symbols without a book; /readyz lists it.",
        lambda it: it.readiness.incomplete_count,
    ),
    "source_warnings_dropped": counter(
        "Warnings dropped because the list was full.", lambda it: it.readiness.dropped_warnings
    ),
    "source_skipped": counter(
        "Source messages that were not applied to any market, by reason.",
        lambda it: it.readiness.skipped(),
        "reason",
    ),
    "market_time_seconds": gauge(
        "Market time, seconds since 1970.", lambda it: it.plant.now_ms / 1000
    ),
}
"""What is counted of a plant and of its source."""
CHARGE_ROWS: Families[Endpoint] = {
    "http_weight": counter(
        "Request weight charged for HTTP requests.", lambda it: it.counters.weight
    ),
    "forwarded_requests": counter(
        "Requests not answered locally, by outcome.",
        lambda it: it.queries.forwarded_counts,
        "outcome",
    ),
}
VENUE_ROWS: Families[Markets] = {
    "books_live": gauge("Books that are in sync.", lambda it: sum(each.book_live for each in it)),
    "books_out_of_depth": gauge(
        "Books that are not known because the price left the levels of their last snapshot.",
        lambda it: sum(each.book_sync.live and (not each.book_live) for each in it),
    ),
    "book_gaps": counter(
        "Gaps in the update ids of books; each makes a book wait for a snapshot.",
        lambda it: sum(each.book_sync.gaps for each in it),
    ),
    "depth_updates_stale": counter(
        "Depth updates dropped because the book was already past them.",
        lambda it: sum(each.book_sync.stale for each in it),
    ),
    "depth_updates_forgotten": counter(
        "Depth updates dropped because too many came while a book waited for its snapshot.",
        lambda it: sum(each.book_sync.overflowed for each in it),
    ),
    "quotes_unreadable": counter(
        "Quotes dropped because their numbers are not in the instrument's units.",
        lambda it: sum(each.unreadable for each in it),
    ),
    "levels_unreadable": counter(
        "Levels dropped because their numbers are not in the instrument's units.",
        lambda it: sum(each.book.unreadable for each in it),
    ),
    "candle_text_bytes": gauge(
        "Bytes of candles kept as text for questions.", lambda it: it.candle_texts.size_bytes
    ),
    "candle_series_evicted": counter(
        "Series of candles whose texts made room for others.", lambda it: it.candle_texts.evicted
    ),
    "former_fundings_dropped": counter(
        "Removed contracts whose payments made room.", lambda it: it.former_dropped
    ),
}
"""What is counted for the markets of each venue, with the label `venue`."""
TRUTH_ROWS: Families[Truth] = {
    "truth_bytes": gauge("Memory for what a test server keeps.", lambda it: it.kept_bytes, "part"),
    "truth_forgotten": counter(
        "What a test server has forgotten because there was too much.",
        lambda it: it.forgotten,
        "part",
    ),
}


class PlantCollector(Collector):
    """Reads the counters of a plant, of what is charged to clients, and of the ports."""

    def __init__(
        self,
        plant: Plant,
        ports: PortsCollector,
        rate_limiters: Collection[RateLimiter],
        readiness: Readiness,
        complaints: Complaints,
        truth: Truth | None = None,
    ) -> None:
        self._truth = truth
        self.plant: Plant = plant
        self._ports = ports
        self.rate_limiters: Collection[RateLimiter] = rate_limiters
        self.readiness: Readiness = readiness
        self._complaints = complaints

    def collect(self) -> Iterator[Metric]:
        """Yield every metric family; those of the source come last and cannot hide ours."""
        ours = set()
        for family in self._ours():
            ours.add(family.name)
            yield family
        families: dict[str, Metric] = {}
        for number, sample in enumerate(self.readiness.samples):
            if number == MAX_SAMPLES:
                self._complaints.add("too many samples", "! the source reports too many samples")
                break
            name = PREFIX + sample.name
            if name not in ours:
                family = families.setdefault(name, Metric(name, sample.doc, sample.type))
                suffix = "_total" if family.type == "counter" else ""
                family.add_sample(name + suffix, dict(sample.labels), sample.value)
        yield from families.values()

    def _ours(self) -> Iterator[Metric]:
        yield from self._ports.collect()
        charged = {(each.venue.name,): each for each in self._ports.endpoints}
        yield from metric_families(CHARGE_ROWS, charged, "venue")
        yield _histogram(
            "event_to_publish_seconds",
            "How late events are published, one count for the first of a slice: after they were due "
            "at the pace of a simulation or replay, or after a relay received them.",
            self.readiness.event_to_publish,
        )
        yield from metric_families(SOURCE_ROWS, {(): self})
        venues = {(name,): each for name, each in self.plant.venues.items()}
        yield from metric_families(VENUE_ROWS, venues, "venue")
        if self._truth is not None:
            yield from metric_families(TRUTH_ROWS, {(): self._truth})


def metric_families(rows: Families[T], things: Mapping[Any, T], *labels: str) -> Iterator[Metric]:
    """Yield the families of `rows`, read from things by the values of `labels`."""
    for name, row in rows.items():
        kind = CounterMetricFamily if row.type == "counter" else GaugeMetricFamily
        family = kind(PREFIX + name, row.doc, labels=(*labels, *row.labels))
        for values, thing in things.items():
            found = row.read(thing)
            for key, number in found.items() if isinstance(found, Mapping) else [((), found)]:
                further = map(str, key if isinstance(key, tuple) else (key,))
                family.add_metric((*values, *further), number)
        yield family


def _histogram(name: str, text: str, histogram: Histogram) -> Metric:
    return HistogramMetricFamily(
        PREFIX + name, text, buckets=list(histogram.buckets()), sum_value=histogram.sum_s
    )


class WholeCollector(Collector):
    """The metrics of a plant and of its edges, with a label `worker`."""

    def __init__(self, own: Collector, edges: Iterable[tuple[str, Iterable[Metric]]]) -> None:
        self._own = own
        self._edges = edges

    def collect(self) -> Iterator[Metric]:
        """Yield every metric family."""
        families: dict[str, Metric] = {}
        for worker, metrics in ((PLANT, self._own.collect()), *self._edges):
            for metric in metrics:
                family = families.get(metric.name)
                if family is None:
                    family = Metric(metric.name, metric.documentation, metric.type)
                    families[metric.name] = family
                family.samples += [
                    each._replace(labels={"worker": worker, **each.labels})
                    for each in metric.samples
                ]
        yield from families.values()


def process_registry(collector: Collector) -> CollectorRegistry:
    """Return a registry with the metrics of `collector` and the library's metrics of the process."""
    registry = CollectorRegistry()
    registry.register(collector)
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    return registry


async def metrics_text(own: CollectorRegistry, edges: Edges | None) -> bytes:
    """Return the metrics of a plant and of its edges, if it has any, as Prometheus reads them."""
    if edges is None:
        return generate_latest(own)
    return generate_latest(WholeCollector(own, await edges.metrics()))
