"""One venue of a plant whose market is somebody else's: the exchange's, or another plant's.

What is heard here is asked for there, and what comes is passed on byte by byte.  It is also read,
as far as a market can take it in, so that what is derived from it, and what is asked of it, are
made here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from random import Random

from msgspec import DecodeError as NotJson
from msgspec import Struct, structs
from msgspec.json import Decoder as JsonDecoder

from tickerplant.client.backfill import Backfill
from tickerplant.client.books import Books
from tickerplant.client.rest import RestClient
from tickerplant.client.runner import FeedRunner
from tickerplant.decode.exchange_info import instruments_of
from tickerplant.decode.readers import Read
from tickerplant.decode.readers import reader as event_reader
from tickerplant.errors import RequestError, UpstreamError
from tickerplant.events import BookSnapshot, ContractChanged
from tickerplant.feed.hosts import Hosts
from tickerplant.feed.local_book import LocalBook, State
from tickerplant.feed.settings import FeedSettings
from tickerplant.feed.weight import WeightBudget
from tickerplant.hub import Hub
from tickerplant.instrument import Instrument
from tickerplant.market.market import Market
from tickerplant.messages.depth import DepthUpdate
from tickerplant.messages.message import Message
from tickerplant.messages.notice import Notice, Synced
from tickerplant.messages.readers import Reader, payload_reader, reader
from tickerplant.plant import GONE, Plant
from tickerplant.printed import PrintedDepth, level_units
from tickerplant.profile import CURRENT, PROFILES
from tickerplant.queries import depth
from tickerplant.queries.query import Query
from tickerplant.sources.wanted import BASE_SPEED, Wanted, base_depth

CONTRACTS = "!contractInfo"
"""Always asked for: it says when the list of contracts has changed."""
SNAPSHOT_LIMIT = 1000
PATIENCE_S = 8.0
"""How long a question goes unanswered, at most: clients wait 10 s and less."""
PROFILE_PATH = "/plant/v1/profile"
"""Where a plant says which profile it has."""

_BASE = f"@depth{BASE_SPEED}"


def read_payloads(stream: str) -> Reader:
    """Return how the messages of an upstream are read: whole where a book is made of them."""
    return reader(stream) if stream.endswith(_BASE) else payload_reader(stream)


class Upstream:
    """The connections to one venue of an upstream, and what is wanted of it.

    Args:
        hosts: Where it is.
        settings: How its feed behaves.
        linger_ms: How long a stream is kept after the last who heard it has left.
    """

    def __init__(self, hosts: Hosts, settings: FeedSettings, *, linger_ms: int) -> None:
        self.hosts = hosts
        self.venue = hosts.venue
        self.rest = RestClient(hosts, WeightBudget(), patience_s=PATIENCE_S)
        self.runner = FeedRunner(hosts, settings, read_payloads, Backfill(self.rest), Random())
        self.left_out: Counter[str] = Counter()
        """Messages that were passed on and not taken in, by what was wrong with them."""
        self.contracts_changed = False
        """Whether the list of contracts was said to have changed since it was read."""
        self._wanted = Wanted(self.venue, linger_ms, (CONTRACTS,))
        self.heard: Callable[[int], object] = _ignore
        """Is called with the time of each message, before it is told."""
        self.noticed: Callable[[Upstream, Notice], object] = _ignore
        """Is called with what is to be known of streams."""
        self._now_ms: Callable[[], int] = lambda: self.runner.feed.now_ms
        self._reads: dict[str, Read] = {}
        self._sink = self._take
        self._last_notice: Notice | None = None
        self._plant: Plant
        self._hub: Hub
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
        for reason in listing.left_out:
            self.left_out[f"contract {reason}"] += 1
        return listing.instruments, _told_time(answer).server_time

    async def told_profile(self) -> str:
        """Return the profile that the upstream says it has; the exchange says none, and has the last."""
        try:
            told = _told_profile(await self.rest.get(PROFILE_PATH)).profile
        except (RequestError, UpstreamError, NotJson):
            return CURRENT.name
        return told if told in PROFILES else CURRENT.name

    def start(self, plant: Plant) -> None:
        """Serve `plant` from now on; an event loop must be running."""
        self._plant = plant
        self._hub = plant.hubs[self.venue.name]
        self._books = Books(
            self.runner,
            self.rest,
            speed=BASE_SPEED.removeprefix("@"),
            limit=SNAPSHOT_LIMIT,
            on_update=self._book_changed,
        )
        self._hub.open_ended = True
        self._hub.demand = self
        plant.deliver_verbatim(self.venue.name, ())
        self.runner.start()
        for name in self._wanted.names:
            self._ask_for(name)

    @property
    def is_met(self) -> bool:
        """Whether it is heard."""
        return self._is_heard(CONTRACTS)

    async def stop(self) -> None:
        """End the connections."""
        self._hub.demand = None
        self._books.close()
        await self.runner.stop()
        await self.rest.close()

    def tick(self) -> None:
        """Give up what nobody has heard for long enough."""
        for name in self._wanted.expired(self._now_ms()):
            if name.endswith(_BASE):
                self._books.remove(name.removesuffix(_BASE).upper())
            else:
                self.runner.detach((name,), self._sink)
            self._reads.pop(name, None)
            self._plant.withdraw_verbatim(self.venue.name, (name,))

    # What is heard here: the demand of the hub.

    def opened(self, name: str) -> None:
        """Ask for what `name` needs, if that is new."""
        upstream = self._wanted.open(name)
        if upstream is not None:
            self._ask_for(upstream)

    def closed(self, name: str) -> None:
        """Let what `name` needed linger."""
        self._wanted.close(name, self._now_ms())

    def _ask_for(self, upstream: str) -> None:
        self._plant.deliver_verbatim(self.venue.name, (upstream,))
        if upstream.endswith(_BASE):
            self._books.add(upstream.removesuffix(_BASE).upper())
        else:
            self.runner.attach((upstream,), self._sink)

    # What is asked here.

    def knows(self, query: Query, params: Mapping[str, object]) -> bool:
        """Whether the market here can answer a question as well as the upstream.

        What a question about one book rests on is asked for, so that the next is answered here.
        """
        if not query.of_market:
            return True
        symbol = str(params.get("symbol", "")).upper()
        market = self._plant.venues[self.venue.name].by_symbol.get(symbol)
        if market is None:
            return False
        if query.path == "/v1/depth":
            return self._has_book(market, str(params.get("limit", depth.DEFAULT_LIMIT)))
        if query.path == "/v1/ticker/bookTicker":
            is_told = self._is_heard(f"{symbol.lower()}@bookTicker")
            return market.book_ticker is not None and (is_told or self._has_book(market, "1"))
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
        if path is None:
            raise UpstreamError(self.hosts.rest, f"{query.method} is no question of REST")
        return await self.rest.get(path, **params)

    def _has_book(self, market: Market, limit: str) -> bool:
        """Whether so many levels of each side are known, or all there are."""
        upstream = base_depth(market.symbol)
        if self._wanted.touch(upstream, self._now_ms()):
            self._ask_for(upstream)
        book = self._books.get(market.symbol)
        if book is None or book.state is not State.LIVE or not market.book_live:
            return False
        asked = int(limit) if limit.isdecimal() else SNAPSHOT_LIMIT
        bids, asks = len(book.bids(asked)), len(book.asks(asked))
        return (bids == asked or book.bid_reach is None) and (
            asks == asked or book.ask_reach is None
        )

    def _is_heard(self, name: str) -> bool:
        strand = self.runner.feed.strands.get(name)
        return strand is not None and strand.lead is not None and not strand.is_stale

    # What comes.

    def _take(self, item: Message | Notice) -> None:
        """Pass a message on, and take it in."""
        if isinstance(item, Notice):
            self.noticed(self, item)
            return
        self.heard(item.event_time)
        self._hub.pass_on(item.stream, item.payload)
        if item.stream == CONTRACTS:
            self.contracts_changed = True
        read = self._reads.get(item.stream) or self._reader(item.stream)
        try:
            _, events = read(item.payload)
        except KeyError:
            self.left_out["unknown symbol"] += 1
        except (NotJson, ValueError):
            self.left_out["unknown form"] += 1
        else:
            for event in events:
                self._plant.publish(event)

    def _reader(self, stream: str) -> Read:
        instruments = _Instruments(self._plant.venues[self.venue.name].by_symbol)
        read = self._reads[stream] = event_reader(stream, instruments)
        return read

    def _book_changed(self, book: LocalBook, item: Message | Notice) -> None:
        """Pass a depth update on; bring it into the market if the book is whole with it."""
        market = self._plant.venues[self.venue.name].by_symbol.get(book.symbol)
        if isinstance(item, Synced):
            if market is not None:
                self._load_book(book, market)
        elif isinstance(item, Notice):
            if item is not self._last_notice:  # it comes once for each book that it is about
                self.noticed(self, item)
            self._last_notice = item
        elif isinstance(item, DepthUpdate):
            self.heard(item.event_time)
            self._hub.pass_on(item.stream, item.payload)
            if market is not None and book.last_update_id == item.final_update_id:
                self._plant.publish(
                    PrintedDepth(
                        item.symbol,
                        item.event_time,
                        item.transaction_time,
                        item.first_update_id,
                        item.final_update_id,
                        item.previous_update_id,
                        item.bids,
                        item.asks,
                    )
                )

    def _load_book(self, book: LocalBook, market: Market) -> None:
        """Let the market have the book as it is now, all of it."""
        try:
            snapshot = BookSnapshot(
                book.symbol,
                book.last_update_id,
                level_units(market.instrument, book.bids(SNAPSHOT_LIMIT)),
                level_units(market.instrument, book.asks(SNAPSHOT_LIMIT)),
                book.transaction_time,
            )
        except ValueError:
            self.left_out["more decimals than the instrument"] += 1
        else:
            self._plant.publish(snapshot)

    # Contracts.

    def relist(self, listed: Iterable[Instrument]) -> None:
        """Bring the list of contracts up to date."""
        self.contracts_changed = False
        time_ms = self._plant.now_ms
        known = self._plant.venues[self.venue.name].by_symbol
        present = {instrument.symbol: instrument for instrument in listed}
        for symbol in [symbol for symbol in known if symbol not in present]:
            gone = structs.replace(known[symbol].instrument, status=min(GONE))
            self._plant.publish(ContractChanged(symbol, gone, (), time_ms))
        for symbol, instrument in present.items():
            if symbol not in known or known[symbol].instrument != instrument:
                self._plant.publish(ContractChanged(symbol, instrument, (), time_ms))


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

    def __init__(self, markets: Mapping[str, Market]) -> None:
        self._markets = markets

    def __getitem__(self, symbol: str) -> Instrument:
        return self._markets[symbol].instrument

    def __contains__(self, symbol: object) -> bool:
        return symbol in self._markets

    def __iter__(self) -> Iterator[str]:
        return iter(self._markets)

    def __len__(self) -> int:
        return len(self._markets)
