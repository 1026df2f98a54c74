"""Conversations as text, and the players that hold them.

A script is a list of lines:

    # a remark
    ? /ws/btcusdt@trade     the client connects to a path of USDⓈ-M, or to /ws-dapi/v1 of COIN-M
    $ /fapi/v1/ping         the client asks over REST, of the venue whose path it is
    = max_streams 2         the next connections have another limit; enforced 0 is none
    > {"method": …}         the client sends text
    >> ping abc             the client sends another frame: ping, pong or binary
    @ +3m                   time passes: ms, s, m or h
    < {"result": …}         the client receives exactly this text, after a status if over REST
    << ping 1772000180000   the client receives a ping
    * subscribe a b         streams begin: also unsubscribe, combined true, combined false
    ! 1008 Too many …       the connection is closed
    15 > {…}                any line, fifteen times
    s{1..3}@trade           s1@trade s2@trade s3@trade, in the notation of where it stands

What happens is rendered in the same notation and compared line by line, so a player has only to say
what it sees.  One with a server between does not see what the hub is asked to do (lines with `*`).
"""

from __future__ import annotations

import re
from collections import deque
from pathlib import Path

from msgspec import structs
from stage import BTCUSD_PERP, BTCUSDT, ETHUSDT

from tickerplant.events import ContractChanged, Trade
from tickerplant.logs import Complaints
from tickerplant.plant import Plant
from tickerplant.profile import P2026Q1
from tickerplant.protocol.actions import (
    Action,
    Close,
    Forward,
    Ping,
    Send,
    SetCombined,
    Subscribe,
    Unsubscribe,
)
from tickerplant.protocol.api_session import ApiSession
from tickerplant.protocol.limits import LIMITS, Limits
from tickerplant.protocol.rate_limiter import RateLimiter
from tickerplant.protocol.stream_session import StreamSession
from tickerplant.protocol.target import ApiTarget, parse_target
from tickerplant.server.congestion import Congestion
from tickerplant.server.endpoint import Endpoint
from tickerplant.server.http_request import HttpRequest
from tickerplant.server.operations.control_plane import ControlPlane
from tickerplant.server.query_service import Forwarder, QueryService
from tickerplant.server.rest import Rest
from tickerplant.venue import COINM, USDM, VENUES, Venue

SCRIPTS = sorted((Path(__file__).parent.parent / "conversations").glob("*.txt"))
ADDRESS = "192.0.2.1"
PROFILE = structs.replace(P2026Q1, paired_pongs=True)
START_MS = 1_772_000_000_000
ANNOUNCED = structs.replace(
    ETHUSDT, symbol="NEWUSDT", pair="NEWUSDT", base_asset="NEW", status="PENDING_TRADING"
)
UNITS_MS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000}

_REPEATED = re.compile(r"(\d+) ([?$=>@<*!].*)")
_DURATION = re.compile(r"\+(\d+)(ms|s|m|h)")
_SERIES = re.compile(
    r'(?P<quote>"?)(?P<head>\w*)\{(?P<first>\d+)\.\.(?P<last>\d+)\}(?P<tail>[\w@]*)"?'
)


class Player:
    """Holds one side of a conversation and says what it sees in the notation of the script."""

    sees_hub = False
    """Whether it sees what the hub is asked to do."""

    def __init__(self) -> None:
        self.seen: deque[str] = deque()
        """What happened and was not yet expected."""

    async def next_line(self) -> str:
        """Return what happened next."""
        return self.seen.popleft() if self.seen else "nothing"

    def limit(self, name: str, value: int) -> None:
        raise NotImplementedError

    async def connect(self, path: str) -> None:
        raise NotImplementedError

    async def ask(self, path: str) -> None:
        raise NotImplementedError

    async def send_text(self, text: str) -> None:
        raise NotImplementedError

    async def send_frame(self, kind: str, payload: bytes) -> None:
        raise NotImplementedError

    async def wait(self, duration_ms: int) -> None:
        raise NotImplementedError

    async def leave(self) -> None:
        """End the last connection."""


def little_exchange(venue: Venue, forwarder: Forwarder | None = None) -> QueryService:
    """Return the queries of an exchange with one contract a venue, a trade each and no book.

    Another contract of USDⓈ-M, NEWUSDT, is announced and does not trade yet.
    """
    plant = Plant((BTCUSDT, BTCUSD_PERP), start_ms=START_MS, profile=PROFILE)
    plant.publish(Trade("BTCUSDT", 1, 6_528_000, 1_000, False, START_MS))
    plant.publish(Trade("BTCUSD_PERP", 1, 652_800, 1, False, START_MS))
    plant.publish(ContractChanged(ANNOUNCED.symbol, ANNOUNCED, (), START_MS))
    return QueryService(plant.venues[venue.name], Complaints(), forwarder)


def venue_of(path: str) -> Venue:
    """Return the venue that a path belongs to; stream paths are taken as those of USDⓈ-M."""
    return COINM if path.startswith((COINM.api_path, COINM.rest_prefix)) else USDM


