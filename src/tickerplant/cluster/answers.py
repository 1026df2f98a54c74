"""The plant's side of its edges: what it answers them, and what it knows and asks about them."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial

from msgspec.structs import replace
from prometheus_client.core import Metric
from prometheus_client.registry import Collector
from prometheus_client.samples import Sample

from tickerplant.cluster import messages
from tickerplant.cluster.broker import Failed, loop_ms, wait
from tickerplant.cluster.metrics import PLANT_ROWS
from tickerplant.cluster.options import BusSettings
from tickerplant.cluster.plant import Edge, PlantNode, Reply
from tickerplant.cluster.tallies import EdgeTallies
from tickerplant.faults.board import FaultOn, passed_on
from tickerplant.protocol.actions import Action, Close, Send
from tickerplant.protocol.api_session import ApiSession
from tickerplant.protocol.target import ApiTarget
from tickerplant.server.backend import Admission, Attempt, LocalApiRequests
from tickerplant.server.endpoint import Endpoint
from tickerplant.server.http_request import HttpRequest
from tickerplant.server.metrics import metric_families
from tickerplant.server.operations.connections import ConnectionsPage
from tickerplant.server.operations.nodes import BusRow, NodeRow
from tickerplant.server.response import TEXT, Response
from tickerplant.server.server import Server
from tickerplant.server.totals import Totals

MAX_CLOSED = 1_024
"""API connections that were closed of late; what was asked on them before that is not answered."""
MAX_GONE = 1_024
"""Edges that have gone and may come back, whose figures are kept apart."""
ASK_S = 1.0
"""How long edges may take to tell their figures; those that take longer are left out."""
FAULT = Response(b"Internal Server Error\n", 500, TEXT)


class EdgeAnswers(Collector):
    """Answers the edges of a plant as its own ports would answer their clients.

    From now on the pages of `server` are about the edges too; its own ports may be closed.
    """

    def __init__(self, server: Server, node: PlantNode, bus: BusSettings) -> None:
        self._server, self._node, self._bus = server, node, bus
        self._endpoints = {each.venue.name: each for each in server.endpoints}
        self._rests = {each.venue.name: server.answers(each) for each in server.endpoints}
        self._edges: dict[str, _Edge] = {}
        """The processes that are there, and those that have gone of late, over all their sessions."""
        self._past, self._past_faults = Totals(0, 0, 0), Counter[str]()
        """What all others have served, and which faults were injected there."""
        self._sessions: dict[tuple[str, int], ApiSession] = {}
        """The API connections with requests that are forwarded."""
        self._closed: dict[tuple[str, int], None] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._asking: dict[messages.Asked, asyncio.Task[dict[str, messages.Told]]] = {}
        node.handlers |= {
            messages.HTTP: self._answer_http,
            messages.ADMIT: self._answer_admit,
            messages.API: self._answer_api,
        }
        node.on_report, node.on_gone = self._on_report, self._on_gone
        node.on_leave = self._on_leave
        self.start_outage, self.end_outage = node.start_outage, node.end_outage
        self.end_streams = node.end_streams
        server.registry.register(self)
        server.plane.edges = self
        server.faults.subscribe(self._pass_faults_on)

    @property
    def totals(self) -> Totals:
        """What all edges have served so far, also those that are gone."""
        return sum((each.totals for each in self._edges.values()), self._past)

    # Questions

    def _answer_http(self, _edge: Edge, body: bytes, reply: Reply) -> None:
        request = messages.decode(body, HttpRequest)
        self._endpoint(request.venue)
        task = asyncio.get_running_loop().create_task(self._http(request, reply))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _http(self, request: HttpRequest, reply: Reply) -> None:
        try:
            answered = await self._rests[request.venue].answer(request)
        except Exception:  # noqa: BLE001  # a fault of ours must not leave the client without answer
            self._server.complaints.add("fault in http", "! a request failed", exc_info=True)
            answered = True, FAULT
        reply(messages.encode(answered))

    def _answer_admit(self, _edge: Edge, body: bytes, reply: Reply) -> None:
        venue, attempt = messages.decode(body, tuple[str, Attempt])
        endpoint = self._endpoint(venue)
        limiter, address, now_ms = endpoint.rate_limiter, attempt.address, endpoint.clock()
        wait_ms, is_banned = limiter.attempt(address, now_ms), False
        if attempt.is_api and not wait_ms:
            charge = limiter.charge(address, endpoint.limits.handshake_weight, now_ms)
            is_banned = charge.banned_until_ms is not None
        number = status = 0
        if attempt.is_counted and endpoint.faults is not None:
            number = endpoint.faults.next_number()
            status = 0 if wait_ms else endpoint.faults.refusal(venue, attempt.target)
        admission = Admission(wait_ms, is_banned, fault_number=number, refused_status=status)
        reply(messages.encode(admission))

    def _answer_api(self, edge: Edge, body: bytes, reply: Reply) -> None:
        question = messages.decode(body, messages.ApiQuestion)
        endpoint = self._endpoint(question.venue)
        key = edge.identity, question.connection
        if key in self._closed:
            reply(messages.encode(messages.ApiAnswer()))
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
        reply(messages.encode(messages.ApiAnswer(tuple(replies), closing)))

    def _endpoint(self, venue: str) -> Endpoint:
        """Return the port of a venue.

        Raises:
            MalformedError: it is not served.
        """
        if venue not in self._endpoints:
            raise messages.MalformedError("the venue is not served")
        return self._endpoints[venue]

    # Reports

    def _on_report(self, state: Edge) -> None:
        key = state.identity.rpartition(" ")[0]
        if state.report.row is None:
            raise messages.MalformedError("a report without figures")
        edge = self._edges.pop(key, None) or _Edge(self._endpoints)
        edge.session, edge.row, self._edges[key] = state, state.report.row, edge

    def _on_leave(self, state: Edge, told: messages.Told) -> None:
        edge = self._edges.get(state.identity.rpartition(" ")[0])
        if edge is not None:
            edge.count(told.tallies)

    def _on_gone(self, state: Edge) -> None:
        edge = self._edges.get(state.identity.rpartition(" ")[0])
        if edge is not None and edge.session is state:
            for tallies in edge.tallies.values():
                tallies.end()
        for key in [key for key in self._closed if key[0] == state.identity]:
            del self._closed[key]
        gone = [key for key, each in self._edges.items() if not each.is_there]
        for oldest in gone[:-MAX_GONE]:
            edge = self._edges.pop(oldest)
            self._past += edge.totals
            self._past_faults.update(edge.session.report.faults)

    def _named(self) -> Iterator[tuple[str, _Edge]]:
        """Yield the edges, each with a name of its own, and without those that were replaced.

        A worker that was killed is known until it is forgotten, but its successor has its name and ports.
        """
        by_name: dict[str, _Edge] = {}
        there = (each for each in self._edges.values() if each.is_there)
        for edge in sorted(there, key=lambda edge: edge.row.since_ms):
            name = edge.row.id
            earlier = by_name.get(name)
            if earlier is not None and not edge.replaces(earlier):
                name = f"{name} {edge.row.pid}"
            by_name[name] = edge
        yield from by_name.items()

    async def _ask(self, asked: messages.Asked) -> Mapping[str, messages.Told]:
        """Return what the edges tell, by name; whoever asks the same meanwhile gets the same."""
        if asked not in self._asking:
            task = asyncio.get_running_loop().create_task(self._ask_edges(asked))
            self._asking[asked] = task
            task.add_done_callback(lambda _: self._asking.pop(asked))
        return await asyncio.shield(self._asking[asked])

    async def _ask_edges(self, asked: messages.Asked) -> dict[str, messages.Told]:
        run, edges, found = self._node.run, list(self._named()), dict[str, messages.Told]()
        if run is None or not edges:
            return found
        question = messages.encode(asked)
        asks = [run.ask_edge(edge.session.identity, question) for _, edge in edges]
        await wait(ASK_S, asyncio.gather(*asks))
        for (name, edge), ask in zip(edges, asks, strict=True):
            if not ask.done() or isinstance(said := ask.result(), Failed):
                self._server.complaints.count("bus: an edge does not answer", 1)
                continue
            try:
                found[name] = messages.decode(said, messages.Told)
            except messages.MalformedError as error:
                self._server.complaints.add("bus: malformed", f"! not from an edge: {error}")
                continue
            edge.count(found[name].tallies)
        return found

    # What the pages show: the interface `server.operations.nodes.Edges`

    def rows(self) -> list[NodeRow]:
        """Return what the edges last reported."""
        now_ms = loop_ms()
        return [
            replace(edge.row, id=name, seen_ms=now_ms - edge.session.seen_ms)
            for name, edge in self._named()
        ]

    def bus(self) -> BusRow:
        """Return the state of the bus."""
        node = self._node
        is_connected, plant = node.run is not None, node.description.name
        return BusRow(address=self._bus.address, connected=is_connected, plant=plant)

    async def metrics(self) -> list[tuple[str, list[Metric]]]:
        """Return the metrics of each edge, with its name; its limits count here from now on."""
        told = await self._ask(messages.Asked(metrics=True, tallies=True))
        return [(name, self._metrics_of(each.families)) for name, each in told.items()]

    def _metrics_of(self, families: Sequence[messages.Family]) -> list[Metric]:
        found = []
        for name, doc, kind, samples in families:
            try:
                family = Metric(name, doc, kind)
            except ValueError:
                self._server.complaints.add("bus: malformed", "! not metrics of an edge")
                continue
            family.samples = [Sample(*sample) for sample in samples]
            found.append(family)
        return found

    async def connections(self, limit: int, connection_id: str = "") -> list[ConnectionsPage]:
        """Return the page of the connections of each edge, or of the one connection that is named."""
        asked = messages.Asked(connections=0 if connection_id else limit, connection=connection_id)
        return [told.page for told in (await self._ask(asked)).values() if told.page is not None]

    def close_connection(self, worker: str, connection_id: str) -> None:
        """Let an edge close a connection."""
        run, edge = self._node.run, dict(self._named()).get(worker)
        if run is not None and edge is not None:
            asked = messages.Asked(connection=connection_id, closes=True)
            run.ask_edge(edge.session.identity, messages.encode(asked))

    async def count_tallies(self) -> None:
        """Add what the edges have counted for addresses to what is counted here."""
        await self._ask(messages.Asked(tallies=True))

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics of the bus."""
        return metric_families(PLANT_ROWS, {(): self._node})

    def _pass_faults_on(self, _changed: FaultOn) -> None:
        """Let the faults of connections that are on now be on at the edges."""
        self._node.set_faults(passed_on(self._server.faults))

    def fault_hits(self) -> Mapping[str, int]:
        """Return how often each rule happened at the edges that are there, by its id."""
        told = (Counter(edge.session.report.fault_hits) for _, edge in self._named())
        return sum(told, Counter[str]())

    def fault_counts(self) -> Mapping[str, int]:
        """Return how often faults were injected at all edges, by fault."""
        told = (Counter(edge.session.report.faults) for edge in self._edges.values())
        return sum(told, self._past_faults)


class _Edge:
    """What is known of one process with clients, over all its sessions."""

    session: Edge
    """The last one."""
    row: NodeRow

    def __init__(self, endpoints: Mapping[str, Endpoint]) -> None:
        self.tallies = {
            venue: EdgeTallies(endpoint.rate_limiter) for venue, endpoint in endpoints.items()
        }

    def count(self, told: Mapping[str, Mapping[str, Mapping[str, messages.Tally]]]) -> None:
        """Count what it tells of addresses, by venue."""
        for venue in told.keys() & self.tallies.keys():
            self.tallies[venue].add(told[venue])

    @property
    def totals(self) -> Totals:
        return Totals(self.row.messages, self.row.bytes, self.session.report.opened)

    @property
    def is_there(self) -> bool:
        """Whether its session goes on."""
        return not self.session.gone.done()

    def replaces(self, earlier: _Edge) -> bool:
        """Return whether this edge has the place of one that had the same name."""
        now, before = self.row, earlier.row
        return (now.host, now.address) == (before.host, before.address)


def _session(question: messages.ApiQuestion, endpoint: Endpoint) -> ApiSession:
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
