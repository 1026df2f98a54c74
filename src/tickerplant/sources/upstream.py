"""One venue of an upstream that is relayed: the exchange, or another plant.

Streams that local clients need are subscribed to upstream, and their messages are forwarded byte for
byte.  Messages are also decoded and applied to the local market, as far as it can use them, so that
derived streams and many responses are made here.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from random import Random

from tickerplant.client.rest import RestClient
from tickerplant.client.runner import FeedRunner
from tickerplant.client.server_info import upstream_profile
from tickerplant.feed.context import Observer
from tickerplant.feed.cursor import NONE
from tickerplant.feed.hosts import Hosts
from tickerplant.feed.identified import IdentifiedStream
from tickerplant.feed.merged_stream import MergedStream
from tickerplant.feed.order_book import BookState
from tickerplant.feed.settings import ClientSettings
from tickerplant.feed.weight import Allowances, PartOfBudget, WeightBudget
from tickerplant.instrument import Instrument
from tickerplant.logs import Complaints
from tickerplant.market.markets import Markets
from tickerplant.messages.message import Message
from tickerplant.notices import (
    Disconnected,
    Gap,
    Notice,
    Recovered,
    Stale,
    SubscriptionRejected,
)
from tickerplant.plant import Plant
from tickerplant.protocol.redaction import loggable
from tickerplant.queries.query import Query
from tickerplant.sources.contracts import CONFIRMATION_MS, ContractList, fetch_contracts
from tickerplant.sources.message_decoder import MessageDecoder
from tickerplant.sources.subscriptions import (
    MAX_STREAMS,
    Change,
    Subscriptions,
    base_depth,
    base_of,
    symbol_of_base,
)
from tickerplant.sources.upstream_books import UpstreamBooks
from tickerplant.sources.upstream_requests import TIMEOUT_S, UpstreamRequests
from tickerplant.streams import find

CONTRACTS = "!contractInfo"
"""Always subscribed to: it announces changes of the list of contracts."""
REQUESTS_SHARE = 0.6
"""Share of the request weight that clients' requests may use; the rest is for book snapshots and for
the list of contracts, which every client depends on."""


class Upstream:
    """The connections to one venue of an upstream, and the streams it is subscribed to."""

    def __init__(
        self,
        hosts: Hosts,
        settings: ClientSettings,
        *,
        linger_ms: int,
        max_streams: int = MAX_STREAMS,
        request_timeout_s: float = TIMEOUT_S,
        confirmation_ms: int = CONFIRMATION_MS,
        clock: Callable[[], int] | None = None,
    ) -> None:
        self.hosts = hosts
        self.venue = hosts.venue
        self.skipped: Counter[str] = Counter()
        """Messages that were forwarded but not applied to the market, by reason."""
        self._decoder = MessageDecoder(self.skipped, self._forward)
        budget = WeightBudget()
        self.rest = RestClient(hosts, budget, patience_s=TIMEOUT_S)
        self.runner = FeedRunner(hosts, settings, self._decoder.payload_reader, self.rest, Random())
        self.contracts_changed = False
        """Whether the upstream announced a change of the contracts since `refresh_contracts`."""
        self.subscriptions = Subscriptions(
            self.source_of, linger_ms, (CONTRACTS,), max_streams=max_streams
        )
        self._confirmation_ms = confirmation_ms
        self.on_time: Callable[[int, int], object] = _ignore
        self._on_notice: Callable[[Upstream, Notice], object] = _ignore
        self._on_loss: Callable[[Upstream, Collection[str]], object] = _ignore
        self._observe_notice: Callable[[Notice], object] = _ignore
        self._now_ms = clock or (lambda: self.runner.feed.context.now_ms)
        self._requests = UpstreamRequests(
            hosts,
            PartOfBudget(budget, REQUESTS_SHARE),
            self.runner.feed,
            self.subscriptions,
            change=self._change,
            now_ms=self._now_ms,
            linger_ms=linger_ms,
            timeout_s=request_timeout_s,
        )
        self._complaints = Complaints()
        self._cut_at: dict[str, int] = {}
        """Streams that were disconnected, with the id of the last message; `NONE`: ids prove nothing."""
        self._silent_ms: int | None = None
        """Since when no stream is delivered, as far as `tick` has seen; None while one is."""
        self._sink = self._take
        self._plant: Plant | None = None
        self._books: UpstreamBooks
        self._contracts: ContractList

    def connect_to(
        self,
        *,
        on_time: Callable[[int, int], object],
        on_notice: Callable[[Upstream, Notice], object],
        on_loss: Callable[[Upstream, Collection[str]], object],
    ) -> None:
        """Set the callbacks.

        Args:
            on_time: Is called with the time of each message, and when it was received in ns since
                1970, before it is forwarded; returns whether
                market time is that of the upstream.
            on_notice: Is called with each notice.
            on_loss: Is called with upstream streams that go on, or end, and are not proved whole:
                before the next message.
        """
        self.on_time = on_time
        self._on_notice = on_notice
        self._on_loss = on_loss

    async def fetch_contracts(self) -> tuple[list[Instrument], int]:
        """Return the contracts of the venue, and its time in ms."""
        listing, time_ms = await fetch_contracts(self.rest, self.venue)
        for reason in listing.skipped:
            self.skipped["unreadable contract"] += 1
            self._complaints.add(reason, "! a contract is left out", venue=self.venue.name)
        return listing.instruments, time_ms

    async def upstream_profile(self) -> str:
        """Return the profile that the upstream reports; the current one for the exchange.

        Raises:
            ConfigError: the upstream does not say its profile.
            RequestError: the upstream refuses to respond for now.
            UpstreamError: the upstream cannot be reached.
        """
        return await upstream_profile(self.rest)

    def start(self, plant: Plant) -> None:
        """Drive `plant` from now on; an event loop must be running."""
        self._books = UpstreamBooks(
            self.runner,
            self.rest,
            plant,
            self.venue,
            self.skipped,
            forward=self._forward_message,
            on_notice=self._take_notice,
            on_failure=self._fail,
        )
        self._plant = plant
        self._contracts = ContractList(
            plant, self.venue, self._added, confirmation_ms=self._confirmation_ms
        )
        self._requests.start(self._markets, self._books)
        hub = plant.hubs[self.venue.name]
        plant.start_passthrough(self.venue.name, ())
        self.runner.start()
        self._change(Change(subscribe=tuple(self.subscriptions.names)))
        hub.accepts_unknown = True
        hub.demand = self
        for name in tuple(hub.channels):
            self.opened(name)

    def observe(self, observer: Observer, on_notice: Callable[[Notice], object]) -> None:
        """Report connections to `observer`, and notices to `on_notice`."""
        self.runner.feed.context.observer = observer
        self._observe_notice = on_notice

    @property
    def is_connected(self) -> bool:
        """Whether contract announcements are delivered, or refused over an open connection."""
        feed = self.runner.feed
        merged = feed.merged_streams.get(CONTRACTS)
        if merged is None:
            return False
        if merged.is_rejected and merged.primary is None:
            return any(connection.is_open for connection in feed.connections.values())
        return merged.primary is not None and not merged.is_stale

    @property
    def accepted_streams(self) -> list[MergedStream]:
        """The upstream streams that are subscribed to, without those that the upstream rejected."""
        merged_streams = self.runner.feed.merged_streams.values()
        return [each for each in merged_streams if each.primary is not None or not each.is_rejected]

    def outages(self, patience_ms: int) -> dict[str, int]:
        """Return the streams that no connection delivers, each with the length of its outage in ms.

        A stream that was never delivered is among them when its connection could not be opened for
        `patience_ms`; if that is open, the reply to the subscription is on the way.
        """
        now_ms = self.runner.feed.context.now_ms
        lost = [merged for merged in self.accepted_streams if merged.primary is None]
        new = {each.name: self._unopened_ms(each) for each in lost if each.disconnected_ms is None}
        known = {
            each.name: now_ms - each.disconnected_ms
            for each in lost
            if each.disconnected_ms is not None
        }
        return known | {name: since_ms for name, since_ms in new.items() if since_ms >= patience_ms}

    def _unopened_ms(self, merged: MergedStream) -> int:
        """Return for how long no connection for a stream was open; -1 if one is.

        A connection that isolates names, because the server refused one of them, takes its time.
        """
        feed = self.runner.feed
        connections = [
            connection for connection in feed.connections.values() if connection.has(merged.name)
        ]
        if any(connection.is_open or connection.is_isolated for connection in connections):
            return -1
        ended_ms = max(
            (connection.closed_ms for connection in connections), default=feed.context.now_ms
        )
        return feed.context.now_ms - max(ended_ms, merged.silent_since_ms)

    @property
    def outage_ms(self) -> int | None:
        """For how long no stream has been delivered, ms; None while one is.

        Streams that were subscribed to since then do not make it shorter.
        """
        since_ms = self._silent_ms
        if since_ms is None:
            return None
        lost_ms = (
            merged.disconnected_ms
            for merged in self.accepted_streams
            if merged.disconnected_ms is not None and merged.silent_since_ms <= since_ms
        )
        return self.runner.feed.context.now_ms - max(lost_ms, default=since_ms)

    @property
    def stale_count(self) -> int:
        """How many streams are silent for longer than expected."""
        return sum(merged.is_stale for merged in self.accepted_streams)

    @property
    def is_silent(self) -> bool:
        """Whether streams with regular updates are silent, and so are all others.

        A stream without regular updates may be silent because nothing happens in its contract.
        """
        merged_streams = self.accepted_streams
        is_delivering = any(
            merged.primary is not None and merged.messages and not merged.is_stale
            for merged in merged_streams
            if merged.expected_interval.stale_after_ms is not None
        )
        return not is_delivering and any(
            merged.is_stale
            and merged.expected_interval.steady
            and (merged.messages or self._is_known(merged.name))
            for merged in merged_streams
        )

    def _is_known(self, name: str) -> bool:
        """Whether a stream is about listed contracts."""
        found = find(self._markets, name)
        return found is not None and bool(found[0].subjects(self._markets, found[1]))

    async def stop(self) -> None:
        """Close the connections."""
        if self._plant is not None:
            self._plant.hubs[self.venue.name].demand = None
            self._books.close()
            await self.runner.stop()
        await self.close()

    async def close(self) -> None:
        """Send no more requests."""
        await asyncio.gather(self.rest.close(), self._requests.close())

    @property
    def allowances(self) -> Allowances:
        """The allowances of some kinds of requests; venues that count them together share it."""
        return self._requests.allowances

    @allowances.setter
    def allowances(self, allowances: Allowances) -> None:
        self._requests.allowances = allowances

    def tick(self) -> None:
        """Drop streams that were unused for long enough, and note whether any is delivered."""
        asked = self.accepted_streams
        if any(merged.primary is not None for merged in asked) or (not asked and self.is_connected):
            self._silent_ms = None
        elif self._silent_ms is None:
            self._silent_ms = self.runner.feed.context.now_ms
        now_ms = self._now_ms()
        self._change(self.subscriptions.expire(now_ms))
        self._requests.expire(now_ms)

    # The demand of the hub.

    def opened(self, name: str) -> None:
        """Subscribe to what the local stream `name` needs."""
        change = self.subscriptions.open(name)
        upstream = self.subscriptions.source_of(name)
        if upstream in self.subscriptions.unsubscribed:
            self._complaints.add(
                "stream not subscribed upstream",
                "! stream not subscribed upstream: invalid name, or too many streams",
                venue=self.venue.name,
                stream=loggable(name),
            )
            self._started_plant.start_passthrough(
                self.venue.name, (upstream,)
            )  # nothing incomplete
        self._change(change)

    def closed(self, name: str) -> None:
        """Let what the local stream `name` needed linger."""
        upstream = self.subscriptions.source_of(name)
        self.subscriptions.close(name, self._now_ms())
        if upstream not in self.subscriptions:
            self._started_plant.stop_passthrough(self.venue.name, (upstream,))

    def source_of(self, name: str) -> str:
        """Return the upstream stream that `name` is made from; unknown ones are only forwarded."""
        markets = self._markets
        found = find(markets, name)
        if found is None:
            return name
        row, args = found
        is_complete = all(len(others) for others in markets.others) or not row.pattern.is_of_all
        is_made_here = is_complete and row.subjects(markets, args)
        return base_of(row, args.get("symbol", ""), name) if is_made_here else name

    def _change(self, change: Change) -> None:
        for name in change.unsubscribe:
            self._unsubscribe(name)
        for name in change.subscribe:
            self._subscribe(name)

    def _subscribe(self, upstream: str) -> None:
        self._started_plant.start_passthrough(self.venue.name, (upstream,))
        symbol = symbol_of_base(upstream)
        if symbol in self._markets.by_symbol:
            self._books.add(symbol)
        else:
            self.runner.attach((upstream,), self._sink)
        self._forget_mark_prices(upstream)

    def _unsubscribe(self, upstream: str) -> None:
        symbol = symbol_of_base(upstream)
        if symbol is not None and symbol in self._books:
            self._books.remove(symbol, "no subscribers any more")
        else:
            self.runner.detach((upstream,), self._sink)
        self._decoder.forget(upstream)
        self._requests.on_lost((upstream,))
        self._cut_at.pop(upstream, None)
        self._forget_mark_prices(upstream)
        if upstream not in self.subscriptions:
            self._started_plant.stop_passthrough(self.venue.name, (upstream,))

    def _forget_mark_prices(self, upstream: str) -> None:
        """Forget mark prices that are not delivered any more, or not yet."""
        found = find(self._markets, upstream)
        if found is not None and found[0].events == _MARK_PRICE_EVENTS:
            for market in found[0].subjects(self._markets, found[1]):
                market.mark_price = None

    @property
    def _started_plant(self) -> Plant:
        if self._plant is None:
            raise RuntimeError("the upstream has not been started")
        return self._plant

    @property
    def _markets(self) -> Markets:
        return self._started_plant.venues[self.venue.name]

    # Messages and notices.

    def _take(self, item: Message | Notice) -> None:
        """Forward a message, and apply it to the market."""
        try:
            if isinstance(item, Notice):
                self._take_notice(item)
            else:
                self._take_message(item)
        except Exception:  # noqa: BLE001  # one message must not cost the others
            self._fail()

    def _fail(self) -> None:
        self.skipped["fault"] += 1
        self._complaints.add(
            "fault", "! failed to process a message", venue=self.venue.name, exc_info=True
        )

    def _take_notice(self, notice: Notice) -> None:
        if isinstance(notice, Disconnected | Stale):
            self._requests.on_lost(notice.streams)
            for name in notice.streams:
                self._forget_mark_prices(name)
        if isinstance(notice, Disconnected):
            self._cut_at.update((name, self._proved_until(name)) for name in notice.streams)
        elif lost := [name for name in notice.streams if self._is_lost_by(notice, name)]:
            for name in lost:
                del self._cut_at[name]
            self._on_loss(self, lost)
        self._on_notice(self, notice)
        self._observe_notice(notice)
        if isinstance(notice, SubscriptionRejected):
            for name in notice.streams:
                if name != CONTRACTS:
                    self._change(self.subscriptions.refuse(name))

    def _proved_until(self, name: str) -> int:
        """Return the id after which ids prove what is missing of a stream; `NONE` if they do not."""
        merged = self.runner.feed.merged_streams.get(name)
        if isinstance(merged, IdentifiedStream) and merged.proves_gaps:
            return merged.cursor.last_id
        return NONE

    def _is_lost_by(self, notice: Notice, name: str) -> bool:
        """Whether a notice ends the doubt about a stream that was disconnected, not proving it whole."""
        cut_at = self._cut_at.get(name)
        match notice:
            case Recovered():
                is_for_nobody = not self.subscriptions.has_users(name)
                return cut_at == NONE or (cut_at is not None and is_for_nobody)
            case Gap(after_id=after_id):
                return cut_at == after_id
            case SubscriptionRejected():
                return cut_at is not None
        return False

    def _take_message(self, message: Message) -> None:
        self._forward_message(message)
        if message.stream == CONTRACTS:
            self.contracts_changed = True
        events = self._decoder.events(message, self._markets)
        for event in events:
            self._started_plant.publish(event)
        if events and message.stream.endswith("@bookTicker"):
            self._requests.on_quote(message.stream)

    def _forward_message(self, message: Message) -> None:
        """Report the time of a message, and forward it."""
        if message.event_time_ms and self.on_time(message.event_time_ms, message.received_ns):
            self._requests.on_time()
        self._forward(message.stream, message.payload)

    def _forward(self, stream: str, payload: bytes) -> None:
        self._started_plant.hubs[self.venue.name].broadcast(stream, payload)

    # Requests and contracts.

    def forwards(self, query: Query, params: Mapping[str, object]) -> bool:
        """Return whether a request must be sent upstream."""
        return self._requests.forwards(query, params)

    async def fetch(self, query: Query, params: Mapping[str, str]) -> bytes:
        """Send a request upstream and return the response as JSON."""
        return await self._requests.fetch(query, params)

    async def refresh_contracts(self) -> None:
        """Fetch the contracts and update the plant; raises what `fetch_contracts` raises."""
        self.contracts_changed = False
        listed, _ = await self.fetch_contracts()
        self.update_contracts(listed)

    def update_contracts(self, listed: Iterable[Instrument]) -> None:
        """Update the contracts of the plant to those in `listed`."""
        self._contracts.update(listed, self.runner.feed.context.now_ms)

    def _added(self, symbol: str) -> None:
        """Give a new market its book, if its depth is subscribed to already."""
        upstream, book = base_depth(symbol), self._books.get(symbol)
        if book is not None and book.state is BookState.LIVE:
            self._books.load(book)
        elif book is None and upstream in self.subscriptions.names:
            self.runner.detach((upstream,), self._sink)
            self._decoder.forget(upstream)
            self._books.add(symbol)


_MARK_PRICE_EVENTS = ("markPriceUpdate",)


def _ignore(*_: object) -> None:
    """Do nothing."""
