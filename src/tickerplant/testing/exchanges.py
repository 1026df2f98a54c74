"""An exchange for a test: a server of its own, a clock that stands still, faults, and the truth."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from inspect import signature
from os import PathLike, fspath
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, NamedTuple, Self, TypeAlias

from msgspec import Struct

from tickerplant.client.event_loop import running_loop
from tickerplant.control.clock_state import LONGEST_WAIT_S
from tickerplant.errors import ConfigError, TickerplantError
from tickerplant.formatting import count_text, iso_text
from tickerplant.hosted.arguments import simulation_fields, speed_of
from tickerplant.hosted.protocol import TestServerRequest
from tickerplant.originals import Original
from tickerplant.recording.timestamps import Instant
from tickerplant.startup.lines import Ready
from tickerplant.suggestions import one_of
from tickerplant.testing.handles import Fault, Lever, Scenario, parameters_of
from tickerplant.testing.proxies import Exemption, proxy_lines
from tickerplant.testing.server import CLOSED, ServerProcess
from tickerplant.testing.truth import Truth
from tickerplant.testing.waiting import asked, check_no_loop, until
from tickerplant.units import NS_PER_MS, parse_duration_ns
from tickerplant.venue import VENUES, VenueName

Speed: TypeAlias = float | Literal["step"]
"""Market seconds per second, or `step`: market time stands still but for `Exchange.step`."""
FaultGiven: TypeAlias = str | Mapping[str, Any]
"""A fault as `--fault` takes it, such as `reset=30s`, or its fields."""
VENUE_NAMES = tuple(each.name for each in VENUES)
REPORTED_FAULTS = 20
"""Removed faults that the report of a failed test shows: the last ones."""
LOG_LINES = 30
"""Lines of the exchange's log in the report of a failed test."""
OVER = frozenset({"over", "stopped", "releasing"})
"""States of what does nothing any more, or only goes back to what it was."""
SWITCHED_OFF = ("s", "l", "f")
"""How ids of scenarios, levers and faults begin, in the order in which they are switched off: a
scenario takes its own levers and faults with it."""
STEP_TIMEOUT_S = 60.0
"""The longest wait for a step of a minute or less, unless the call says another."""
STEP_TIMEOUT_SHARE = 1 / 60
"""The share of a longer step that is added to the wait."""
SETTLE_TIMEOUT_S = 10.0
"""The longest wait until clients have read everything, unless the call says another."""
LONGEST_QUESTION_S = 1.0
"""How long the exchange may take to answer whether they have; then it is asked again."""
SHOWN_UNSETTLED = 8
"""Connections that have not, in an error."""
WAIT_TIMEOUT_S = 10.0
"""The longest wait for a condition, unless the call says another."""
FROZEN_LOOP = (
    "; the clock of the event loop stands still, so that nothing in it is ever due (freezegun: "
    "`real_asyncio=True`)"
)
EXEMPTION = Exemption()
"""Of this process."""


class GivenScenario(NamedTuple):
    """A scenario that a test asks for."""

    text: str
    """The name of one of the library, or the text of another one."""
    file_name: str = ""
    """The name of the file that it was read from, for errors; empty if it was none."""


class ExchangeSettings(Struct, frozen=True, kw_only=True):
    """What a test asks of its exchange; the arguments of `exchange` and of the marker."""

    market: dict[str, Any]
    """Fields of `TestServerSettings`, as far as they were given."""
    scenario: GivenScenario | None
    speed: Speed
    faults: tuple[FaultGiven, ...]

    @property
    def request(self) -> TestServerRequest:
        """What the server is asked for; the rest is begun over HTTP, when it serves."""
        return TestServerRequest(settings=dict(self.market))


