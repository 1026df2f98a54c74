"""What `/metrics` prints: plain counters, read on each request."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from prometheus_client import CollectorRegistry, PlatformCollector, ProcessCollector
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from tickerplant.faults.board import FaultBoard
from tickerplant.logs import Complaints
from tickerplant.market.market import Market
from tickerplant.plant import Plant
from tickerplant.protocol.close_reasons import SLOW_CONSUMER, STALLED
from tickerplant.protocol.rate_limiter import RateLimiter
from tickerplant.server.endpoint import Endpoint
from tickerplant.server.flushing import Flusher
from tickerplant.server.latency import Histogram
from tickerplant.server.operations.nodes import PLANT, Edges
from tickerplant.server.readiness import Readiness
from tickerplant.truth.truth import Truth

if TYPE_CHECKING:  # loads cryptography, only where TLS is served
    from tickerplant.server.certificate import ServedCertificate

PREFIX = "tickerplant_"
MAX_SAMPLES = 1_000
"""Most samples of the source that are printed: it must not label by what clients request."""


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
        self._certificate = certificate
        self._flusher = flusher
        self._complaints = complaints
        self._board = faults

    def collect(self) -> Iterator[Metric]:
        """Yield every metric family."""
        yield from self._connections()
        yield from self._deliveries()
        yield from self._flushes()
        yield from self._conversations()
        yield from self._requests()
        yield from self._problems()
        yield from self._certificates()

    def _certificates(self) -> Iterator[Metric]:
        """Yield the families of TLS, which have no samples without it."""
        expiry = GaugeMetricFamily(
            PREFIX + "certificate_expiry_seconds",
            "Until when the certificate of the ports is valid, seconds since 1970.",
            labels=[],
        )
        reads = CounterMetricFamily(
            PREFIX + "certificate_reads",
            "Times the certificate was read again; failed: it could not be used, and the old one stays.",
            labels=["outcome"],
        )
        if (served := self._certificate) is not None:
            expiry.add_metric([], served.expires_s)
            reads.add_metric(["used"], served.reloads)
            reads.add_metric(["failed"], served.failures)
        yield expiry
        yield reads

    def _connections(self) -> Iterator[Metric]:
        yield _gauge(
            "connections_open",
            "WebSocket connections open now.",
            {each.venue.name: len(each.connections) for each in self.endpoints},
        )
        yield _count(
            "connections_opened",
            "WebSocket connections opened.",
            {each.venue.name: each.counters.opened for each in self.endpoints},
        )
        yield _counts(
            "connections_closed",
            "WebSocket connections ended, by reason.",
            "reason",
            {each.venue.name: each.counters.closed for each in self.endpoints},
        )
        yield _counts(
            "connections_turned_away",
            "Connections rejected before their first request, by reason.",
            "reason",
            {each.venue.name: each.counters.turned_away for each in self.endpoints},
        )
        yield _count(
            "accept_pauses",
            "Times the system had no socket for a connection, and accepting paused.",
            {each.venue.name: each.counters.accept_pauses for each in self.endpoints},
        )
        yield _counts(
            "handshakes_refused",
            "WebSocket handshakes refused, by HTTP status.",
            "code",
            {each.venue.name: each.counters.refused for each in self.endpoints},
        )
        yield _gauge(
            "upstream_lost",
            "1 while stream handshakes are refused because the upstream is lost.",
            {each.venue.name: each.outage is not None for each in self.endpoints},
        )
        yield _count(
            "slow_consumers",
            "Connections closed because they read too slowly or not at all.",
            {
                each.venue.name: each.counters.closed[SLOW_CONSUMER.name]
                + each.counters.closed[STALLED.name]
                for each in self.endpoints
            },
        )
        yield GaugeMetricFamily(
            PREFIX + "connections_behind",
            "WebSocket connections for which data waited when they were last checked.",
            value=sum(each.behind_count for each in {each.congestion for each in self.endpoints}),
        )
        yield _gauge(
            "unsent_bytes",
            "Bytes written to WebSocket connections that the network has not taken.",
            {
                each.venue.name: sum(connection.unsent_bytes for connection in each.connections)
                for each in self.endpoints
            },
        )

    def _deliveries(self) -> Iterator[Metric]:
        hubs = {each.venue.name: each.hub for each in self.endpoints}
        yield _count(
            "messages_sent",
            "Stream messages sent.",
            {name: hub.messages_sent for name, hub in hubs.items()},
        )
        yield _count(
            "sent_bytes",
            "Bytes of stream frames sent.",
            {name: hub.bytes_sent for name, hub in hubs.items()},
        )
        yield _count(
            "writes",
            "Writes of stream messages to connections, each of all messages that waited.",
            {name: hub.writes for name, hub in hubs.items()},
        )
        yield _gauge(
            "channels",
            "Streams with at least one subscriber.",
            {name: len(hub.channels) for name, hub in hubs.items()},
        )
        yield _gauge(
            "subscriptions",
            "Stream subscriptions of open connections, silent ones included.",
            {each.venue.name: each.subscription_count for each in self.endpoints},
        )
        yield from self._policies()
        yield _counts(
            "silent_subscriptions",
            "Subscriptions on which nothing is delivered, by reason.",
            "reason",
            {name: hub.silent for name, hub in hubs.items()},
        )

    def _policies(self) -> Iterator[Metric]:
        yield _gauges(
            "connections_by_delivery",
            "Open stream connections, by what happens to their messages while the client is behind.",
            "delivery",
            {each.venue.name: each.policy_counts for each in self.endpoints},
        )
        hubs = {each.venue.name: each.hub for each in self.endpoints}
        yield _gauge(
            "connections_held",
            "Connections whose messages wait, because the client is behind.",
            {
                name: sum(each.is_held for each in hub.backlogs.values())
                for name, hub in hubs.items()
            },
        )
        yield _gauge(
            "backlog_bytes",
            "Messages that wait for such connections, in bytes.",
            {
                name: sum(each.size_bytes for each in hub.backlogs.values())
                for name, hub in hubs.items()
            },
        )
        yield _count(
            "messages_conflated",
            "Messages that were replaced by a later one or merged into it before they were sent.",
            {name: hub.delivery_counters.conflated for name, hub in hubs.items()},
        )
        yield _count(
            "messages_dropped",
            "Messages that were dropped because too many waited for a connection.",
            {name: hub.delivery_counters.dropped for name, hub in hubs.items()},
        )

    def _flushes(self) -> Iterator[Metric]:
        flusher = self._flusher
        yield _total(
            "flushes", "Writes of all messages that wait, long ones in slices.", flusher.flushes
        )
        yield _total(
            "flushes_continued",
            "Flushes that continued one that had taken its slice.",
            flusher.continued,
        )
        yield _total(
            "flushes_rested",
            "Flushes that waited longer than the turn of the loop because writing took most of the "
            "core.",
            flusher.rested,
        )
        yield _histogram(
            "publish_to_write_seconds",
            "Time from the publication of a message to its last write, one count for a group of "
            "writes; messages that wait for a slow client are not counted.",
            flusher.publish_to_write,
        )
        yield _total("flush_seconds", "Time that flushes took.", flusher.busy_s)
        yield GaugeMetricFamily(
            PREFIX + "flush_interval_seconds",
            "How long the last flush waited beyond the turn of the loop; 0 while flushes are cheap.",
            value=flusher.rest_s,
        )

    def _conversations(self) -> Iterator[Metric]:
        sessions = {each.venue.name: each.session_counters for each in self.endpoints}
        yield _counts(
            "control_messages",
            "Requests on WebSocket connections, by method.",
            "method",
            {name: counters.methods for name, counters in sessions.items()},
        )
        yield _counts(
            "control_errors",
            "Error replies on WebSocket connections, by code.",
            "code",
            {name: counters.errors for name, counters in sessions.items()},
        )
        yield _count(
            "pings_sent",
            "Pings sent.",
            {name: counters.pings_sent for name, counters in sessions.items()},
        )
        yield _count(
            "pongs_received",
            "Pongs received.",
            {name: counters.pongs_received for name, counters in sessions.items()},
        )

    def _requests(self) -> Iterator[Metric]:
        requests = CounterMetricFamily(
            PREFIX + "http_requests",
            "HTTP requests answered.",
            labels=("venue", "path", "method", "code"),
        )
        for each in self.endpoints:
            for (path, method, status), number in each.counters.requests.items():
                requests.add_metric((each.venue.name, path, method, str(status)), number)
        yield requests
        yield _counts(
            "http_compressed",
            "HTTP responses sent as gzip; made: compressed for the request, kept: before it; evicted: "
            "those that were kept and made room for others.",
            "outcome",
            {each.venue.name: each.counters.compressed for each in self.endpoints},
        )
        yield _count(
            "http_malformed",
            "HTTP requests that could not be parsed.",
            {each.venue.name: each.counters.malformed for each in self.endpoints},
        )
        yield _counts(
            "http_timeouts",
            "HTTP connections closed because a head or body was late, a response was not read, or idle.",
            "what",
            {each.venue.name: each.counters.timeouts for each in self.endpoints},
        )

    def _problems(self) -> Iterator[Metric]:
        faults = CounterMetricFamily(
            PREFIX + "faults", "Faults injected on demand, by fault.", labels=("fault",)
        )
        kinds = dict.fromkeys((*(on.rule.row.name for on in self._board), *self._board.counts))
        for name in kinds:
            faults.add_metric((name,), self._board.counts[name])
        yield faults
        overflows = CounterMetricFamily(
            PREFIX + "fault_overflows",
            "How often a fault did less than it says, because a bound was reached, by fault.",
            labels=("fault",),
        )
        for name in kinds:
            overflows.add_metric((name,), self._board.overflows[name])
        yield overflows
        rules = GaugeMetricFamily(
            PREFIX + "fault_rules", "Rules of faults on demand, by state.", labels=("state",)
        )
        for state in ("waiting", "on"):
            rules.add_metric((state,), sum(on.state == state for on in self._board))
        yield rules
        complaints = CounterMetricFamily(
            PREFIX + "complaints",
            "Problems by kind; the first of each kind is logged.",
            labels=("kind",),
        )
        for kind, number in self._complaints.counts.items():
            complaints.add_metric((kind,), number)
        yield complaints


class PlantCollector(Collector):
    """Reads the counters of a plant, of what is charged to clients, and of the ports.

    Args:
        plant: The plant.
        ports: Reads the counters of the ports.
        rate_limiters: Charge the requests of clients.
        readiness: The state of the source.
        complaints: Take the faults of the source.
        truth: Keeps what was; None if nothing does.
    """

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
        self._plant = plant
        self._ports = ports
        self._rate_limiters = rate_limiters
        self._readiness = readiness
        self._complaints = complaints

    def collect(self) -> Iterator[Metric]:
        """Yield every metric family; those of the source come last and cannot hide ours."""
        ours = set()
        for family in self._ours():
            ours.add(family.name)
            yield family
        families: dict[str, Metric] = {}
        for number, sample in enumerate(self._readiness.samples):
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
        yield from self._charges()
        yield from self._source()
        yield from self._markets()
        if self._truth is not None:
            yield from self._what_was(self._truth)

    def _what_was(self, truth: Truth) -> Iterator[Metric]:
        kept = GaugeMetricFamily(
            f"{PREFIX}truth_bytes", "Memory for what a test server keeps.", labels=("part",)
        )
        for part, size_bytes in truth.kept_bytes.items():
            kept.add_metric((part,), size_bytes)
        yield kept
        forgotten = CounterMetricFamily(
            f"{PREFIX}truth_forgotten",
            "What a test server has forgotten because there was too much.",
            labels=("part",),
        )
        for part, number in truth.forgotten.items():
            forgotten.add_metric((part,), number)
        yield forgotten

    def _charges(self) -> Iterator[Metric]:
        endpoints = self._ports.endpoints
        yield _count(
            "http_weight",
            "Request weight charged for HTTP requests.",
            {each.venue.name: each.counters.weight for each in endpoints},
        )
        yield _counts(
            "forwarded_requests",
            "Requests not answered locally, by outcome.",
            "outcome",
            {each.venue.name: each.queries.forwarded_counts for each in endpoints},
        )
        yield CounterMetricFamily(
            PREFIX + "requests_refused",
            "Requests refused with 429 or 418, HTTP and WebSocket API.",
            value=sum(rate_limiter.refusals for rate_limiter in self._rate_limiters),
        )
        exceeded = CounterMetricFamily(
            PREFIX + "limits_exceeded",
            "Number of times a client exceeded a limit, whether refused or only counted, by limit.",
            labels=("limit",),
        )
        for name, number in sum(
            (rate_limiter.exceeded for rate_limiter in self._rate_limiters), Counter()
        ).items():
            exceeded.add_metric((name,), number)
        yield exceeded
        yield CounterMetricFamily(
            PREFIX + "bans",
            "Addresses banned for ignoring a 429.",
            value=sum(rate_limiter.bans for rate_limiter in self._rate_limiters),
        )
        yield CounterMetricFamily(
            PREFIX + "addresses_forgotten",
            "Addresses whose usage was forgotten to make room for others.",
            value=sum(rate_limiter.forgotten for rate_limiter in self._rate_limiters),
        )

    def _source(self) -> Iterator[Metric]:
        readiness = self._readiness
        events = CounterMetricFamily(
            PREFIX + "market_events", "Events the source published, by kind.", labels=("kind",)
        )
        for kind, number in self._plant.published.items():
            events.add_metric((kind.__name__,), number)
        yield events
        yield GaugeMetricFamily(
            PREFIX + "source_ready", "1 while the source is running.", value=readiness.is_ready
        )
        yield _histogram(
            "event_to_publish_seconds",
            "How late events are published, one count for the first of a slice: after they were due "
            "at the pace of a simulation or replay, or after a relay received them.",
            readiness.event_to_publish,
        )
        yield GaugeMetricFamily(
            PREFIX + "source_lag_seconds",
            "How far the source is behind its own clock.",
            value=readiness.lag_ms / 1_000,
        )
        yield GaugeMetricFamily(
            PREFIX + "source_clock_offset_seconds",
            "How far the machine is ahead of a market that follows it, because its clock was set.",
            value=readiness.clock_offset_ms / 1_000,
        )
        yield GaugeMetricFamily(
            PREFIX + "source_warnings",
            "What is incomplete, such as symbols without a book; /readyz lists it.",
            value=readiness.incomplete_count,
        )
        yield CounterMetricFamily(
            PREFIX + "source_warnings_dropped",
            "Warnings dropped because the list was full.",
            value=readiness.dropped_warnings,
        )
        skipped = CounterMetricFamily(
            PREFIX + "source_skipped",
            "Source messages that were not applied to any market, by reason.",
            labels=("reason",),
        )
        for reason, number in readiness.skipped().items():
            skipped.add_metric((reason,), number)
        yield skipped
        yield GaugeMetricFamily(
            PREFIX + "market_time_seconds",
            "Market time, seconds since 1970.",
            value=self._plant.now_ms / 1_000,
        )

    def _markets(self) -> Iterator[Metric]:
        yield _gauge(
            "books_live", "Books that are in sync.", self._sums(lambda market: market.book_live)
        )
        yield _gauge(
            "books_out_of_depth",
            "Books that are not known because the price left the levels of their last snapshot.",
            self._sums(lambda market: market.book_sync.live and not market.book_live),
        )
        yield _count(
            "book_gaps",
            "Gaps in the update ids of books; each makes a book wait for a snapshot.",
            self._sums(lambda market: market.book_sync.gaps),
        )
        yield _count(
            "depth_updates_stale",
            "Depth updates dropped because the book was already past them.",
            self._sums(lambda market: market.book_sync.stale),
        )
        yield _count(
            "depth_updates_forgotten",
            "Depth updates dropped because too many came while a book waited for its snapshot.",
            self._sums(lambda market: market.book_sync.overflowed),
        )
        yield _count(
            "quotes_unreadable",
            "Quotes dropped because their numbers are not in the instrument's units.",
            self._sums(lambda market: market.unreadable),
        )
        yield _count(
            "levels_unreadable",
            "Levels dropped because their numbers are not in the instrument's units.",
            self._sums(lambda market: market.book.unreadable),
        )
        texts = {name: markets.candle_texts for name, markets in self._plant.venues.items()}
        yield _gauge(
            "candle_text_bytes",
            "Bytes of candles kept as text for questions.",
            {name: each.size_bytes for name, each in texts.items()},
        )
        yield _count(
            "candle_series_evicted",
            "Series of candles whose texts made room for others.",
            {name: each.evicted for name, each in texts.items()},
        )

    def _sums(self, number: Callable[[Market], int]) -> dict[str, float]:
        """Return `number` of all markets of each venue, summed."""
        return {name: sum(map(number, markets)) for name, markets in self._plant.venues.items()}


def _total(name: str, text: str, value: float) -> Metric:
    return CounterMetricFamily(PREFIX + name, text, value=value)


def _gauge(name: str, text: str, by_venue: Mapping[str, float]) -> Metric:
    family = GaugeMetricFamily(PREFIX + name, text, labels=("venue",))
    for venue, value in by_venue.items():
        family.add_metric((venue,), value)
    return family


def _count(name: str, text: str, by_venue: Mapping[str, float]) -> Metric:
    family = CounterMetricFamily(PREFIX + name, text, labels=("venue",))
    for venue, value in by_venue.items():
        family.add_metric((venue,), value)
    return family


def _gauges(name: str, text: str, label: str, by_venue: Mapping[str, Mapping[Any, int]]) -> Metric:
    family = GaugeMetricFamily(PREFIX + name, text, labels=("venue", label))
    for venue, numbers in by_venue.items():
        for value, number in numbers.items():
            family.add_metric((venue, str(value)), number)
    return family


def _histogram(name: str, text: str, histogram: Histogram) -> Metric:
    return HistogramMetricFamily(
        PREFIX + name, text, buckets=list(histogram.buckets()), sum_value=histogram.sum_s
    )


def _counts(name: str, text: str, label: str, by_venue: Mapping[str, Mapping[Any, int]]) -> Metric:
    family = CounterMetricFamily(PREFIX + name, text, labels=("venue", label))
    for venue, numbers in by_venue.items():
        for value, number in numbers.items():
            family.add_metric((venue, str(value)), number)
    return family


class WholeCollector(Collector):
    """The metrics of a plant and of its edges, with a label `worker`; without edges only the plant's.

    Args:
        own: The metrics of the plant's process.
        edges: Returns the edges; None if the plant serves alone.
    """

    def __init__(self, own: CollectorRegistry, edges: Callable[[], Edges | None]) -> None:
        self._own = own
        self._edges = edges

    def collect(self) -> Iterator[Metric]:
        """Yield every metric family."""
        edges = self._edges()
        if edges is None:
            yield from self._own.collect()
            return
        families: dict[str, Metric] = {}
        for worker, metrics in ((PLANT, self._own.collect()), *edges.metrics()):
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


def metrics_registry(
    collector: Collector, edges: Callable[[], Edges | None] = lambda: None
) -> CollectorRegistry:
    """Return a registry with the metrics of a plant and of its edges, if it has any.

    Args:
        collector: Reads the metrics of the plant.
        edges: Returns its edges; None if it serves alone.
    """
    registry = CollectorRegistry()
    registry.register(WholeCollector(process_registry(collector), edges))
    return registry
