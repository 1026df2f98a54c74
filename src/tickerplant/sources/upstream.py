"""One venue of a plant whose market is somebody else's: the exchange's, or another plant's.

What is heard here is asked for there, and what comes is passed on byte by byte.  It is also read,
as far as a market can take it in, so that what is derived from it, and what is asked of it, are
made here.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from random import Random

from tickerplant.client.backfill import Backfill
from tickerplant.client.rest import RestClient
from tickerplant.client.runner import FeedRunner
from tickerplant.client.server_info import upstream_profile
from tickerplant.feed.hosts import Hosts
from tickerplant.feed.local_book import State
from tickerplant.feed.merged_stream import MergedStream
from tickerplant.feed.observer import Observer
from tickerplant.feed.settings import FeedSettings
from tickerplant.feed.weight import Allowances, PartOfBudget, WeightBudget
from tickerplant.instrument import Instrument
from tickerplant.logs import Complaints
from tickerplant.market.markets import Markets
from tickerplant.messages.message import Message
from tickerplant.messages.notice import Disconnected, Notice, Stale, SubscriptionRejected
from tickerplant.plant import Plant
from tickerplant.protocol.redaction import loggable
from tickerplant.queries.query import Query
from tickerplant.sources import meeting
from tickerplant.sources.contracts import ContractList
from tickerplant.sources.questions import PATIENCE_S, Questions
from tickerplant.sources.reading import Reading
from tickerplant.sources.upstream_books import UpstreamBooks
from tickerplant.sources.wanted import (
    MOST_STREAMS,
    Change,
    Wanted,
    base_depth,
    base_of,
    symbol_of_base,
)
from tickerplant.streams import find

CONTRACTS = "!contractInfo"
"""Always asked for: it says when the list of contracts has changed."""
QUESTIONS_SHARE = 0.6
"""Part of the request weight that clients' questions may use; the rest is for snapshots of books
and for the list of contracts, without which all would be served badly."""


class Upstream:
    """The connections to one venue of an upstream, and what is wanted of it.

    Args:
        hosts: Where it is.
        settings: How its feed behaves.
        linger_ms: How long a stream is kept after the last who heard it has left.
        most_streams: How many streams it is asked for, at most.
        clock: By which streams linger, ms; that of the feed if missing.
    """

    def __init__(
        self,
        hosts: Hosts,
        settings: FeedSettings,
        *,
        linger_ms: int,
        most_streams: int = MOST_STREAMS,
        clock: Callable[[], int] | None = None,
    ) -> None:
        self.hosts = hosts
        self.venue = hosts.venue
        self.left_out: Counter[str] = Counter()
        """Messages that were passed on and not taken in, by what was wrong with them."""
        self._reading = Reading(self.left_out, self._pass_on)
        budget = WeightBudget()
        self.rest = RestClient(hosts, budget, patience_s=PATIENCE_S)
        self.runner = FeedRunner(
            hosts, settings, self._reading.payload_reader, Backfill(self.rest), Random()
        )
        self.contracts_changed = False
        """Whether the list of contracts was said to have changed since it was read."""
        self.wanted = Wanted(self.source_of, linger_ms, (CONTRACTS,), most=most_streams)
        self.heard: Callable[[int], object] = _ignore
        """Is called with the time of each message, before it is told; returns whether market time
        is that of the upstream."""
        self.noticed: Callable[[Upstream, Notice], object] = _ignore
        """Is called with what is to be known of streams."""
        self._overhear: Callable[[Notice], object] = _ignore
        self._now_ms = clock or (lambda: self.runner.feed.now_ms)
        self._questions = Questions(
            hosts,
            PartOfBudget(budget, QUESTIONS_SHARE),
            self.runner.feed,
            self.wanted,
            change=self._change,
            now_ms=self._now_ms,
            linger_ms=linger_ms,
        )
        self._complaints = Complaints()
        self._silent_ms: int | None = None
        """Since when nothing at all is heard, as far as `tick` has seen; None while something is."""
        self._sink = self._take
        self._plant: Plant | None = None
        self._books: UpstreamBooks
        self._contracts: ContractList

    async def meet(self) -> tuple[list[Instrument], int]:
        """Return the contracts of the venue and its time.

        Raises:
            RequestError: it answers with an error.
            UpstreamError: it cannot be reached.
            DecodeError: it answers something else.
        """
        listing, time_ms = await meeting.told_contracts(self.rest, self.venue)
        for reason in listing.left_out:
            self.left_out["unreadable contract"] += 1
            self._complaints.add(reason, "! a contract is left out", venue=self.venue.name)
        return listing.instruments, time_ms

    async def upstream_profile(self) -> str:
        """Return the profile that the upstream says it has; the exchange says none, and has the last.

        Raises:
            RequestError: it refuses to answer for now.
            UpstreamError: it cannot be reached.
        """
        return await upstream_profile(self.rest)

    def start(self, plant: Plant) -> None:
        """Serve `plant` from now on; an event loop must be running."""
        self._books = UpstreamBooks(
            self.runner,
            self.rest,
            plant,
            self.venue,
            self.left_out,
            pass_on=self._pass_message_on,
            noticed=self._take_notice,
            failed=self._fail,
        )
        self._plant = plant
        self._contracts = ContractList(plant, self.venue, self._added)
        self._questions.start(self._markets, self._books)
        hub = plant.hubs[self.venue.name]
        plant.start_passthrough(self.venue.name, ())
        self.runner.start()
        self._change(Change(ask=tuple(self.wanted.names)))
        hub.accepts_unknown = True
        hub.demand = self
        for name in tuple(hub.channels):
            self.opened(name)

    def observe(self, observer: Observer, overhear: Callable[[Notice], object]) -> None:
        """Tell `observer` of connections, and `overhear` what is to be known of streams."""
        self.runner.feed.observer = observer
        self._overhear = overhear

    @property
    def is_met(self) -> bool:
        """Whether it is heard; one that refuses to tell of contracts is if it can be reached."""
        feed = self.runner.feed
        merged = feed.merged_streams.get(CONTRACTS)
        if merged is None:
            return False
        if merged.is_rejected and merged.primary is None:
            return any(connection.is_open for connection in feed.connections.values())
        return merged.primary is not None and not merged.is_stale

    @property
    def asked(self) -> list[MergedStream]:
        """The streams that it is asked for, without those that it refuses: nobody hears them."""
        merged_streams = self.runner.feed.merged_streams.values()
        return [each for each in merged_streams if each.primary is not None or not each.is_rejected]

    def blind(self, patience_ms: int) -> dict[str, int]:
        """Return the streams that no connection carries, with for how long, ms.

        One that never was carried is among them when its connection could not be opened for
        `patience_ms`; if it is open, the answer to the subscription is on the way.
        """
        now_ms = self.runner.feed.now_ms
        blind = [merged for merged in self.asked if merged.primary is None]
        new = {each.name: self._unopened_ms(each) for each in blind if each.disconnected_ms is None}
        known = {
            each.name: now_ms - each.disconnected_ms
            for each in blind
            if each.disconnected_ms is not None
        }
        return known | {name: since_ms for name, since_ms in new.items() if since_ms >= patience_ms}

    def _unopened_ms(self, merged: MergedStream) -> int:
        """Return for how long no connection that is to carry a stream was open; -1: one is.

        One that carries names apart, because the server refused one of them, takes its time.
        """
        feed = self.runner.feed
        connections = [
            connection for connection in feed.connections.values() if connection.has(merged.name)
        ]
        if any(connection.is_open or connection.is_isolated for connection in connections):
            return -1
        ended_ms = max((connection.closed_ms for connection in connections), default=feed.now_ms)
        return feed.now_ms - max(ended_ms, merged.silent_since_ms)

    @property
    def outage_ms(self) -> int | None:
        """For how long nothing at all is heard, ms; None while something is.

        Streams that were asked for since then do not make it shorter.
        """
        since_ms = self._silent_ms
        if since_ms is None:
            return None
        lost_ms = (
            merged.disconnected_ms
            for merged in self.asked
            if merged.disconnected_ms is not None and merged.silent_since_ms <= since_ms
        )
        return self.runner.feed.now_ms - max(lost_ms, default=since_ms)

    @property
    def stale(self) -> int:
        """How many streams are silent for longer than they should be."""
        return sum(merged.is_stale for merged in self.asked)

    @property
    def is_silent(self) -> bool:
        """Whether streams that tell something every period do not, and no other tells anything.

        Others may be of a contract in which nothing happens.
        """
        merged_streams = self.asked
        is_telling = any(
            merged.primary is not None and merged.messages and not merged.is_stale
            for merged in merged_streams
            if merged.expected_interval.stale_after_ms is not None
        )
        return not is_telling and any(
            merged.is_stale
            and merged.expected_interval.steady
            and (merged.messages or self._is_known(merged.name))
            for merged in merged_streams
        )

    def _is_known(self, name: str) -> bool:
        """Whether a stream is about contracts that there are."""
        found = find(self._markets, name)
        return found is not None and bool(found[0].subjects(self._markets, found[1]))

    async def stop(self) -> None:
        """End the connections."""
        if self._plant is not None:
            self._plant.hubs[self.venue.name].demand = None
            self._books.close()
            await self.runner.stop()
        await self.close()

    async def close(self) -> None:
        """Ask nothing any more."""
        await asyncio.gather(self.rest.close(), self._questions.close())

    @property
    def allowances(self) -> Allowances:
        """What questions of some kinds spend; venues that count them together share it."""
        return self._questions.allowances

    @allowances.setter
    def allowances(self, allowances: Allowances) -> None:
        self._questions.allowances = allowances

    def tick(self) -> None:
        """Give up what nobody has heard for long enough; take note if nothing is heard."""
        asked = self.asked
        if any(merged.primary is not None for merged in asked) or (not asked and self.is_met):
            self._silent_ms = None
        elif self._silent_ms is None:
            self._silent_ms = self.runner.feed.now_ms
        now_ms = self._now_ms()
        self._change(self.wanted.turn(now_ms))
        self._questions.turn(now_ms)

    # What is heard here: the demand of the hub.

    def opened(self, name: str) -> None:
        """Ask for what `name` needs, if that is new."""
        change = self.wanted.open(name)
        upstream = self.wanted.source_of(name)
        if upstream in self.wanted.unasked:
            self._complaints.add(
                "stream not asked for",
                "! a stream is not asked for: it cannot be one, or there are too many",
                venue=self.venue.name,
                stream=loggable(name),
            )
            self._served.start_passthrough(self.venue.name, (upstream,))  # nothing half true
        self._change(change)

    def closed(self, name: str) -> None:
        """Let what `name` needed linger."""
        upstream = self.wanted.source_of(name)
        self.wanted.close(name, self._now_ms())
        if upstream not in self.wanted:
            self._served.stop_passthrough(self.venue.name, (upstream,))

    def source_of(self, name: str) -> str:
        """Return the stream that `name` is made from: what is not known here is only passed on."""
        markets = self._markets
        found = find(markets, name)
        if found is None:
            return name
        row, args = found
        is_whole = all(len(others) for others in markets.others) or not row.pattern.is_of_all
        is_made_here = is_whole and row.subjects(markets, args)
        return base_of(row, args.get("symbol", ""), name) if is_made_here else name

    def _change(self, change: Change) -> None:
        for name in change.drop:
            self._give_up(name)
        for name in change.ask:
            self._ask_for(name)

    def _ask_for(self, upstream: str) -> None:
        self._served.start_passthrough(self.venue.name, (upstream,))
        symbol = symbol_of_base(upstream)
        if symbol in self._markets.by_symbol:
            self._books.add(symbol)
        else:
            self.runner.attach((upstream,), self._sink)
        self._forget_marks(upstream)

    def _give_up(self, upstream: str) -> None:
        symbol = symbol_of_base(upstream)
        if symbol is not None and symbol in self._books:
            self._books.remove(symbol, "not heard any more")
        else:
            self.runner.detach((upstream,), self._sink)
        self._reading.forget(upstream)
        self._questions.lost((upstream,))
        self._forget_marks(upstream)
        if upstream not in self.wanted:
            self._served.stop_passthrough(self.venue.name, (upstream,))

    def _forget_marks(self, upstream: str) -> None:
        """Let nothing be made of prices that are not heard any more, or were not yet."""
        found = find(self._markets, upstream)
        if found is not None and found[0].events == _MARKS:
            for market in found[0].subjects(self._markets, found[1]):
                market.mark_price = None

    @property
    def _served(self) -> Plant:
        if self._plant is None:
            raise RuntimeError("the upstream has not been started")
        return self._plant

    @property
    def _markets(self) -> Markets:
        return self._served.venues[self.venue.name]

    # What comes.

    def _take(self, item: Message | Notice) -> None:
        """Pass a message on, and take it in."""
        try:
            if isinstance(item, Notice):
                self._take_notice(item)
            else:
                self._take_message(item)
        except Exception:  # noqa: BLE001  # one message must not cost the others
            self._fail()

    def _fail(self) -> None:
        self.left_out["fault"] += 1
        self._complaints.add(
            "fault", "! a message was not dealt with", venue=self.venue.name, exc_info=True
        )

    def _take_notice(self, notice: Notice) -> None:
        if isinstance(notice, Disconnected | Stale):
            self._questions.lost(notice.streams)
            for name in notice.streams:
                self._forget_marks(name)
        self.noticed(self, notice)
        self._overhear(notice)
        if isinstance(notice, SubscriptionRejected):
            for name in notice.streams:
                if name != CONTRACTS:
                    self._change(self.wanted.refuse(name))

    def _take_message(self, message: Message) -> None:
        self._pass_message_on(message)
        if message.stream == CONTRACTS:
            self.contracts_changed = True
        events = self._reading.events(message, self._markets)
        for event in events:
            self._served.publish(event)
        if events and message.stream.endswith("@bookTicker"):
            self._questions.heard_quote(message.stream)

    def _pass_message_on(self, message: Message) -> None:
        """Let its time be known, and pass a message on."""
        if message.event_time_ms and self.heard(message.event_time_ms):
            self._questions.heard_time()
        self._pass_on(message.stream, message.payload)

    def _pass_on(self, stream: str, payload: bytes) -> None:
        self._served.hubs[self.venue.name].broadcast(stream, payload)

    # What is asked here, and what there is to hear.

    def lacks(self, query: Query, params: Mapping[str, object]) -> bool:
        """Whether a question is to be asked of the upstream."""
        return self._questions.lacks(query, params)

    async def fetch(self, query: Query, params: Mapping[str, str]) -> bytes:
        """Ask the upstream, and return the answer as JSON.

        Raises:
            AllowanceSpentError: as many questions of its kind were asked as the upstream allows.
            RequestError: the answer is an error.
            UpstreamError: there was no answer.
        """
        return await self._questions.fetch(query, params)

    async def relist_anew(self) -> None:
        """Ask for the contracts, and bring the list up to date; raises what `meet` raises."""
        listed, _ = await self.meet()
        self.relist(listed)

    def relist(self, listed: Iterable[Instrument]) -> None:
        """Bring the list of contracts up to date."""
        self._contracts.update(listed, self.runner.feed.now_ms)

    def _added(self, symbol: str) -> None:
        """Give a new market its book, if that is heard already."""
        upstream, book = base_depth(symbol), self._books.get(symbol)
        if book is not None and book.state is State.LIVE:
            self._books.load(book)
        elif book is None and upstream in self.wanted.names:
            self.runner.detach((upstream,), self._sink)
            self._reading.forget(upstream)
            self._books.add(symbol)


_MARKS = ("markPriceUpdate",)


def _ignore(*_: object) -> None:
    """Tell nobody."""