def exchange(
    *,
    seed: int | None = None,
    symbols: Iterable[str] = (),
    scenario: str | PathLike[str] | None = None,
    speed: Speed = "step",
    start: Instant | None = None,
    limits: Literal["exchange", "off"] | Mapping[str, int] | None = None,
    faults: Iterable[FaultGiven] | FaultGiven = (),
    intensity: float | None = None,
    quoting: float | None = None,
    usdm_port: int = 0,
    coinm_port: int = 0,
) -> Exchange:
    """Return an exchange of its own for a test.  Use it with `with`, `async with`, or call `open`.

    It is a server of both venues on free ports of this machine, in a child process.  The same
    arguments give the same market, to the byte.  While it is open, proxies of the environment are told
    by `NO_PROXY` to leave loopback alone.

        with tickerplant.testing.exchange(seed=7, symbols=["BTCUSDT"]) as exchange:
            exchange.step("10s")

    Args:
        seed: Determines the market, together with `start` and `symbols`.
        symbols: Simulate only these; four if none is given.  Fewer start faster.
        scenario: What happens: a name of the library, a file, or the text of a scenario.
        speed: `step`: market time stands still but for `step`; or market seconds per second, where
            0 is as fast as the machine and the clients allow.
        start: The market time at which it starts; 2026-01-01 if missing.
        limits: `off` only counts what exceeds a limit; or numbers of limits by name, such as
            `{"request_weight_per_minute": 40}`.
        faults: Faults that are on from the beginning, as `--fault` takes them or as their fields.
        intensity: Multiplier for the order flow; a quarter of a usual market's if missing.
        quoting: How often makers quote, compared to a usual market, up to 1; a quarter if missing.
        usdm_port: Port of USDⓈ-M; 0 picks a free one.
        coinm_port: Port of COIN-M; 0 picks a free one.

    Raises:
        ConfigError: an argument is invalid.  What the server finds is raised when it is opened.
    """
    for name, port in (("usdm_port", usdm_port), ("coinm_port", coinm_port)):
        if not isinstance(port, int) or not 0 <= port < 1 << 16:
            raise ConfigError(name, port, "a port from 0 to 65535; 0 picks a free one")
    if usdm_port and usdm_port == coinm_port:
        raise ConfigError("coinm_port", coinm_port, "another port than usdm_port, or 0")
    if isinstance(limits, str) and limits not in {"exchange", "off"}:
        raise ConfigError("limits", limits, "exchange, off, or numbers of limits by name")
    if isinstance(speed, str) and speed != "step":
        raise ConfigError("speed", speed, "step, or market seconds per second")
    market = simulation_fields(
        seed=seed, symbols=symbols, start=start, intensity=intensity, quoting=quoting
    )
    others = {
        "limits": limits if isinstance(limits, str) else None,
        "limit_numbers": None if limits is None or isinstance(limits, str) else dict(limits),
        "usdm_port": usdm_port or None,
        "coinm_port": coinm_port or None,
    }
    settings = ExchangeSettings(
        market=market | {name: value for name, value in others.items() if value is not None},
        scenario=None if scenario is None else given_scenario(scenario),
        speed=speed if isinstance(speed, str) else speed_of(speed),
        faults=(faults,) if isinstance(faults, str | Mapping) else tuple(faults),
    )
    return Exchange(settings)


ARGUMENTS = tuple(signature(exchange).parameters)


def given_scenario(given: str | PathLike[str]) -> GivenScenario:
    """Return the scenario of a name, a file or a text.

    Raises:
        ConfigError: it is none of them, or a file that cannot be read.
    """
    if not isinstance(given, str | PathLike):
        raise ConfigError("scenario", given, "a name of the library, a file, or the text of one")
    text = fspath(given)
    if "\n" in text:
        return GivenScenario(text)
    if not isinstance(given, str) or text.endswith(".toml"):
        path = Path(text)
        try:
            return GivenScenario(path.read_text(encoding="utf-8"), path.name)
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            expected = f"a scenario that can be read ({reason}; the folder is {Path.cwd()})"
            raise ConfigError("scenario", text, expected) from None
    return GivenScenario(text)


