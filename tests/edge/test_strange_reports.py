"""What an edge reports is read by its plant with care."""

from __future__ import annotations

import asyncio

import msgspec
from edge_stage import little_plant
from hypothesis import given, settings
from hypothesis import strategies as st
from strange_messages import EXAMPLES, Fed, strange

from tickerplant.bus import nodes
from tickerplant.bus.nodes import PlantDescription, Report
from tickerplant.bus.questions import AddressNote, EdgeReport, FamilyNote, TallyNote
from tickerplant.cluster.plant_node import PlantNode
from tickerplant.edge.answers import EdgeAnswers
from tickerplant.server.server import Server

PLANT = PlantDescription(name="main", epoch="1", profile="2026q1", venues=("usdm", "coinm"))
REPORT = EdgeReport(
    worker="1",
    pid=3,
    since_ms=5,
    notes={"usdm": [AddressNote("127.0.0.1", {"connections": TallyNote(1, 1, 0)})]},
    families=msgspec.Raw(nodes.encode([FamilyNote("a", "b", "gauge", (("a", {"x": "y"}, 1.0),))])),
    connections_page=msgspec.Raw(nodes.encode({"total": 1})),
)
FAMILIES = nodes.encode([FamilyNote("a", "b", "gauge", (("a", {"x": "y"}, 1.0),))])


@settings(max_examples=EXAMPLES)
@given(
    reports=st.lists(strange(nodes.encode(REPORT)), max_size=5),
    families=strange(FAMILIES),
    page=strange(nodes.encode({"connections": []})),
)
def test_no_report_of_an_edge_breaks_the_pages_of_its_plant(
    reports: list[bytes], families: bytes, page: bytes
) -> None:
    async def check() -> None:
        bus = Fed()
        plant = little_plant()
        server = Server(plant, listens=False)
        node = PlantNode(bus, plant, PLANT)
        answers = EdgeAnswers(server, node, bus)
        bus.subscribe(node.subjects.interest, node._on_edge)
        raw = nodes.encode(
            msgspec.structs.replace(
                REPORT, families=msgspec.Raw(families), connections_page=msgspec.Raw(page)
            )
        )
        for body in (*reports, raw):
            report = nodes.encode(Report(edge="e1", version=0, body=body))
            bus.hear(node.subjects.interest, report)
        assert bus.faults == []
        for _, metrics in answers.metrics():
            list(metrics)
        list(answers.connections())
        msgspec.json.encode(answers.rows())
        answers.fault_counts()

    asyncio.run(check())
