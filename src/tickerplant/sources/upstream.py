"""One venue of a plant whose market is somebody else's: the exchange's, or another plant's.

What is heard here is asked for there, and what comes is passed on byte by byte.  It is also read,
as far as a market can take it in, so that what is derived from it, and what is asked of it, are
made here.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from random import Random
from typing import Any

from msgspec import DecodeError as NotJson
from msgspec import Struct, structs
from msgspec.json import Decoder as JsonDecoder

from tickerplant.client.api import ApiClient
from tickerplant.client.backfill import Backfill
from tickerplant.client.books import Books
from tickerplant.client.rest import RestClient, is_json
from tickerplant.client.runner import FeedRunner
from tickerplant.decode.exchange_info import instruments_of
from tickerplant.decode.readers import Read
from tickerplant.decode.readers import reader as event_reader
from tickerplant.errors import DecodeError, RequestError, UpstreamError
from tickerplant.events import BookSnapshot, ContractChanged
from tickerplant.feed.hosts import Hosts
from tickerplant.feed.local_book import LocalBook, State
from tickerplant.feed.settings import FeedSettings
from tickerplant.feed.weight import WeightBudget
from tickerplant.instrument import PERPETUAL_DELIVERY_MS, Instrument
from tickerplant.logs import Complaints
from tickerplant.market.market import Market
from tickerplant.market.markets import Markets
from tickerplant.messages.depth import DepthUpdate
from tickerplant.messages.message import Message
from tickerplant.messages.notice import Disconnected, Notice, Refused, Resync, Stale, Synced
from tickerplant.messages.readers import UNREADABLE, Reader, payload_reader, reader
from tickerplant.plant import GONE, Plant
from tickerplant.printed import PrintedDepth, level_units
from tickerplant.profile import CURRENT, PROFILES
from tickerplant.queries import depth
from tickerplant.queries.query import Query
from tickerplant.sources.wanted import (
    BASE_SPEED,
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
SNAPSHOT_LIMIT = 1000
PATIENCE_S = 8.0
"""How long a question goes unanswered, at most: clients wait 10 s and less."""
PROFILE_PATH = "/plant/v1/profile"
"""Where a plant says which profile it has."""
TIMELY_MS = 1_000
"""Market time is known so long after a message."""
ANEW_MS = 5_000
"""Updates older than the book that come so long after its last one are of a server whose ids began
anew."""
REFUSED_FOR_NOW = frozenset({418, 429})


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
        budget = WeightBudget()
        self.rest = RestClient(hosts, budget, patience_s=PATIENCE_S)
        self.runner = FeedRunner(
            hosts, settings, self._payload_reader, Backfill(self.rest), Random()
        )
        self.left_out: Counter[str] = Counter()
        """Messages that were passed on and not taken in, by what was wrong with them."""
        self.contracts_changed = False
        """Whether the list of contracts was said to have changed since it was read."""
        self.wanted = Wanted(self._source_of, linger_ms, (CONTRACTS,), most=most_streams)
        self.heard: Callable[[int], object] = _ignore
        """Is called with the time of each message, before it is told."""
        self.noticed: Callable[[Upstream, Notice], object] = _ignore
        """Is called with what is to be known of streams."""
        # Clients' questions do not stand in line behind the snapshots of many books.
        self._questions = RestClient(hosts, budget, timeout_s=PATIENCE_S, patience_s=PATIENCE_S)
        self._api = ApiClient(hosts, budget, timeout_s=PATIENCE_S, patience_s=PATIENCE_S)
        self._now_ms = clock or (lambda: self.runner.feed.now_ms)
        self._linger_ms = linger_ms
        self._complaints = Complaints()
        self._reads: dict[str, Read] = {}
        self._sink = self._take
        self._last_notice: Notice | None = None
        self._unread: tuple[str, bytes] | None = None
        """What was passed on and could not be read, until the feed has no more to do with it."""
        self._heard_ms = -TIMELY_MS
        """When a message that has a time last came."""
        self._quoted: set[str] = set()
        """The streams of book tickers that told something since they are heard."""
        self._asked_ms: dict[str, int] = {}
        """When a book was last asked for that is not kept here, by symbol, in that order."""
        self._moved_ms: dict[str, int] = {}
        """When a book last went on, by symbol."""
        self._plant: Plant | None = None
        self._books: Books

    async def meet(self) -> tuple[list[Instrument], int]:
        """Return the contracts of the venue and its time.

        Raises:
            RequestError: it answers with an error.
            UpstreamError: it cannot be reached.
            DecodeError: it answers something else.
        """
        answer = await self.rest.get("exchangeInfo")
        listing = instruments_of(answer, self.venue)
        try:
            time_ms = _told_time(answer).server_time
        except NotJson as error:
            raise DecodeError(f"exchangeInfo does not tell the time: {error}") from None
        if not 0 <= time_ms < PERPETUAL_DELIVERY_MS:
            raise DecodeError(f"exchangeInfo tells a time that cannot be: {time_ms}")
        for reason in listing.left_out:
            self.left_out["unreadable contract"] += 1
            self._complaints.add(reason, "! a contract is left out", venue=self.venue.name)
        return listing.instruments, time_ms

    async def told_profile(self) -> str:
        """Return the profile that the upstream says it has; the exchange says none, and has the last.

        Raises:
            RequestError: it refuses to answer for now.
            UpstreamError: it cannot be reached.
        """
        try:
            told = _told_profile(await self.rest.get(PROFILE_PATH)).profile
        except RequestError as error:
            if error.status in REFUSED_FOR_NOW:
                raise
            return CURRENT.name
        except UpstreamError as error:
            if error.reason.startswith("HTTP 4"):
                return CURRENT.name
            raise
        except NotJson:
            return CURRENT.name
        return told if told in PROFILES else CURRENT.name

    def start(self, plant: Plant) -> None:
        """Serve `plant` from now on; an event loop must be running."""
        self._books = Books(
            self.runner,
            self.rest,
            speed=BASE_SPEED.removeprefix("@"),
            limit=SNAPSHOT_LIMIT,
            on_update=self._book_changed,
        )
        self._plant = plant
        hub = plant.hubs[self.venue.name]
        plant.deliver_verbatim(self.venue.name, ())
        self.runner.start()
        self._change(Change(ask=tuple(self.wanted.names)))
        hub.open_ended = True
        hub.demand = self
        for name in tuple(hub.channels):
            self.opened(name)

    @property
    def is_met(self) -> bool:
        """Whether it is heard."""
        return self._is_heard(CONTRACTS)

    @property
    def blind(self) -> dict[str, int]:
        """The streams that no connection carries any more, with for how long, ms.

        Those that the upstream refuses are none of them: nobody hears them anywhere.
        """
        feed = self.runner.feed
        return {
            name: feed.now_ms - strand.blind_ms
            for name, strand in feed.strands.items()
            if strand.lead is None and strand.blind_ms is not None and not strand.is_refusal_told
        }

    async def stop(self) -> None:
        """End the connections."""
        if self._plant is not None:
            self._plant.hubs[self.venue.name].demand = None
            self._books.close()
            await self.runner.stop()
        await self.close()

    async def close(self) -> None:
        """Ask nothing any more."""
        await asyncio.gather(self.rest.close(), self._questions.close(), self._api.close())

    def tick(self) -> None:
        """Give up what nobody has heard for long enough."""
        now_ms = self._now_ms()
        self._change(self.wanted.turn(now_ms))
        for symbol, asked_ms in tuple(self._asked_ms.items()):
            if now_ms - asked_ms < self._linger_ms:
                break
            del self._asked_ms[symbol]

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
                stream=name[:200],
            )
            self._served.deliver_verbatim(self.venue.name, (upstream,))  # nothing half true
        self._change(change)

    def closed(self, name: str) -> None:
        """Let what `name` needed linger."""
        upstream = self.wanted.source_of(name)
        self.wanted.close(name, self._now_ms())
        if upstream not in self.wanted:
            self._served.withdraw_verbatim(self.venue.name, (upstream,))

    def _source_of(self, name: str) -> str:
        """Return the stream that `name` is made from: what is not known here is only passed on."""
        markets = self._markets
        found = find(markets, name)
        if found is None:
            return name
        row, args = found
        is_whole = all(len(others) for others in markets.others) or not row.of_all
        is_made_here = is_whole and row.about(markets, args)
        return base_of(row, args.get("symbol", ""), name) if is_made_here else name

    def _change(self, change: Change) -> None:
        for name in change.drop:
            self._give_up(name)
        for name in change.ask:
            self._ask_for(name)

    def _ask_for(self, upstream: str) -> None:
        self._served.deliver_verbatim(self.venue.name, (upstream,))
        symbol = symbol_of_base(upstream)
        if symbol in self._markets.by_symbol:
            self._books.add(symbol)
        else:
            self.runner.attach((upstream,), self._sink)
        self._forget_marks(upstream)

    def _give_up(self, upstream: str) -> None:
        symbol = symbol_of_base(upstream)
        if symbol is not None and symbol in self._books:
            self._books.remove(symbol)
            self._drop_book(symbol, "not heard any more")
        else:
            self.runner.detach((upstream,), self._sink)
        self._reads.pop(upstream, None)
        self._quoted.discard(upstream)
        self._forget_marks(upstream)
        if upstream not in self.wanted:
            self._served.withdraw_verbatim(self.venue.name, (upstream,))

    def _forget_marks(self, upstream: str) -> None:
        """Let nothing be made of prices that are not heard any more, or were not yet."""
        found = find(self._markets, upstream)
        if found is not None and found[0].events == _MARKS:
            for market in found[0].about(self._markets, found[1]):
                market.mark_price = None

    @property
    def _served(self) -> Plant:
        if self._plant is None:
            raise RuntimeError("the upstream has not been started")
        return self._plant

    @property
    def _markets(self) -> Markets:
        return self._served.venues[self.venue.name]

    # What is asked here.

    def knows(self, query: Query, params: Mapping[str, object]) -> bool:
        """Whether the market here can answer a question as well as the upstream.

        What a question about one book rests on is asked for when it comes a second time, so that
        the third is answered here.
        """
        if self._plant is None:
            return False
        if not query.of_market:
            is_timely = self.runner.feed.now_ms - self._heard_ms < TIMELY_MS
            return query.path != "/v1/time" or is_timely
        symbol = str(params.get("symbol", "")).upper()
        market = self._markets.by_symbol.get(symbol)
        if market is None:
            return False
        if query.path == "/v1/depth":
            self._keep_book(symbol)
            return self._has_book(market, str(params.get("limit", depth.DEFAULT_LIMIT)))
        if query.path == "/v1/ticker/bookTicker" or query.method == "ticker.book":
            return self._has_quote(market)
        return False

    def lacks(self, query: Query, params: Mapping[str, object]) -> bool:
        """Whether a question is to be asked of the upstream."""
        return not self.knows(query, params)

    async def fetch(self, query: Query, params: Mapping[str, str]) -> bytes:
        """Ask the upstream, and return the answer as JSON.

        Raises:
            RequestError: the answer is an error.
            UpstreamError: there was no answer.
        """
        path = query.path_on(self.venue)
        try:
            async with asyncio.timeout(PATIENCE_S):
                if path is not None:
                    return await self._questions.get(path, **params)
                return await self._api.ask_raw(query.method or "", **params)
        except TimeoutError:
            raise UpstreamError(self.hosts.rest, f"no answer within {PATIENCE_S:g} s") from None

    def _keep_book(self, symbol: str) -> None:
        """Keep a book that is asked for time and again."""
        upstream, now_ms = base_depth(symbol), self._now_ms()
        if upstream in self.wanted or symbol in self._asked_ms:
            self._asked_ms.pop(symbol, None)
            self._change(self.wanted.touch(upstream, now_ms))
        else:
            self._asked_ms[symbol] = now_ms

    def _has_book(self, market: Market, limit: str) -> bool:
        """Whether so many levels of each side are known, or all there are."""
        book = self._books.get(market.symbol)
        if book is None or book.state is not State.LIVE or not market.book_live:
            return False
        if book.last_update_id != market.book.last_update_id:
            return False
        asked = int(limit) if limit in _LIMITS else SNAPSHOT_LIMIT
        bids, asks = len(book.bids(asked)), len(book.asks(asked))
        return (bids == asked or book.bid_reach is None) and (
            asks == asked or book.ask_reach is None
        )

    def _has_quote(self, market: Market) -> bool:
        """Whether the best prices are known, told or as those of the book."""
        quote, book = market.book_ticker, market.book
        if quote is None:
            return False
        name = f"{market.symbol.lower()}@bookTicker"
        if name in self.wanted or "!bookTicker" in self.wanted:
            is_after = market.book_live or quote.update_id > book.last_update_id
            return name in self._quoted and is_after
        return self._has_book(market, "5")

    def _is_heard(self, name: str) -> bool:
        strand = self.runner.feed.strands.get(name)
        return strand is not None and strand.lead is not None and not strand.is_stale

    # What comes.

    def _payload_reader(self, stream: str) -> Reader:
        """Return how messages are read: whole where a book is made of them."""
        found = reader(stream) if symbol_of_base(stream) else payload_reader(stream)

        def decode(payload: bytes) -> Any:
            try:
                return found.decode(payload)
            except UNREADABLE:
                self._pass_unread(stream, payload)
                raise

        return Reader(decode, found.message, found.array)

    def _pass_unread(self, stream: str, payload: bytes) -> None:
        """Pass on what is not in a known form; the feed, which reads it again and again, does not."""
        if not is_json(payload):
            return  # or it is the envelope that is written in another way
        if self._unread == (stream, payload):
            return
        self._unread = (stream, payload)
        asyncio.get_running_loop().call_soon(self._forget_unread)
        self.left_out["unknown form"] += 1
        self._served.hubs[self.venue.name].pass_on(stream, payload)

    def _forget_unread(self) -> None:
        self._unread = None

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
            self._quoted.difference_update(notice.streams)
            for name in notice.streams:
                self._forget_marks(name)
        self.noticed(self, notice)
        if isinstance(notice, Refused):
            for name in notice.streams:
                if name != CONTRACTS:
                    self._change(self.wanted.refuse(name))

    def _hear(self, time_ms: int) -> None:
        if time_ms:
            self._heard_ms = self.runner.feed.now_ms
            self.heard(time_ms)

    def _take_message(self, message: Message) -> None:
        stream = message.stream
        self._hear(message.event_time)
        self._served.hubs[self.venue.name].pass_on(stream, message.payload)
        if stream == CONTRACTS:
            self.contracts_changed = True
        read = self._reads.get(stream) or self._reader(stream)
        try:
            _, events = read(message.payload)
        except KeyError:
            self.left_out["unknown symbol"] += 1
            return
        except (NotJson, ValueError, RecursionError):
            self.left_out["unknown form"] += 1
            return
        for event in events:
            self._served.publish(event)
        if events and stream.endswith("@bookTicker"):
            self._quoted.add(stream)

    def _reader(self, stream: str) -> Read:
        read = self._reads[stream] = event_reader(stream, _Instruments(self._markets))
        return read

    # Books.

    def _book_changed(self, book: LocalBook, item: Message | Notice) -> None:
        """Pass a depth update on; bring it into the market if the book is whole with it."""
        try:
            if isinstance(item, Notice):
                self._take_book_notice(book, item)
            elif isinstance(item, DepthUpdate):
                self._take_update(book, item)
        except Exception:  # noqa: BLE001  # the books would be closed, all of them
            self._fail()

    def _take_book_notice(self, book: LocalBook, notice: Notice) -> None:
        if isinstance(notice, Synced):
            self._load_book(book)
            return
        if isinstance(notice, Resync) and book.state is not State.LIVE:
            self._drop_book(book.symbol, notice.reason)
        if notice is not self._last_notice:  # it comes once for each book that it is about
            self._take_notice(notice)
        self._last_notice = notice

    def _take_update(self, book: LocalBook, update: DepthUpdate) -> None:
        self._hear(update.event_time)
        self._served.hubs[self.venue.name].pass_on(update.stream, update.payload)
        symbol, now_ms = book.symbol, self.runner.feed.now_ms
        market = self._markets.by_symbol.get(symbol)
        if book.last_update_id != update.final_update_id:
            self._look_for_new_ids(book, update, now_ms)
        elif market is not None:
            self._moved_ms[symbol] = now_ms
            if not market.book_live:
                self._load_book(book)
                return
            self._served.publish(
                PrintedDepth(
                    update.symbol,
                    update.event_time,
                    update.transaction_time,
                    update.first_update_id,
                    update.final_update_id,
                    update.previous_update_id,
                    update.bids,
                    update.asks,
                )
            )

    def _look_for_new_ids(self, book: LocalBook, update: DepthUpdate, now_ms: int) -> None:
        """Begin a book anew whose updates stay behind it: the upstream counts from elsewhere."""
        symbol = book.symbol
        is_behind = update.final_update_id < book.last_update_id
        if is_behind and now_ms - self._moved_ms.get(symbol, now_ms) >= ANEW_MS:
            self._moved_ms.pop(symbol)
            self._books.remove(symbol)
            self._drop_book(symbol, "the ids of the upstream began anew")
            self._books.add(symbol)

    def _load_book(self, book: LocalBook) -> None:
        """Let the market have the book as it is now, all of it."""
        market = self._markets.by_symbol.get(book.symbol)
        if market is None:
            return
        self._moved_ms[book.symbol] = self.runner.feed.now_ms
        bids, asks = (side.top(len(side.levels)) for side in book.sides)
        try:
            snapshot = BookSnapshot(
                book.symbol,
                book.last_update_id,
                level_units(market.instrument, bids),
                level_units(market.instrument, asks),
                book.transaction_time,
            )
        except ValueError:
            self.left_out["more decimals than the instrument"] += 1
            self._drop_book(book.symbol, "more decimals than the instrument")
        else:
            self._served.publish(snapshot)

    def _drop_book(self, symbol: str, reason: str) -> None:
        """Let nothing be told of a book that is not followed any more."""
        self._moved_ms.pop(symbol, None)
        market = self._markets.by_symbol.get(symbol)
        if market is not None and market.book_live:
            market.book_sync.drop(reason)

    # Contracts.

    def relist(self, listed: Iterable[Instrument]) -> None:
        """Bring the list of contracts up to date."""
        plant, known = self._served, self._markets.by_symbol
        present = {instrument.symbol: instrument for instrument in listed}
        for symbol in [symbol for symbol in known if symbol not in present]:
            self._delist(symbol)
        for symbol, instrument in present.items():
            before = known[symbol].instrument if symbol in known else None
            if before is None and instrument.status in GONE:
                continue
            if before is not None and _scales(before) != _scales(instrument):
                self._delist(symbol)  # what is known of it is in units of the past
                before = None
            if before != instrument:
                plant.publish(ContractChanged(symbol, instrument, (), plant.now_ms))
            if before is None:
                self._list(symbol)

    def _delist(self, symbol: str) -> None:
        plant, instrument = self._served, self._markets.by_symbol[symbol].instrument
        gone = structs.replace(instrument, status=min(GONE))
        plant.publish(ContractChanged(symbol, gone, (), plant.now_ms))

    def _list(self, symbol: str) -> None:
        """Give a new market its book, if that is heard already."""
        upstream, book = base_depth(symbol), self._books.get(symbol)
        if book is not None and book.state is State.LIVE:
            self._load_book(book)
        elif book is None and upstream in self.wanted.names:
            self.runner.detach((upstream,), self._sink)
            self._reads.pop(upstream, None)
            self._books.add(symbol)


_MARKS = ("markPriceUpdate",)
_LIMITS = frozenset(map(str, depth.LIMITS))


def _scales(instrument: Instrument) -> tuple[int, int, int]:
    """Return what the numbers of a market are counted in."""
    return instrument.price.decimals, instrument.quantity.decimals, instrument.contract_size


def _ignore(*_: object) -> None:
    """Tell nobody."""


class _ToldProfile(Struct):
    """What a plant says of itself."""

    profile: str


_told_profile = JsonDecoder(_ToldProfile).decode


class _ToldTime(Struct, rename="camel"):
    """An answer to exchangeInfo: when it was made."""

    server_time: int


_told_time = JsonDecoder(_ToldTime).decode


class _Instruments(Mapping[str, Instrument]):
    """The instruments of markets that come and go."""

    def __init__(self, markets: Markets) -> None:
        self._markets = markets

    def __getitem__(self, symbol: str) -> Instrument:
        market = self._markets.anywhere(symbol)
        if market is None:
            raise KeyError(symbol)
        return market.instrument

    def __contains__(self, symbol: object) -> bool:
        return isinstance(symbol, str) and self._markets.anywhere(symbol) is not None

    def __iter__(self) -> Iterator[str]:
        return (market.symbol for market in self._markets.universe)

    def __len__(self) -> int:
        return len(self._markets.universe)
