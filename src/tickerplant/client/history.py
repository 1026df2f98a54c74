"""Fetches the history of a consumer's streams, and hands it over joined to their live messages."""

from __future__ import annotations

import asyncio
from asyncio import sleep
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

from msgspec import Struct

from tickerplant.client.fetching import Requests, series_of
from tickerplant.client.request import wall_clock_ms
from tickerplant.client.rest import RestClient
from tickerplant.client.runner import FeedRunner
from tickerplant.errors import ConfigError, RequestError, UpstreamError
from tickerplant.feed.history import HAVE_HISTORY, FetchHistory, HistoryJoin, has_history
from tickerplant.feed.merged_stream import Sink
from tickerplant.messages.message import Message
from tickerplant.notices import Notice
from tickerplant.queries.trades import MAX_LIMIT as TRADES_WITHOUT_KEY
from tickerplant.recording.timestamps import EARLIEST_NS, EXPECTED_INSTANT, instant_ns
from tickerplant.stream_name import parse_stream_name
from tickerplant.units import NS_PER_MS

MAX_HISTORY = 10_000
"""Maximum number of messages in the history of a stream."""
TIMEOUT_S = 120.0
"""How long live messages wait for what is fetched; request weight is replenished each minute."""
SUBSCRIBE_S = 5.0
"""How long a fetch waits until its stream is subscribed to; later the join fetches what is missing."""
LOOK_S = 0.02
"""Interval at which it looks whether a stream is subscribed to."""
FETCH_AGAIN_S = 0.25
"""Pause before messages are fetched again that the server did not have yet."""
TOO_LATE: Final = "no response in time"
TOO_MANY: Final = f"a history has at most {MAX_HISTORY:,} messages"
NEEDS_KEY: Final = (
    f"without an API key the server has only the last {TRADES_WITHOUT_KEY:,} trades "
    '(connect(…, api_key="…"))'
)


class HistoryRange(Struct, frozen=True):
    """How far back a history goes: a number of messages, or since a time."""

    count: int = 0
    """The number of messages; 0 if the time says how many."""
    since_ms: int | None = None


def parse_history(history: object, names: Iterable[str], *, has_key: bool) -> HistoryRange | None:
    """Return the range of a history; None if none is wanted."""
    if history == 0 and type(history) is int:
        return None
    if type(history) is int and 0 < history <= MAX_HISTORY:
        wanted = HistoryRange(history)
    elif isinstance(history, bool | float) or (isinstance(history, int) and history < EARLIEST_NS):
        expected = f"a number of messages from 0 to {MAX_HISTORY:,}, or a time: {EXPECTED_INSTANT}"
        raise ConfigError("history", history, expected)
    else:
        since_ns = instant_ns("history", history)  # type: ignore[arg-type]  # it raises
        wanted = HistoryRange(since_ms=-(-since_ns // NS_PER_MS))
    for name in names:
        if not has_history(name):
            expected = f"0 for {name}: only streams of {', '.join(HAVE_HISTORY)} have a history"
            raise ConfigError("history", history, expected)
        is_of_trades = parse_stream_name(name).kind == "trade"
        if is_of_trades and not has_key and wanted.count > TRADES_WITHOUT_KEY:
            expected = f"at most {TRADES_WITHOUT_KEY:,} for {name}: {NEEDS_KEY}"
            raise ConfigError("history", history, expected)
    return wanted


class History:
    """The history of the streams of one consumer.

    The consumer is attached to the feed; it passes on what it gets to `take` until `is_joined`.
    """

    def __init__(
        self, runner: FeedRunner, rest: RestClient, wanted: HistoryRange, *, has_key: bool
    ) -> None:
        self._runner = runner
        self._rest = rest
        self._wanted = wanted
        self._has_key = has_key
        self.is_delivering = False
        """Whether it delivers what was fetched, or was held meanwhile."""
        self._join: HistoryJoin
        self._on_progress: Callable[[], object] = _nothing
        self._is_over = False

    def start(
        self, names: tuple[str, ...], deliver: Sink, on_progress: Callable[[], object]
    ) -> None:
        """Fetch the history of streams as soon as they are subscribed to."""
        self._join = HistoryJoin(
            names, deliver, self._runner.feed.context.settings.retries.held_messages
        )
        self._on_progress = on_progress
        self._start_fetches()

    @property
    def is_joined(self) -> bool:
        """Whether messages may go directly to the consumer."""
        return self._join.is_joined

    def take(self, item: Message | Notice) -> None:
        """Take a live message or a notice."""
        self._join.take(item)
        self._start_fetches()

    def end(self) -> None:
        """Deliver what is held; nothing more will come."""
        self._join.give_up("the market ended before it came")
        self.close()

    def close(self) -> None:
        """Deliver nothing more of what is being fetched."""
        self._is_over = True

    def _start_fetches(self) -> None:
        for fetch in self._join.take_fetches():
            request = object()
            self._runner.preparing.add(request)  # the clock of a replay starts after it
            self._runner.start_request(self._carry_out(fetch, request))

    async def _carry_out(self, fetch: FetchHistory, request: object) -> None:
        try:
            await self._fetch(fetch)
        finally:
            self._runner.preparing.discard(request)

    async def _fetch(self, fetch: FetchHistory) -> None:
        if fetch.before_id < 0:
            await self._subscribed(fetch.stream)
        elif fetch.attempt:
            await sleep(FETCH_AGAIN_S)
        try:
            async with asyncio.timeout(TIMEOUT_S):
                rows, reason = await self._load(fetch)
        except TimeoutError:
            rows, reason = (), TOO_LATE
        except (RequestError, UpstreamError) as error:
            rows, reason = (), str(error)
        if not self._is_over:
            self._join.wall_ms = wall_clock_ms()
            self.is_delivering = True
            try:
                self._join.answered(fetch.stream, rows, reason)
            finally:
                self.is_delivering = False
            self._start_fetches()
            self._on_progress()

    async def _subscribed(self, stream: str) -> None:
        """Wait until a connection delivers `stream`: what is fetched after that leaves no hole."""
        until_s = asyncio.get_running_loop().time() + SUBSCRIBE_S
        while not self._runner.is_delivered(stream):
            if self._join.held_count or asyncio.get_running_loop().time() >= until_s:
                return
            await sleep(LOOK_S)

    async def _load(self, fetch: FetchHistory) -> tuple[Sequence[Message], str]:
        """Return messages, oldest first, and why some are missing, if that is known."""
        stream, requests = parse_stream_name(fetch.stream), Requests(self._rest, is_patient=True)
        if fetch.before_id >= 0:
            # A candle before one that was received is closed.
            series = series_of(requests, stream, fetch.before_id, has_key=self._has_key)
            return await series.between(fetch.after_id, fetch.before_id), ""
        now_ms = await requests.time_ms() if stream.interval else 0
        series = series_of(requests, stream, now_ms, has_key=self._has_key)
        since_ms = self._wanted.since_ms
        if since_ms is None:
            return await series.last(self._wanted.count), ""
        rows: Sequence[Any] = await series.last(MAX_HISTORY + 1, since_ms=since_ms)
        if len(rows) > MAX_HISTORY:
            return rows[-MAX_HISTORY:], TOO_MANY
        is_cut = stream.kind == "trade" and len(rows) == TRADES_WITHOUT_KEY and not self._has_key
        return rows, NEEDS_KEY if is_cut and rows[0].trade_id > 1 else ""


def _nothing() -> None:
    """Do nothing."""