class BarePlayer(Player):
    """Plays against a session without a server, one after another, on a clock of its own."""

    sees_hub = True

    def __init__(self) -> None:
        super().__init__()
        self._now_ms = START_MS
        self._queries = {venue: little_exchange(venue) for venue in VENUES}
        self._session: StreamSession | ApiSession | None = None
        self._set(LIMITS)

    def _set(self, limits: Limits) -> None:
        self._limits = limits
        self._rate_limiter = RateLimiter(limits)

    def limit(self, name: str, value: int) -> None:
        self._set(structs.replace(self._limits, **{name: value}))

    async def connect(self, path: str) -> None:
        venue = venue_of(path)
        target = parse_target(path, venue, self._limits)
        if isinstance(target, ApiTarget):
            queries = self._queries[venue]
            self._session = ApiSession(
                target, queries, self._rate_limiter, ADDRESS, self._limits, self._now_ms
            )
        else:
            self._session = StreamSession(target, self._limits, self._now_ms)
        self._see(self._session.open())

    async def ask(self, path: str) -> None:
        venue = venue_of(path)
        markets = Plant((), start_ms=START_MS)
        endpoint = Endpoint(
            venue=venue,
            hub=markets.hubs[venue.name],
            queries=self._queries[venue],
            limits=self._limits,
            rate_limiter=self._rate_limiter,
            congestion=Congestion(self._limits, lambda: 0),
            complaints=Complaints(),
            clock=lambda: self._now_ms,
        )
        bare, target = path.partition("?")[0], path.encode()
        _, response = Rest(endpoint, ControlPlane(welcome=str)).respond(
            HttpRequest(venue.name, ADDRESS, ADDRESS, "GET", bare, target, {})
        )
        self.seen.append(f"< {response.status} {response.body.decode()}")

    async def send_text(self, text: str) -> None:
        self._see(self._connected.receive_text(text, self._now_ms))

    async def send_frame(self, kind: str, payload: bytes) -> None:
        session = self._connected
        match kind:
            case "ping":
                self._see(session.keepalive.ping(self._now_ms))
            case "pong":
                self._see(session.keepalive.pong(payload, self._now_ms))
            case "binary":
                self._see(session.receive_binary(self._now_ms))
            case _:
                raise ValueError(f"no frame of kind {kind!r}")

    async def wait(self, duration_ms: int) -> None:
        keepalive, end_ms = self._connected.keepalive, self._now_ms + duration_ms
        while (
            not keepalive.closed
            and (due_ms := min(keepalive.next_deadline_ms, keepalive.pong_deadline_ms)) <= end_ms
        ):
            self._now_ms = due_ms
            done = keepalive.tick(due_ms, due_ms)
            assert done, f"nothing happened at the deadline {self._now_ms}"
            self._see(done)
        self._now_ms = end_ms

    def _see(self, actions: list[Action]) -> None:
        self.seen.extend(map(_line, actions))

    @property
    def _connected(self) -> StreamSession | ApiSession:
        assert self._session is not None, "the script says nothing before it connects"
        return self._session


async def hold(script: Path, player: Player) -> None:
    """Play `script` with `player`.

    Raises:
        AssertionError: something else happened than the script says; names the line.
    """
    seen, place = player.seen, script.name
    lines = script.read_text(encoding="utf-8").splitlines()  # noqa: ASYNC240  # nobody else runs
    for number, line in enumerate(lines, start=1):
        place = f"{script.name}:{number}"
        steps = _steps(line)
        if steps and steps[0][0] not in "<*!":
            assert not seen, f"{place}: nothing more was expected before, but saw {seen[0]}"
        for step in steps:
            if step[0] not in "<*!":
                await _play(step, player)
            elif step[0] != "*" or player.sees_hub:
                happened = await player.next_line()
                assert happened == step, f"{place}: expected {step}, but saw {happened}"
    await player.leave()
    assert not seen, f"{place}: nothing more was expected, but saw {seen[0]}"


def _steps(line: str) -> list[str]:
    text = line.strip()
    if not text or text.startswith("#"):
        return []
    repeated = _REPEATED.fullmatch(text)
    count, step = (int(repeated[1]), repeated[2]) if repeated else (1, text)
    return [_SERIES.sub(_expand, step)] * count


def _expand(series: re.Match[str]) -> str:
    quote = series["quote"]
    separator = "," if quote else "/" if series.string.startswith("?") else " "
    numbers = range(int(series["first"]), int(series["last"]) + 1)
    return separator.join(f"{quote}{series['head']}{n}{series['tail']}{quote}" for n in numbers)


async def _play(step: str, player: Player) -> None:
    sign, _, rest = step.partition(" ")
    match sign:
        case "?":
            await player.connect(rest)
        case "$":
            await player.ask(rest)
        case "=":
            name, _, value = rest.partition(" ")
            player.limit(name, int(value))
        case ">":
            await player.send_text(rest)
        case ">>":
            kind, _, payload = rest.partition(" ")
            await player.send_frame(kind, payload.encode())
        case "@":
            duration = _DURATION.fullmatch(rest)
            assert duration is not None, f"{rest!r} is no duration"
            await player.wait(int(duration[1]) * UNITS_MS[duration[2]])
        case _:
            raise ValueError(f"{sign!r} begins no line of a script")


def _line(action: Action) -> str:
    match action:
        case Send(text=text):
            return f"< {text.decode()}"
        case Ping(payload):
            return f"<< ping {payload.decode()}"
        case Subscribe(names) | Unsubscribe(names):
            return f"* {type(action).__name__.lower()} {' '.join(names)}"
        case SetCombined(combined):
            return f"* combined {str(combined).lower()}"
        case Forward(query, params):
            return f"* ask {query.method} {params}"
        case Close(reason):
            return f"! {reason.code} {reason.reason}"