class _Settling:
    """Whether and how often a step settles, until it is cancelled."""

    def __init__(self, at_end: bool = False, every: str | timedelta | None = None) -> None:
        self.every = every
        """The market time after which it settles; None: only at the end, if at all."""
        self.is_wanted = at_end or every is not None
        self.is_cancelled = False
        """Set by another thread."""


def _market_ms(name: str, given: object) -> int:
    """Return a duration of market time in whole milliseconds, rounded down as the clock does.

    Raises:
        ConfigError: it is none.
    """
    try:
        given_ns = (
            given // timedelta(microseconds=1) * 1_000
            if isinstance(given, timedelta)
            else parse_duration_ns(given)
            if isinstance(given, str)
            else 0
        )
    except ValueError:
        given_ns = 0
    if given_ns < NS_PER_MS:
        expected = "market time of 1ms or more, such as 100ms, 10s or a timedelta"
        raise ConfigError(name, given, expected)
    return given_ns // NS_PER_MS


def _unsettled_text(unsettled: Sequence[Mapping[str, Any]], timeout_s: float, now: datetime) -> str:
    who = count_text(len(unsettled), "connection")
    head = f"{who} not settled after {timeout_s:g} s of this machine, at market time {now:%FT%T.%f}"
    lines = [
        f"  {each['id']} {each['venue']} {', '.join(each['streams']) or 'no streams'}: {each['why']}"
        for each in unsettled[:SHOWN_UNSETTLED]
    ]
    if len(unsettled) > SHOWN_UNSETTLED:
        lines.append(f"  … and {len(unsettled) - SHOWN_UNSETTLED} more")
    return "\n".join([head, *lines])


