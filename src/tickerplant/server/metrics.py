"""What `/metrics` prints: plain counters, read on each request."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

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
from tickerplant.logs import Complaints
from tickerplant.market.markets import Markets
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
Numbers: TypeAlias = Mapping[str, float | Mapping[Any, float]]
"""The numbers of families by name; of one with labels, numbers by the values of these."""
MAX_SAMPLES = 1_000
"""Most samples of the source that are printed: it must not label by what clients request."""


class Row(Struct, frozen=True):
    """A family of metrics."""

    name: str
    """Without the prefix of the program and, of a counter, without `_total`."""
    type: Literal["counter", "gauge"]
    doc: str
    labels: tuple[str, ...] = ()


PORT_ROWS = (
    Row("connections_open", "gauge", "WebSocket connections open now."),
    Row("connections_opened", "counter", "WebSocket connections opened."),
    Row("connections_closed", "counter", "WebSocket connections ended, by reason.", ("reason",)),
    Row(
        "connections_turned_away",
        "counter",
        "Connections rejected before their first request, by reason.",
        ("reason",),
    ),
    Row(
        "accept_pauses",
        "counter",
        "Times the system had no socket for a connection, and accepting paused.",
    ),
    Row(
        "handshakes_refused", "counter", "WebSocket handshakes refused, by HTTP status.", ("code",)
    ),
    Row(
        "upstream_lost",
        "gauge",
        "1 while stream handshakes are refused because the upstream is lost.",
    ),
    Row(
        "slow_consumers",
        "counter",
        "Connections closed because they read too slowly or not at all.",
    ),
    Row(
        "unsent_bytes",
        "gauge",
        "Bytes written to WebSocket connections that the network has not taken.",
    ),
    Row("messages_sent", "counter", "Stream messages sent."),
    Row("sent_bytes", "counter", "Bytes of stream frames sent."),
    Row(
        "writes",
        "counter",
        "Writes of stream messages to connections, each of all messages that waited.",
    ),
    Row("channels", "gauge", "Streams with at least one subscriber."),
    Row(
        "subscriptions", "gauge", "Stream subscriptions of open connections, silent ones included."
    ),
    Row(
        "connections_by_delivery",
        "gauge",
        "Open stream connections, by what happens to their messages while the client is behind.",
        ("delivery",),
    ),
    Row(
        "connections_held",
        "gauge",
        "Connections whose messages wait, because the client is behind.",
    ),
    Row("backlog_bytes", "gauge", "Messages that wait for such connections, in bytes."),
    Row(
        "messages_conflated",
        "counter",
        "Messages that were replaced by a later one or merged into it before they were sent.",
    ),
    Row(
        "messages_dropped",
        "counter",
        "Messages that were dropped because too many waited for a connection.",
    ),
    Row(
        "silent_subscriptions",
        "counter",
        "Subscriptions on which nothing is delivered, by reason.",
        ("reason",),
    ),
    Row(
        "control_messages", "counter", "Requests on WebSocket connections, by method.", ("method",)
    ),
    Row("control_errors", "counter", "Error replies on WebSocket connections, by code.", ("code",)),
    Row("pings_sent", "counter", "Pings sent."),
    Row("pongs_received", "counter", "Pongs received."),
    Row("http_requests", "counter", "HTTP requests answered.", ("path", "method", "code")),
    Row(
        "http_compressed",
        "counter",
        "HTTP responses sent as gzip; made: compressed for the request, kept: before it; evicted: "
        "those that were kept and made room for others.",
        ("outcome",),
    ),
    Row("http_malformed", "counter", "HTTP requests that could not be parsed."),
    Row(
        "http_timeouts",
        "counter",
        "HTTP connections closed because a head or body was late, a response was not read, or idle.",
        ("what",),
    ),
)
"""What is counted for each port, with the label `venue`."""
PROCESS_ROWS = (
    Row(
        "connections_behind",
        "gauge",
        "WebSocket connections for which data waited when they were last checked.",
    ),
    Row("flushes", "counter", "Writes of all messages that wait, long ones in slices."),
    Row("flushes_continued", "counter", "Flushes that continued one that had taken its slice."),
    Row(
        "flushes_rested",
        "counter",
        "Flushes that waited longer than the turn of the loop because writing took most of the core.",
    ),
    Row("flush_seconds", "counter", "Time that flushes took."),
    Row(
        "flush_interval_seconds",
        "gauge",
        "How long the last flush waited beyond the turn of the loop; 0 while flushes are cheap.",
    ),
    Row("faults", "counter", "Faults injected on demand, by fault.", ("fault",)),
    Row(
        "fault_overflows",
        "counter",
        "How often a fault did less than it says, because a bound was reached, by fault.",
        ("fault",),
    ),
    Row("fault_rules", "gauge", "Rules of faults on demand, by state.", ("state",)),
    Row("complaints", "counter", "Problems by kind; the first of each kind is logged.", ("kind",)),
    Row(
        "certificate_expiry_seconds",
        "gauge",
        "Until when the certificate of the ports is valid, seconds since 1970.",
    ),
    Row(
        "certificate_reads",
        "counter",
        "Times the certificate was read again; failed: it could not be used, and the old one stays.",
        ("outcome",),
    ),
)
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
        self._certificate = certificate
        self._flusher = flusher
        self._complaints = complaints
        self._board = faults

    def collect(self) -> Iterator[Metric]:
        """Yield every metric family."""
        ports = {(each.venue.name,): _of_port(each) for each in self.endpoints}
        yield from metric_families(PORT_ROWS, ports, "venue")
        yield _histogram(
            "publish_to_write_seconds",
            "Time from the publication of a message to its last write, one count for a group of "
            "writes; messages that wait for a slow client are not counted.",
            self._flusher.publish_to_write,
        )
        yield from metric_families(PROCESS_ROWS, {(): self._of_process()})

    def _of_process(self) -> Numbers:
        flusher, board, served = self._flusher, self._board, self._certificate
        congestions = {each.congestion for each in self.endpoints}
        kinds = dict.fromkeys((*(on.rule.kind for on in board), *board.counts))
        states = ("waiting", "on")
        return {
            "connections_behind": sum(each.behind_count for each in congestions),
            "flushes": flusher.flushes,
            "flushes_continued": flusher.continued,
            "flushes_rested": flusher.rested,
            "flush_seconds": flusher.busy_s,
            "flush_interval_seconds": flusher.rest_s,
            "faults": {name: board.counts[name] for name in kinds},
            "fault_overflows": {name: board.overflows[name] for name in kinds},
            "fault_rules": {state: sum(on.state == state for on in board) for state in states},
            "complaints": self._complaints.counts,
            "certificate_expiry_seconds": served.expires_s if served else {},
            "certificate_reads": {"used": served.reloads, "failed": served.failures}
            if served
            else {},
        }


def _of_port(port: Endpoint) -> Numbers:
    hub, counters, session = port.hub, port.counters, port.session_counters
    return {
        "connections_open": len(port.connections),
        "connections_opened": counters.opened,
        "connections_closed": counters.closed,
        "connections_turned_away": counters.turned_away,
        "accept_pauses": counters.accept_pauses,
        "handshakes_refused": counters.refused,
        "upstream_lost": port.outage is not None,
        "slow_consumers": counters.closed[SLOW_CONSUMER.name] + counters.closed[STALLED.name],
        "unsent_bytes": sum(each.unsent_bytes for each in port.connections),
        "messages_sent": hub.messages_sent,
        "sent_bytes": hub.bytes_sent,
        "writes": hub.writes,
        "channels": len(hub.channels),
        "subscriptions": port.subscription_count,
        "connections_by_delivery": port.policy_counts,
        "connections_held": sum(each.is_held for each in hub.backlogs.values()),
        "backlog_bytes": sum(each.size_bytes for each in hub.backlogs.values()),
        "messages_conflated": hub.delivery_counters.conflated,
        "messages_dropped": hub.delivery_counters.dropped,
        "silent_subscriptions": hub.silent,
        "control_messages": session.methods,
        "control_errors": session.errors,
        "pings_sent": session.pings_sent,
        "pongs_received": session.pongs_received,
        "http_requests": counters.requests,
        "http_compressed": counters.compressed,
        "http_malformed": counters.malformed,
        "http_timeouts": counters.timeouts,
    }


SOURCE_ROWS = (
    Row("requests_refused", "counter", "Requests refused with 429 or 418, HTTP and WebSocket API."),
    Row(
        "limits_exceeded",
        "counter",
        "Number of times a client exceeded a limit, whether refused or only counted, by limit.",
        ("limit",),
    ),
    Row("bans", "counter", "Addresses banned for ignoring a 429."),
    Row(
        "addresses_forgotten",
        "counter",
        "Addresses whose usage was forgotten to make room for others.",
    ),
    Row("market_events", "counter", "Events the source published, by kind.", ("kind",)),
    Row("source_ready", "gauge", "1 while the source is running."),
    Row("source_lag_seconds", "gauge", "How far the source is behind its own clock."),
    Row(
        "source_clock_offset_seconds",
        "gauge",
        "How far the machine is ahead of a market that follows it, because its clock was set.",
    ),
    Row(
        "source_warnings",
        "gauge",
        "What is incomplete, such as symbols without a book; /readyz lists it.",
    ),
    Row("source_warnings_dropped", "counter", "Warnings dropped because the list was full."),
    Row(
        "source_skipped",
        "counter",
        "Source messages that were not applied to any market, by reason.",
        ("reason",),
    ),
    Row("market_time_seconds", "gauge", "Market time, seconds since 1970."),
)
"""What is counted of a plant and of its source."""
CHARGE_ROWS = (
    Row("http_weight", "counter", "Request weight charged for HTTP requests."),
    Row(
        "forwarded_requests", "counter", "Requests not answered locally, by outcome.", ("outcome",)
    ),
)
VENUE_ROWS = (
    Row("books_live", "gauge", "Books that are in sync."),
    Row(
        "books_out_of_depth",
        "gauge",
        "Books that are not known because the price left the levels of their last snapshot.",
    ),
    Row(
        "book_gaps",
        "counter",
        "Gaps in the update ids of books; each makes a book wait for a snapshot.",
    ),
    Row(
        "depth_updates_stale",
        "counter",
        "Depth updates dropped because the book was already past them.",
    ),
    Row(
        "depth_updates_forgotten",
        "counter",
        "Depth updates dropped because too many came while a book waited for its snapshot.",
    ),
    Row(
        "quotes_unreadable",
        "counter",
        "Quotes dropped because their numbers are not in the instrument's units.",
    ),
    Row(
        "levels_unreadable",
        "counter",
        "Levels dropped because their numbers are not in the instrument's units.",
    ),
    Row("candle_text_bytes", "gauge", "Bytes of candles kept as text for questions."),
    Row("candle_series_evicted", "counter", "Series of candles whose texts made room for others."),
    Row("former_fundings_dropped", "counter", "Removed contracts whose payments made room."),
)
"""What is counted for the markets of each venue, with the label `venue`."""
TRUTH_ROWS = (
    Row("truth_bytes", "gauge", "Memory for what a test server keeps.", ("part",)),
    Row(
        "truth_forgotten",
        "counter",
        "What a test server has forgotten because there was too much.",
        ("part",),
    ),
)


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
        charged: dict[Any, Numbers] = {
            (each.venue.name,): {
                "http_weight": each.counters.weight,
                "forwarded_requests": each.queries.forwarded_counts,
            }
            for each in self._ports.endpoints
        }
        yield from metric_families(CHARGE_ROWS, charged, "venue")
        yield _histogram(
            "event_to_publish_seconds",
            "How late events are published, one count for the first of a slice: after they were due "
            "at the pace of a simulation or replay, or after a relay received them.",
            self._readiness.event_to_publish,
        )
        yield from metric_families(SOURCE_ROWS, {(): self._of_source()})
        venues = {(name,): _of_markets(each) for name, each in self._plant.venues.items()}
        yield from metric_families(VENUE_ROWS, venues, "venue")
        if (truth := self._truth) is not None:
            parts = {"truth_bytes": truth.kept_bytes, "truth_forgotten": truth.forgotten}
            yield from metric_families(TRUTH_ROWS, {(): parts})

    def _of_source(self) -> Numbers:
        readiness, limiters, plant = self._readiness, self._rate_limiters, self._plant
        return {
            "requests_refused": sum(each.refusals for each in limiters),
            "limits_exceeded": sum((each.exceeded for each in limiters), Counter()),
            "bans": sum(each.bans for each in limiters),
            "addresses_forgotten": sum(each.forgotten for each in limiters),
            "market_events": {kind.__name__: n for kind, n in plant.published.items()},
            "source_ready": readiness.is_ready,
            "source_lag_seconds": readiness.lag_ms / 1_000,
            "source_clock_offset_seconds": readiness.clock_offset_ms / 1_000,
            "source_warnings": readiness.incomplete_count,
            "source_warnings_dropped": readiness.dropped_warnings,
            "source_skipped": readiness.skipped(),
            "market_time_seconds": plant.now_ms / 1_000,
        }


def _of_markets(markets: Markets) -> Numbers:
    return {
        "books_live": sum(each.book_live for each in markets),
        "books_out_of_depth": sum(each.book_sync.live and not each.book_live for each in markets),
        "book_gaps": sum(each.book_sync.gaps for each in markets),
        "depth_updates_stale": sum(each.book_sync.stale for each in markets),
        "depth_updates_forgotten": sum(each.book_sync.overflowed for each in markets),
        "quotes_unreadable": sum(each.unreadable for each in markets),
        "levels_unreadable": sum(each.book.unreadable for each in markets),
        "candle_text_bytes": markets.candle_texts.size_bytes,
        "candle_series_evicted": markets.candle_texts.evicted,
        "former_fundings_dropped": markets.former_dropped,
    }


def metric_families(
    rows: Iterable[Row], parts: Mapping[Any, Numbers], *labels: str
) -> Iterator[Metric]:
    """Yield the families of `rows`, whose numbers come in parts by the values of `labels`."""
    for row in rows:
        kind = CounterMetricFamily if row.type == "counter" else GaugeMetricFamily
        family = kind(PREFIX + row.name, row.doc, labels=(*labels, *row.labels))
        for values, numbers in parts.items():
            found = numbers[row.name]
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
