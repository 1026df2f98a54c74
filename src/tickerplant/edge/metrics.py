"""The metrics of the bus: those of an edge, and those of a plant with edges."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from tickerplant.bus.questions import FamilyNote
from tickerplant.cluster.connection import BusConnection
from tickerplant.cluster.edge_node import EdgeNode
from tickerplant.cluster.plant_node import PlantNode
from tickerplant.edge.backend import WaitingRequests
from tickerplant.server.metrics import PortsCollector, Row, metric_families
from tickerplant.sources.source import Sample

EDGE_ROWS = (
    Row("edge_questions", "counter", "Questions asked of the plant."),
    Row("edge_questions_failed", "counter", "Questions that the plant did not answer."),
    Row("edge_questions_waiting", "gauge", "Questions that wait for the plant."),
    Row(
        "edge_api_pauses",
        "counter",
        "Times a WebSocket API connection was not read because too many requests waited.",
    ),
    Row(
        "edge_delay_seconds",
        "gauge",
        "How long the last messages took from the plant, by the wall clocks of both.",
    ),
    Row("edge_plant_away", "counter", "Times the plant or the bus was away."),
    Row("edge_recoveries", "counter", "Times messages were read again from the memory of the bus."),
    Row("edge_duplicates", "counter", "Messages that came again and were dropped."),
    Row("edge_late", "counter", "Messages that came after a later one."),
    Row("edge_lost", "counter", "Times a stream was closed because messages may be missing."),
    Row("edge_held_bytes", "gauge", "Bytes of messages that wait for those that are missing."),
    Row("edge_unreadable", "counter", "Batches of messages that could not be read."),
)
PLANT_ROWS = (
    Row("bus_connected", "gauge", "1 while the plant is connected to the bus."),
    Row("bus_edges", "gauge", "Edges that have joined."),
    Row("bus_streams", "gauge", "Streams that edges want."),
    Row("bus_messages", "counter", "Messages published on the bus."),
    Row("bus_bytes", "counter", "Bytes of messages published on the bus."),
    Row("bus_answers", "counter", "Questions of edges that were answered."),
    Row("bus_unsent_bytes", "gauge", "Bytes that wait to be written to the bus."),
    Row("bus_dropped", "counter", "Messages dropped because too much waited."),
    Row("bus_reconnects", "counter", "Times the connection to the bus was made again."),
    Row("bus_tail_bytes", "gauge", "Bytes of messages that are kept for a bus that loses them."),
    Row(
        "bus_tail_overflows",
        "counter",
        "Batches kept for less than their time, because there were too many.",
    ),
    Row(
        "bus_unreached_bytes",
        "gauge",
        "Bytes published that not every edge has confirmed to have delivered.",
    ),
    Row("bus_waits", "counter", "Times a source that can wait has waited for an edge."),
    Row("bus_edges_refused", "counter", "Reports of edges beyond their greatest number."),
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
        values = {
            "edge_questions": caller.asked_count,
            "edge_questions_failed": caller.failed_count,
            "edge_questions_waiting": caller.waiting_count,
            "edge_api_pauses": self._waiting.pause_count,
            "edge_delay_seconds": node.delay_ns / 1_000_000_000,
            "edge_plant_away": node.link.away_count,
            "edge_recoveries": node.recovery_count,
            "edge_duplicates": ordering.duplicate_count,
            "edge_late": ordering.late_count,
            "edge_lost": ordering.lost_count,
            "edge_held_bytes": ordering.held_bytes,
            "edge_unreadable": node.bad_batch_count,
        }
        yield from metric_families(EDGE_ROWS, {(): values})


def bus_samples(node: PlantNode, bus: BusConnection) -> Iterable[Sample]:
    """Return the metrics of a plant on a bus."""
    values = {
        "bus_connected": bus.is_connected,
        "bus_edges": len(node.edges),
        "bus_streams": node.stream_count,
        "bus_messages": node.published_count,
        "bus_bytes": node.published_bytes,
        "bus_answers": node.answerer.answered_count,
        "bus_unsent_bytes": bus.unsent_bytes,
        "bus_dropped": bus.dropped_count,
        "bus_reconnects": bus.reconnect_count,
        "bus_tail_bytes": node.tail.kept_bytes,
        "bus_tail_overflows": node.tail.overflow_count,
        "bus_unreached_bytes": node.readers.unreached_bytes,
        "bus_waits": node.readers.wait_count,
        "bus_edges_refused": node.interest.refused_count,
    }
    return [
        Sample(name=row.name, value=values[row.name], doc=row.doc, type=row.type)
        for row in PLANT_ROWS
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