class Exchange:
    """An exchange that a test can provoke; what `exchange` and the pytest fixture give.

    Its addresses are `usdm_url` and `coinm_url` (REST), `usdm_ws_url` and `coinm_ws_url` (streams).
    Its market stands still until `step`, unless `speed` says otherwise; connections, requests and
    subscriptions are served while it does.

    Calls are synchronous, and all but `step` and `wait_until` return within milliseconds.  Those two
    have a twin for tests in an event loop: `await exchange.astep("10s")` and
    `await exchange.await_until(…)`.
    """

    def __init__(self, settings: ExchangeSettings) -> None:
        self.settings = settings
        self._server = ServerProcess("the exchange")
        self._ready: Ready | None = None
        self._faults: deque[Fault] = deque(maxlen=REPORTED_FAULTS)
        self._own_ids: set[str] = set()
        """Faults and levers that were switched on here, and not by a scenario."""

    # From start to end

    def open(self) -> Self:
        """Start the exchange; return it when it serves.

        Raises:
            ConfigError: it cannot be served with these arguments, for example because of a port.
            UpstreamError: its process ended.
            RuntimeError: it is open.
        """
        if self.is_open:
            raise RuntimeError("the exchange is open already")
        settings = self.settings
        self._ready = self._server.start(settings.request)
        EXEMPTION.begin()
        try:
            for fault in settings.faults:
                self.fault(fault)
            if settings.scenario is not None:
                self._start(settings.scenario)
            if settings.speed != "step":
                self.set_speed(settings.speed)
        except BaseException:
            self.close()
            raise
        return self

    def close(self) -> None:
        """End the exchange, with all its connections.  Does nothing if it is closed.

        In a process that was forked from that which opened it, it only forgets it.
        """
        was_open, self._ready = self.is_open, None
        try:
            self._server.kill()
        finally:
            self._faults.clear()
            self._own_ids.clear()
            if was_open:
                EXEMPTION.end()

    @property
    def is_open(self) -> bool:
        """Whether it was opened, and not closed."""
        return self._ready is not None

    def __enter__(self) -> Self:
        return self.open()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            if isinstance(error, Exception) and self.is_open:
                error.add_note(self.report())
        finally:
            self.close()

    async def __aenter__(self) -> Self:
        running_loop("`async with exchange()`", "write `with exchange()`")
        return await asyncio.to_thread(self.open)

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.__exit__(kind, error, traceback)

    # Addresses

    @property
    def usdm_url(self) -> str:
        """The base URL of REST of USDⓈ-M, such as `http://127.0.0.1:40001`."""
        return self._address("usdm", "http")

    @property
    def coinm_url(self) -> str:
        """The base URL of REST of COIN-M."""
        return self._address("coinm", "http")

    @property
    def usdm_ws_url(self) -> str:
        """The base URL of streams of USDⓈ-M, such as `ws://127.0.0.1:40001`."""
        return self._address("usdm", "ws")

    @property
    def coinm_ws_url(self) -> str:
        """The base URL of streams of COIN-M."""
        return self._address("coinm", "ws")

    @property
    def ports(self) -> frozenset[int]:
        """The ports of both venues; empty while it is closed."""
        urls = (self.usdm_url, self.coinm_url) if self.is_open else ()
        return frozenset(int(each.rpartition(":")[2]) for each in urls)

    @property
    def is_running(self) -> bool:
        """Whether its process runs."""
        return self._server.is_running

    @property
    def pid(self) -> int | None:
        """The id of its process; None while it is closed."""
        return self._server.pid

    # Market time

    @property
    def time_ms(self) -> int:
        """Market time, ms since 1970."""
        return int(self._clock()["time_ms"])

    @property
    def now(self) -> datetime:
        """Market time, as a date in UTC."""
        return datetime.fromtimestamp(self.time_ms / 1_000, UTC)

    def step(
        self,
        by: str | timedelta,
        *,
        settle: bool = False,
        settle_every: str | timedelta | None = None,
        timeout_s: float | None = None,
    ) -> None:
        """Let the market go on by this much market time, as fast as it goes, and stand still again.

        When it returns, everything of that time has been sent; a client may still be reading it, unless
        the step settles, see `settle`.  A client that loses its connection in the step misses the rest
        of it, unless the step settles every now and then: the market then waits until the client is
        connected and subscribed again.

            exchange.step("10s")
            exchange.step("10s", settle_every="100ms")

        Args:
            by: Market time, such as `100ms`, `10s`, `5m` or a timedelta.
            settle: Whether to `settle` at the end.
            settle_every: Settle after each time of this length, and at the end.  There, the market also
                waits for each client whose connection the exchange has ended in the step (by a fault,
                a limit or its age) until it is connected with the same streams, or was refused.
            timeout_s: The longest wait, on the clock of this machine; None: a minute, and longer for
                steps of more than a minute.

        Raises:
            ConfigError: `by` or `settle_every` is no duration.
            RequestError: market time runs (call `pause` first), or another step is not done.
            RuntimeError: an event loop runs in this thread: write `await exchange.astep(…)`.
            TimeoutError: it is not done in time, or a client has not read everything or is not connected
                again after ten seconds; the message names the clients.
        """
        __tracebackhide__ = True
        check_no_loop("exchange.step()", f"await exchange.astep({by!r})")
        self._step(by, timeout_s, _Settling(settle, settle_every))

    async def astep(
        self,
        by: str | timedelta,
        *,
        settle: bool = False,
        settle_every: str | timedelta | None = None,
        timeout_s: float | None = None,
    ) -> None:
        """Do what `step` does in an event loop, whose clients read meanwhile.

        If it is cancelled, the market stands still where it is.

            await exchange.astep("10s")
        """
        __tracebackhide__ = True
        running_loop("exchange.astep()", _under_trio("step"))
        settling = _Settling(settle, settle_every)
        try:
            await asyncio.to_thread(self._step, by, timeout_s, settling)
        except asyncio.CancelledError:
            settling.is_cancelled = True
            with suppress(TickerplantError, RuntimeError):  # closed, or at its end
                self._end_step()  # or the thread, and with it the end of the loop, waits for it
            raise

    def settle(self, *, timeout_s: float = SETTLE_TIMEOUT_S) -> None:
        """Return when all clients have read what was sent to them.

        Each connection gets a ping, and the pong of a client says that its library has received all
        that was sent before.  Handlers of the program may run after that: wait for what they do with
        `wait_until`, best for a later message.  Where a fault such as `stall` holds back what is sent,
        the bytes that were sent before must have been read from the socket.

            exchange.step("10s")
            exchange.settle()
            assert bot.orders == []

        Args:
            timeout_s: The longest wait, on the clock of this machine.

        Raises:
            RuntimeError: an event loop runs in this thread: write `await exchange.asettle()`.
            TimeoutError: a client has not read everything in time; the message names each, with its
                streams and what it has not read.
        """
        __tracebackhide__ = True
        check_no_loop("exchange.settle()", "await exchange.asettle()")
        self._settle(timeout_s, None, _Settling())

    async def asettle(self, *, timeout_s: float = SETTLE_TIMEOUT_S) -> None:
        """Do what `settle` does in an event loop, whose clients read meanwhile."""
        __tracebackhide__ = True
        running_loop("exchange.asettle()", _under_trio("settle"))
        settling = _Settling()
        try:
            await asyncio.to_thread(self._settle, timeout_s, None, settling)
        except asyncio.CancelledError:
            settling.is_cancelled = True
            raise

    def set_speed(self, speed: float) -> None:
        """Let market time run.

        Args:
            speed: Market seconds per second; 0 is as fast as the machine and the clients allow.

        Raises:
            ConfigError: it is out of bounds.
        """
        __tracebackhide__ = True
        self._server.ask(lambda it: it.set_clock(speed=speed_of(speed), paused=False))

    def pause(self) -> None:
        """Let market time stand still."""
        self._server.ask(lambda it: it.set_clock(paused=True))

    def wait_until(
        self,
        condition: Callable[[], object],
        *,
        timeout_s: float = WAIT_TIMEOUT_S,
        message: str = "",
    ) -> None:
        """Return when a condition is true, for example that a client in a thread has read something.

            exchange.wait_until(lambda: bot.book is not None)

        Args:
            condition: Called until it returns something true.
            timeout_s: The longest wait, on the clock of this machine.
            message: What is waited for, for the error.

        Raises:
            TimeoutError: it is not true in time.
            RuntimeError: an event loop runs in this thread: write `await exchange.await_until(…)`.
        """
        __tracebackhide__ = True
        check_no_loop("exchange.wait_until()", "await exchange.await_until(…)")
        for pause_s in until(condition, timeout_s, lambda: self._waited(timeout_s, message)):
            Original.sleep(pause_s)

    async def await_until(
        self,
        condition: Callable[[], object],
        *,
        timeout_s: float = WAIT_TIMEOUT_S,
        message: str = "",
    ) -> None:
        """Do what `wait_until` does in an event loop, whose clients read meanwhile."""
        __tracebackhide__ = True
        loop = running_loop("exchange.await_until()", _under_trio("wait_until"))
        began_s = loop.time()

        def failure() -> str:
            stands = "" if loop.time() > began_s else FROZEN_LOOP
            return f"{self._waited(timeout_s, message)}{stands}"

        for pause_s in until(condition, timeout_s, failure):
            # A test may have replaced `asyncio.sleep`, or stopped the clock of the loop.
            await loop.run_in_executor(None, Original.sleep, pause_s)

    # What goes wrong, and what happens

    def fault(self, kind: FaultGiven, **parameters: Any) -> Fault:
        """Let the exchange misbehave from now on, or as the parameters say.

        Leave `with`, or call `remove`, and it behaves again.

            with exchange.fault("drop", stream="btcusdt@depth*", once=True) as hole:
                exchange.step("5s")
            assert hole.hits == 1

        Args:
            kind: A name of the reference of faults; or all of it, as `--fault` takes it or as a dict.
            parameters: Parameters, aim and window of the fault.  Write `for_` for `for`, which is a
                keyword of Python.

        Raises:
            ConfigError: there is no such fault, or a parameter cannot be used.
        """
        __tracebackhide__ = True
        is_whole = not isinstance(kind, str) or "=" in kind or " " in kind
        if is_whole and parameters:
            raise ConfigError("kind", kind, "the name of a fault, because parameters follow")
        if isinstance(kind, str):
            given = {"text": kind} if is_whole else {"kind": kind, **parameters_of(parameters)}
        else:
            given = dict(kind)
        fault = Fault(self._server, self._server.ask(lambda it: it.add_fault(given)))
        self._faults.append(fault)
        self._own_ids.add(fault.id)
        return fault

    def scenario(self, given: str | PathLike[str]) -> Scenario:
        """Start a scenario at the present market time; leave `with`, or call `stop`, to end it.

            exchange.scenario("flash-crash")
            exchange.step("2m")

        Args:
            given: A name of the library, a file, or the text of a scenario.

        Raises:
            ConfigError: there is no such scenario, or there is a mistake in it.
        """
        __tracebackhide__ = True
        return self._start(given_scenario(given))

    def lever(self, market: str, **parameters: Any) -> Lever:
        """Change the simulated market from now on; leave `with`, or call `release`, to end it.

            exchange.lever("shock", symbols=["BTCUSDT"], move=-0.12, over="40s")

        Args:
            market: A name of the reference of levers.
            parameters: Its parameters.  Write `for_` for `for`, which is a keyword of Python.

        Raises:
            ConfigError: there is no such lever, or a parameter cannot be used.
        """
        __tracebackhide__ = True
        fields = {"market": market, **parameters_of(parameters)}
        lever = Lever(self._server, self._server.ask(lambda it: it.pull_lever(fields)))
        self._own_ids.add(lever.id)
        return lever

    def never_happened(self) -> list[str]:
        """Return the faults of this handle that were added and have not happened, a sentence each.

        The last ones, those that were removed included; those of scenarios are not among them.
        """
        self._note_faults()
        return [
            f"the fault {each.text} {each.happened}" for each in self._faults if not each.is_hit
        ]

    def forget_faults(self) -> None:
        """Let `never_happened` and `report` be about faults that are added from now on."""
        self._faults.clear()

    def clear(self) -> None:
        """Remove all faults, stop all scenarios and release all levers."""
        self._note_faults()
        self._server.ask(lambda it: it.remove_fault())
        self._server.ask(lambda it: it.stop_scenario())
        self._server.ask(lambda it: it.release_lever())

    def disconnect(self, connection: str) -> None:
        """Close a connection, by its id in `connections`.

        Raises:
            RequestError: there is no such connection.
        """
        __tracebackhide__ = True
        self._server.ask(lambda it: it.close_connection(connection))

    # What is

    def connections(self) -> list[dict[str, Any]]:
        """Return the open connections, as `/plant/v1/connections` lists them."""
        return list(self._server.ask(lambda it: it.connections())["connections"])

    def limits(self, venue: VenueName = "usdm") -> dict[str, Any]:
        """Return how close clients came to the limits of a venue, as `/plant/v1/limits` says it.

        Raises:
            ConfigError: there is no such venue.
        """
        __tracebackhide__ = True
        if venue not in VENUE_NAMES:
            raise ConfigError("venue", venue, one_of(str(venue), VENUE_NAMES))
        return dict(self._server.ask(lambda it: it.limits(), venue))

    @property
    def truth(self) -> Truth:
        """What really was: books, trades, and what was sent to each connection."""
        return Truth(self._server)

    def rules(self) -> dict[str, str]:
        """Return the faults, scenarios and levers that wait or are on, by id, each in words.

        What a scenario has switched on is part of it.
        """
        server = self._server
        found = [
            *((each, f"the fault {each['text']}") for each in server.faults()),
            *((each, f"the scenario {each['name']}") for each in server.scenarios()),
            *((each, f"the lever {each['market']}") for each in server.levers()),
        ]
        return {
            each["id"]: text
            for each, text in found
            if each["state"] not in OVER and not self._is_of_scenario(each["id"])
        }

    def put_back(self, before: Mapping[str, str], silent: Collection[str] = ()) -> list[str]:
        """Switch off what was switched on since, and let the clock run or stand as at the beginning.

        A step that is under way ends where it is.

        Args:
            before: What `rules` returned then.
            silent: Ids of what may be on without being reported.

        Returns:
            What was on, a sentence each.
        """
        left = []
        if self._clock()["pending"]:
            self._end_step()
            left.append("left a step under way; it was ended")
        for kind in SWITCHED_OFF:
            for rule, text in self.rules().items():
                if rule in before or not rule.startswith(kind):
                    continue
                self._switch_off(rule)
                if rule not in silent:
                    left.append(f"left {text} on; it was removed")
        clock, speed = self._clock(), self.settings.speed
        if clock["paused"] != (speed == "step"):
            if speed == "step":
                self.pause()
                left.append("left market time running; it stands still again")
            else:
                self.set_speed(speed)
                left.append("left market time paused; it runs again")
        return left

    def _is_of_scenario(self, rule: str) -> bool:
        is_own = rule in self._own_ids or rule.startswith("s")
        return not is_own and bool(self._server.scenarios())

    def report(self) -> str:
        """Return what helps to understand a failed test: addresses, market time, what is on, the log.

        It never raises: it says what it could not ask, and why.
        """
        if not self.is_open:
            return "the exchange is closed"
        lines = [
            f"USDⓈ-M  {self.usdm_url}  {self.usdm_ws_url}",
            f"COIN-M  {self.coinm_url}  {self.coinm_ws_url}",
        ]
        for part in (self._clock_lines, self._what_is_on, proxy_lines, self._log_lines):
            lines += asked(part)
        return "\n".join(dict.fromkeys(lines))

    def _clock_lines(self) -> list[str]:
        clock = self._clock()
        how = "stands still" if clock["paused"] else f"runs at speed {clock['speed']:g}"
        how = "in a step" if clock["pending"] else how
        return [f"market time  {iso_text(clock['time_ms'] * NS_PER_MS)}, {how}"]

    def _log_lines(self) -> list[str]:
        log = self._server.log_lines(LOG_LINES)
        return ["log:", *(f"  {line}" for line in log)] if log else ["log: empty"]

    def _note_faults(self) -> None:
        """Let the handles know how often each fault has happened until now."""
        if any(not each.is_removed for each in self._faults):
            rows = {each["id"]: each for each in self._server.faults()}
            for each in self._faults:
                each.note(rows)

    def _what_is_on(self) -> list[str]:
        self._note_faults()
        lines = [
            f"fault  {each['text']}  ({each['state']}, {Fault(self._server, each).happened})"
            for each in self._server.faults()
        ]
        lines += [
            f"fault  {each.text}  (removed, {each.happened})"
            for each in self._faults
            if each.is_removed
        ]
        lines += [
            f"scenario  {each['name']}  ({each['state']})" for each in self._server.scenarios()
        ]
        for each in self.connections():
            streams = ", ".join(each["streams"]) or "no streams"
            waiting = f"; {each['unsent_bytes']:,} bytes unread" if each["unsent_bytes"] else ""
            lines.append(
                f"connection  {each['id']} {each['venue']} {each['kind']}: {streams}{waiting}"
            )
        return lines

    def __getstate__(self) -> object:
        if self.is_open:
            raise TypeError("an open exchange stays in its process: give others its addresses")
        return super().__getstate__()

    def __repr__(self) -> str:
        where = f"{self.usdm_url} {self.coinm_url}" if self.is_open else "closed"
        return f"<Exchange {where}>"

    # Requests

    def _address(self, venue: str, scheme: str) -> str:
        if self._ready is None:
            raise RuntimeError(CLOSED)
        streams = self._ready.venues[venue].streams
        return f"{scheme}://{streams.partition('://')[2]}"

    def _clock(self) -> dict[str, Any]:
        return dict(self._server.ask(lambda it: it.clock()))

    def _start(self, given: GivenScenario) -> Scenario:
        __tracebackhide__ = True
        return Scenario(self._server, self._server.ask(lambda it: it.start_scenario(*given)))

    def _switch_off(self, rule: str) -> None:
        """Remove a fault, stop a scenario or release a lever; its id tells which it is."""
        match rule[0]:
            case "f":
                self._note_faults()
                self._server.ask(lambda it: it.remove_fault(rule))
            case "s":
                self._server.ask(lambda it: it.stop_scenario(rule))
            case _:
                self._server.ask(lambda it: it.release_lever(rule))

    def _step(self, by: str | timedelta, timeout_s: float | None, settling: _Settling) -> None:
        __tracebackhide__ = True
        left_ms = _market_ms("by", by)
        every = settling.every
        part_ms = left_ms if every is None else _market_ms("settle_every", every)
        wait_s = timeout_s
        if wait_s is None:
            wait_s = min(STEP_TIMEOUT_S + left_ms / 1_000 * STEP_TIMEOUT_SHARE, LONGEST_WAIT_S)
        until_s = Original.monotonic() + wait_s
        cut_after_ms = None if every is None else self.time_ms
        while left_ms and not settling.is_cancelled:
            part_ms = min(part_ms, left_ms)
            self._step_part(by, part_ms, wait_s, until_s)
            left_ms -= part_ms
            if settling.is_wanted:
                left_s = max(0.0, until_s - Original.monotonic())
                self._settle(min(SETTLE_TIMEOUT_S, left_s), cut_after_ms, settling)

    def _step_part(self, by: object, part_ms: int, wait_s: float, until_s: float) -> None:
        """Make a step, or a part of one, until `until_s` of the machine's clock."""
        __tracebackhide__ = True
        left_s = max(0.0, until_s - Original.monotonic())
        state = self._server.ask(lambda it: it.step(f"{part_ms}ms", wait_s=left_s))
        if state["pending"]:
            raise TimeoutError(
                f"a step of {by} is not done after {wait_s:g} s of this machine; the market has come to "
                f"{state['time']}{self._unread()}"
            )

    def _settle(self, timeout_s: float, cut_after_ms: int | None, settling: _Settling) -> None:
        __tracebackhide__ = True
        until_s = Original.monotonic() + timeout_s
        while not settling.is_cancelled:
            left_s = max(0.0, until_s - Original.monotonic())
            wait_s = min(left_s, LONGEST_QUESTION_S)
            page = self._server.ask(
                lambda it: it.settle(wait_s=wait_s, cut_after_ms=cut_after_ms)  # noqa: B023
            )
            if page["settled"]:
                return
            if wait_s == left_s:
                raise TimeoutError(_unsettled_text(page["unsettled"], timeout_s, self.now))

    def _end_step(self) -> None:
        self._server.ask(lambda it: it.set_clock(seek="+0s"))

    def _unread(self) -> str:
        """Return which clients hold up the market, as the end of a sentence."""
        behind = [each for each in self.connections() if each["unsent_bytes"]]
        if not behind:
            return ""
        named = ", ".join(f"{each['id']} ({each['unsent_bytes']:,} bytes)" for each in behind[:3])
        return (
            f": the market waits for clients that do not read: {named}; read them in a thread or in an "
            "event loop, close them, or call `exchange.disconnect(…)`"
        )

    def _waited(self, timeout_s: float, message: str) -> str:
        what = message or "the condition of exchange.wait_until()"
        still = ""
        if self._clock()["paused"]:
            still = (
                "; market time stands still, and with it lifetimes, limits and bans: step first?"
            )
        still += "".join(f"; {each}" for each in proxy_lines())
        return f"{what}: not true after {timeout_s:g} s of this machine{still}{self._unread()}"


def _under_trio(name: str) -> str:
    return f"under trio, write `await trio.to_thread.run_sync(exchange.{name}, …)`"
