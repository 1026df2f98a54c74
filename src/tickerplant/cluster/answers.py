"""The plant's side of its edges: what it answers them, and what it knows from their reports."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from functools import partial

from msgspec import Struct
from prometheus_client.core import Metric

from tickerplant.cluster.messages import (
    ADMIT,
    API,
    HTTP,
    AdmitAnswer,
    AdmitQuestion,
    ApiAnswer,
    ApiQuestion,
    EdgeReport,
    FamilyNote,
    HttpAnswer,
    MalformedError,
    decode,
    encode,
)
from tickerplant.cluster.metrics import PLANT, samples
from tickerplant.cluster.nats import BusSettings
from tickerplant.cluster.plant import Edge, PlantNode, Reply
from tickerplant.cluster.tallies import EdgeTallies
from tickerplant.faults.board import FaultOn, passed_on
from tickerplant.logs import Complaints
from tickerplant.protocol.actions import Action, Close, Send
from tickerplant.protocol.api_session import ApiSession
from tickerplant.protocol.target import ApiTarget
from tickerplant.server.backend import LocalApiRequests
from tickerplant.server.endpoint import Endpoint
from tickerplant.server.http_request import HttpRequest
from tickerplant.server.operations.connections import ConnectionsPage
from tickerplant.server.operations.nodes import BusRow, NodeRow
from tickerplant.server.ports import Totals
from tickerplant.server.response import TEXT
from tickerplant.server.server import Server

MAX_CLOSED = 1_024
"""API connections that were closed of late; what was asked on them before that is not answered."""
NOT_SERVED = HttpAnswer(404, TEXT, (), b"This plant does not serve the venue.\n", False)
FAULT = HttpAnswer(500, TEXT, (), b"Internal Server Error\n", True)


class _Port:
    """One venue: what answers questions about it."""

    def __init__(self, server: Server, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self.rest = server.answers(endpoint)


class EdgeAnswers:
    """Answers the edges of a plant as its own ports would answer their clients.

    From now on the pages of `server` are about the edges too.

    Args:
        server: The plant's server, whose ports may be closed.
        node: Brings the questions and the reports.
        bus: Where the bus is, for the page of nodes.
    """

    def __init__(self, server: Server, node: PlantNode, bus: BusSettings) -> None:
        self._server = server
        self._node = node
        self._bus = bus
        self._ports = {
            endpoint.venue.name: _Port(server, endpoint) for endpoint in server.endpoints
        }
        self._edges: dict[str, _Edge] = {}
        self._gone = _Figures()
        """What edges had served that are gone."""
        self._sessions: dict[tuple[str, int], ApiSession] = {}
        """The API connections with requests that are forwarded."""
        self._closed: dict[tuple[str, int], None] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        node.handlers |= {HTTP: self._answer_http, ADMIT: self._answer_admit, API: self._answer_api}
        node.on_report, node.on_gone = self._on_report, self._on_gone
        server.readiness.measure(lambda: samples(node, PLANT))
        server.edges = self
        server.faults.subscribe(self._pass_faults_on)

    @property
    def totals(self) -> Totals:
        """What the plant and all its edges have served so far, also those that are gone."""
        own = self._server.totals
        all_figures = [self._gone, *(edge.figures for edge in self._edges.values())]
        return Totals(
            messages=own.messages + sum(each.messages for each in all_figures),
            sent_bytes=own.sent_bytes + sum(each.sent_bytes for each in all_figures),
            connections=own.connections + sum(each.connections for each in all_figures),
        )

    # Questions

    def _answer_http(self, body: bytes, reply: Reply) -> None:
        try:
            question: HttpRequest = decode(body, HttpRequest)
        except MalformedError:
            self._refuse(reply, FAULT)
            return
        port = self._ports.get(question.venue)
        if port is None:
            reply(encode(NOT_SERVED))
            return
        task = asyncio.get_running_loop().create_task(self._http(port, question, reply))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _http(self, port: _Port, question: HttpRequest, reply: Reply) -> None:
        try:
            is_known, response = await port.rest.answer(question)
        except Exception:  # noqa: BLE001  # a fault of ours must not leave the client without answer
            self._server.complaints.add("fault in http", "! a request failed", exc_info=True)
            reply(encode(FAULT))
            return
        answer = HttpAnswer(
            response.status, response.content_type, response.headers, response.body, is_known
        )
        reply(encode(answer))

    def _answer_admit(self, body: bytes, reply: Reply) -> None:
        try:
            question: AdmitQuestion = decode(body, AdmitQuestion)
            endpoint = self._ports[question.venue].endpoint
        except (MalformedError, KeyError):
            self._refuse(reply, AdmitAnswer(1, False))
            return
        limiter, address, now_ms = endpoint.rate_limiter, question.address, endpoint.clock()
        wait_ms = limiter.attempt(address, now_ms)
        is_banned = False
        if question.is_api and not wait_ms:
            charge = limiter.charge(address, endpoint.limits.handshake_weight, now_ms)
            is_banned = charge.banned_until_ms is not None
        number = status = 0
        if question.is_counted and endpoint.faults is not None:
            number = endpoint.faults.next_number()
            if not wait_ms:
                refusal = endpoint.faults.refusal(question.venue, question.target)
                status = 0 if refusal is None else refusal.status
        reply(encode(AdmitAnswer(wait_ms, is_banned, number, status)))

    def _answer_api(self, body: bytes, reply: Reply) -> None:
        try:
            question: ApiQuestion = decode(body, ApiQuestion)
            endpoint = self._ports[question.venue].endpoint
        except (MalformedError, KeyError):
            self._refuse(reply, ApiAnswer())
            return
        key = question.edge, question.connection
        if key in self._closed:
            reply(encode(ApiAnswer()))
            return
        session = self._sessions.get(key) or _session(question, endpoint)
        requests = LocalApiRequests(
            session, endpoint.queries, partial(self._reply_api, key, session, reply)
        )
        forwarded_before = session.forwarded_count
        actions = requests.receive_text(question.text, endpoint.clock())
        if session.forwarded_count > forwarded_before:
            self._sessions[key] = session
        else:
            self._reply_api(key, session, reply, actions)

    def _reply_api(
        self, key: tuple[str, int], session: ApiSession, reply: Reply, actions: Iterable[Action]
    ) -> None:
        """Send what is to be done on an API connection."""
        if not session.forwarded_count:
            self._sessions.pop(key, None)
        replies, closing = [], ""
        for action in actions:
            match action:
                case Send(text=text, error_code=code):
                    replies.append((text, code))
                case Close(reason=reason):
                    closing = reason.name
                    self._closed[key] = None
                    if len(self._closed) > MAX_CLOSED:
                        del self._closed[next(iter(self._closed))]
        reply(encode(ApiAnswer(tuple(replies), closing)))

    def _refuse(self, reply: Reply, answer: Struct) -> None:
        """Answer what cannot be read, or is about a venue that is not served."""
        self._server.complaints.add("bus: malformed", "! a question of an edge cannot be read")
        reply(encode(answer))

    # Reports

    def _on_report(self, state: Edge) -> None:
        try:
            report: EdgeReport = decode(bytes(state.report.figures), EdgeReport)
        except MalformedError as error:
            self._server.complaints.add("bus: malformed", f"! not a report of an edge: {error}")
            return
        edge = self._edges.get(state.identity)
        if edge is None:
            edge = self._edges[state.identity] = _Edge(self._ports, self._server.complaints)
        edge.take(state, report)

    def _on_gone(self, state: Edge) -> None:
        edge = self._edges.pop(state.identity, None)
        if edge is not None:
            edge.end()
            self._gone = self._gone + edge.figures
        for key in [key for key in self._closed if key[0] == state.identity]:
            del self._closed[key]

    # What the pages show: the interface `server.operations.nodes.Edges`

    def rows(self) -> list[NodeRow]:
        """Return what the edges last reported."""
        now_s = asyncio.get_running_loop().time()
        return [
            NodeRow(
                id=name,
                host=edge.host,
                pid=edge.report.pid,
                address=edge.report.addresses,
                connections=edge.report.connections,
                streams=edge.report.streams,
                messages=edge.report.messages,
                bytes=edge.report.sent_bytes,
                unsent_bytes=edge.report.unsent_bytes,
                lag_ms=edge.report.delay_ms,
                since_ms=edge.report.since_ms,
                seen_ms=round((now_s - edge.seen_s) * 1_000),
            )
            for name, edge in self._named()
        ]

    def _named(self) -> Iterator[tuple[str, _Edge]]:
        """Yield the edges, each with a name of its own, and without those that were replaced.

        A worker that was killed is known until its lease ends, but its successor has its name and ports.
        """
        by_name: dict[str, _Edge] = {}
        for edge in sorted(self._edges.values(), key=lambda edge: edge.report.since_ms):
            name = edge.report.worker
            earlier = by_name.get(name)
            if earlier is not None and not edge.replaces(earlier):
                name = f"{name} {edge.report.pid}"
            by_name[name] = edge
        yield from by_name.items()

    def bus(self) -> BusRow:
        """Return the state of the bus."""
        return BusRow(
            address=self._bus.address,
            connected=self._node.is_connected,
            plant=self._node.description.name,
        )

    def metrics(self) -> Iterator[tuple[str, Iterable[Metric]]]:
        """Yield the metrics that each edge last reported, with its name."""
        for name, edge in self._named():
            yield name, edge.metrics()

    def connections(self) -> Iterator[ConnectionsPage]:
        """Yield the page of the connections of each edge, as it last reported it."""
        for _, edge in self._named():
            page = edge.connections()
            if page is not None:
                yield page

    def _pass_faults_on(self, _changed: FaultOn) -> None:
        """Let the faults of connections that are on now be on at the edges."""
        self._node.set_faults(passed_on(self._server.faults))

    def close_connection(self, worker: str, connection_id: str) -> None:
        """Let an edge close a connection."""
        self._node.close_connection(worker, connection_id)

    def fault_hits(self) -> Mapping[str, int]:
        """Return how often each rule happened at the edges that are there, by its id."""
        hits: Counter[str] = Counter()
        for edge in self._edges.values():
            hits.update(edge.report.fault_hits)
        return hits

    def fault_counts(self) -> Mapping[str, int]:
        """Return how often faults were injected at all edges, by fault."""
        all_figures = [self._gone, *(edge.figures for edge in self._edges.values())]
        return sum((each.faults for each in all_figures), Counter())


class _Figures(Struct, frozen=True):
    """What edges have served."""

    messages: int = 0
    sent_bytes: int = 0
    connections: int = 0
    faults: Counter[str] = Counter()  # never changed

    def __add__(self, other: _Figures) -> _Figures:
        return _Figures(
            self.messages + other.messages,
            self.sent_bytes + other.sent_bytes,
            self.connections + other.connections,
            self.faults + other.faults,
        )


class _Edge:
    """What is known of one edge."""

    def __init__(self, ports: Mapping[str, _Port], complaints: Complaints) -> None:
        self._complaints = complaints
        self.host = ""
        self.seen_s = 0.0
        self.report: EdgeReport
        self._tallies = {
            venue: EdgeTallies(port.endpoint.rate_limiter) for venue, port in ports.items()
        }

    @property
    def figures(self) -> _Figures:
        """What it has served."""
        report = self.report
        return _Figures(report.messages, report.sent_bytes, report.opened, Counter(report.faults))

    def take(self, state: Edge, report: EdgeReport) -> None:
        """Take a report."""
        self.host, self.report, self.seen_s = (
            state.report.host,
            report,
            asyncio.get_running_loop().time(),
        )
        for venue, notes in report.notes.items():
            if venue in self._tallies:
                self._tallies[venue].add(notes)

    def replaces(self, earlier: _Edge) -> bool:
        """Return whether this edge has the place of one that had the same name."""
        return (self.host, self.report.addresses) == (earlier.host, earlier.report.addresses)

    def end(self) -> None:
        """Count its connections as closed."""
        for tallies in self._tallies.values():
            tallies.end()

    def metrics(self) -> Iterator[Metric]:
        """Yield the metrics of its last report."""
        try:
            families: list[FamilyNote] = decode(bytes(self.report.families), list[FamilyNote])
            found = [(note, Metric(note.name, note.doc, note.type)) for note in families]
        except ValueError as error:
            self._complaints.add("bus: malformed", f"! not metrics of an edge: {error}")
            return
        for note, family in found:
            for name, labels, value in note.samples:
                family.add_sample(name, labels, value)
            yield family

    def connections(self) -> ConnectionsPage | None:
        """Return the page of connections of its last report, if it can be read."""
        try:
            page: ConnectionsPage = decode(bytes(self.report.connections_page), ConnectionsPage)
        except MalformedError as error:
            self._complaints.add("bus: malformed", f"! not connections of an edge: {error}")
            return None
        return page


def _session(question: ApiQuestion, endpoint: Endpoint) -> ApiSession:
    """Return the state of the API connection of a question."""
    return ApiSession(
        ApiTarget(question.return_rate_limits),
        endpoint.queries,
        endpoint.rate_limiter,
        question.address,
        endpoint.limits,
        question.opened_ms,
        endpoint.session_counters,
    )
