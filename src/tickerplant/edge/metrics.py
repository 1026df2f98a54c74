"""The metrics of the bus: those of an edge, and those of a plant with edges."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from msgspec import Struct
from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from tickerplant.bus.questions import FamilyNote
from tickerplant.cluster.connection import BusConnection
from tickerplant.cluster.edge_node import EdgeNode
from tickerplant.cluster.plant_node import PlantNode
from tickerplant.edge.backend import WaitingRequests
from tickerplant.server.metrics import PREFIX, PortsCollector
from tickerplant.sources.source import Sample


class Row(Struct, frozen=True):
    """One number of an edge or of a plant."""

    name: str
    type: str
    doc: str


QUESTIONS = Row("edge_questions", "counter", "Questions asked of the plant.")
FAILED = Row("edge_questions_failed", "counter", "Questions that the plant did not answer.")
WAITING = Row("edge_questions_waiting", "gauge", "Questions that wait for the plant.")
PAUSES = Row(
    "edge_api_pauses",
    "counter",
    "Times a WebSocket API connection was not read because too many requests waited.",
)
DELAY = Row(
    "edge_delay_seconds",
    "gauge",
    "How long the last messages took from the plant, by the wall clocks of both.",
)
AWAY = Row("edge_plant_away", "counter", "Times the plant or the bus was away.")
RECOVERIES = Row(
    "edge_recoveries", "counter", "Times messages were read again from the memory of the bus."
)
DUPLICATES = Row("edge_duplicates", "counter", "Messages that came again and were dropped.")
LATE = Row("edge_late", "counter", "Messages that came after a later one.")
LOST = Row("edge_lost", "counter", "Times a stream was closed because messages may be missing.")
HELD = Row("edge_held_bytes", "gauge", "Bytes of messages that wait for those that are missing.")
UNREADABLE = Row("edge_unreadable", "counter", "Batches of messages that could not be read.")
EDGE_ROWS = (
    QUESTIONS,
    FAILED,
    WAITING,
    PAUSES,
    DELAY,
    AWAY,
    RECOVERIES,
    DUPLICATES,
    LATE,
    LOST,
    HELD,
    UNREADABLE,
)

CONNECTED = Row("bus_connected", "gauge", "1 while the plant is connected to the bus.")
EDGES = Row("bus_edges", "gauge", "Edges that have joined.")
STREAMS = Row("bus_streams", "gauge", "Streams that edges want.")
MESSAGES = Row("bus_messages", "counter", "Messages published on the bus.")
BYTES = Row("bus_bytes", "counter", "Bytes of messages published on the bus.")
ANSWERS = Row("bus_answers", "counter", "Questions of edges that were answered.")
UNSENT = Row("bus_unsent_bytes", "gauge", "Bytes that wait to be written to the bus.")
DROPPED = Row("bus_dropped", "counter", "Messages dropped because too much waited.")
RECONNECTS = Row("bus_reconnects", "counter", "Times the connection to the bus was made again.")
TAIL = Row("bus_tail_bytes", "gauge", "Bytes of messages that are kept for a bus that loses them.")
TAIL_OVERFLOWS = Row(
    "bus_tail_overflows",
    "counter",
    "Batches kept for less than their time, because there were too many.",
)
UNREACHED = Row(
    "bus_unreached_bytes",
    "gauge",
    "Bytes published that not every edge has confirmed to have delivered.",
)
WAITS = Row("bus_waits", "counter", "Times a source that can wait has waited for an edge.")
REFUSED = Row("bus_edges_refused", "counter", "Reports of edges beyond their greatest number.")
PLANT_ROWS = (
    CONNECTED,
    EDGES,
    STREAMS,
    MESSAGES,
    BYTES,
    ANSWERS,
    UNSENT,
    DROPPED,
    RECONNECTS,
    TAIL,
    TAIL_OVERFLOWS,
    UNREACHED,
    WAITS,
    REFUSED,
)


class EdgeCollector(Collector):
    """Reads the counters of an edge and of its ports."""

    def __init__(self, node: EdgeNode, waiting: WaitingRequests, ports: PortsCollector) -> None:
        self._node = node
        self._waiting = waiting
        self._ports = ports

    def collect(self) -> Iterator[Metric]:
        """Yield every metric family."""
        yield from self._ports.collect()
        node, caller, ordering = self._node, self._node.caller, self._node.ordering
        yield _family(QUESTIONS, caller.asked_count)
        yield _family(FAILED, caller.failed_count)
        yield _family(WAITING, caller.waiting_count)
        yield _family(PAUSES, self._waiting.pause_count)
        yield _family(DELAY, node.delay_ns / 1_000_000_000)
        yield _family(AWAY, node.link.away_count)
        yield _family(RECOVERIES, node.recovery_count)
        yield _family(DUPLICATES, ordering.duplicate_count)
        yield _family(LATE, ordering.late_count)
        yield _family(LOST, ordering.lost_count)
        yield _family(HELD, ordering.held_bytes)
        yield _family(UNREADABLE, node.bad_batch_count)


def bus_samples(node: PlantNode, bus: BusConnection) -> Iterable[Sample]:
    """Return the metrics of a plant on a bus."""
    return [
        _sample(CONNECTED, bus.is_connected),
        _sample(EDGES, len(node.edges)),
        _sample(STREAMS, node.stream_count),
        _sample(MESSAGES, node.published_count),
        _sample(BYTES, node.published_bytes),
        _sample(ANSWERS, node.answerer.answered_count),
        _sample(UNSENT, bus.unsent_bytes),
        _sample(DROPPED, bus.dropped_count),
        _sample(RECONNECTS, bus.reconnect_count),
        _sample(TAIL, node.tail.kept_bytes),
        _sample(TAIL_OVERFLOWS, node.tail.overflow_count),
        _sample(UNREACHED, node.readers.unreached_bytes),
        _sample(WAITS, node.readers.wait_count),
        _sample(REFUSED, node.interest.refused_count),
    ]


def families_of(registry: CollectorRegistry) -> list[FamilyNote]:
    """Return the metrics of this process, so that another one can print them."""
    return [
        FamilyNote(
            family.name,
            family.documentation,
            family.type,
            tuple((each.name, each.labels, float(each.value)) for each in family.samples),
        )
        for family in registry.collect()
    ]


def _family(row: Row, value: float) -> Metric:
    family = Metric(PREFIX + row.name, row.doc, row.type)
    family.add_sample(family.name + ("_total" if row.type == "counter" else ""), {}, value)
    return family


def _sample(row: Row, value: float) -> Sample:
    return Sample(
        name=row.name,
        value=value,
        doc=row.doc,
        type="counter" if row.type == "counter" else "gauge",
    )
