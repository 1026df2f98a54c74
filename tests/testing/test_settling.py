"""What a test learns of its clients: whether they have read what was sent, and are connected again."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial

import pytest
from connecting import connect as connect_async
from connecting import connect_blocking as connect
from loopback import UPGRADE, looped_on_sockets
from programs import PATIENCE_S
from websockets.exceptions import WebSocketException

from tickerplant import testing
from tickerplant.errors import ConfigError
from tickerplant.testing import Exchange

pytestmark = [pytest.mark.sockets, pytest.mark.heavy]

TRADES = "btcusdt@trade"


@pytest.fixture
def exchange() -> Iterator[Exchange]:
    with testing.exchange(seed=7, symbols=["BTCUSDT"], quoting=0.05) as opened:
        yield opened


class Bot:
    """Counts trades in a thread, and connects again when it is cut.

    Args:
        exchange: Where it connects.
        again_after_s: How long it waits before it connects again; None: it does not.
    """

    def __init__(self, exchange: Exchange, again_after_s: float | None) -> None:
        self.trades: list[int] = []
        self.connected = 0
        self._url = f"{exchange.usdm_ws_url}/ws/{TRADES}"
        self._again_after_s = again_after_s
        self._is_stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        exchange.wait_until(lambda: self.connected)

    def _run(self) -> None:
        while not self._is_stopped.is_set():
            with (
                suppress(OSError, WebSocketException),
                connect(self._url, max_queue=1) as self._socket,
            ):
                self.connected += 1
                if self._is_stopped.is_set():
                    return  # whoever stops it has closed the connection before this one
                for text in self._socket:
                    self.trades.append(json.loads(text)["t"])
            if self._again_after_s is None:
                return
            self._is_stopped.wait(self._again_after_s)

    def stop(self) -> None:
        self._is_stopped.set()
        self._socket.close()
        self._thread.join(PATIENCE_S)


@contextmanager
def bot_at(exchange: Exchange, *, again_after_s: float | None = 0.1) -> Iterator[Bot]:
    bot = Bot(exchange, again_after_s)
    try:
        yield bot
    finally:
        bot.stop()


@contextmanager
def deaf_client(exchange: Exchange, path: str = f"/ws/{TRADES}") -> Iterator[socket.socket]:
    """A client that reads the handshake and nothing else."""
    host, _, port = exchange.usdm_url.rpartition("/")[2].partition(":")
    with socket.create_connection((host, int(port))) as sock:
        sock.sendall(UPGRADE.format(path=path).encode())
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            byte = sock.recv(1)
            assert byte, "the exchange has closed the connection before its answer"
            head += byte
        yield sock


def has_read(bot: Bot, trade_id: int) -> bool:
    return bot.trades[-1:] == [trade_id]


def true_ids(exchange: Exchange) -> list[int]:
    return [each["id"] for each in exchange.truth.trades("BTCUSDT")]


def handle(sock: socket.socket, handled: list[int], may_begin: threading.Event) -> None:
    """Handle each message before the next frame is read, and answer pings in their turn."""
    may_begin.wait(PATIENCE_S)
    with suppress(OSError), sock.makefile("rb") as frames:
        while head := frames.read(2):
            size = int.from_bytes(frames.read(2)) if head[1] == 126 else head[1]
            payload = frames.read(size)
            if head[0] == 0x81:
                handled.append(json.loads(payload)["t"])
            elif head[0] == 0x89:
                sock.sendall(bytes([0x8A, 0x80 | size, 0, 0, 0, 0]) + payload)


def test_a_slow_client_has_read_everything_when_it_has_settled(exchange: Exchange) -> None:
    before, handled, may_begin = set(true_ids(exchange)), list[int](), threading.Event()
    with deaf_client(exchange) as sock:
        reader = threading.Thread(target=handle, args=(sock, handled, may_begin))
        reader.start()
        exchange.step("30s")
        new = [each for each in true_ids(exchange) if each not in before]
        assert handled == [] != new, "a claim about the client is worth nothing yet"
        may_begin.set()
        exchange.settle()
        assert handled == new
        sock.shutdown(socket.SHUT_RDWR)
        reader.join(PATIENCE_S)


@pytest.mark.slow("a wait of the machine's time ends")
def test_who_has_not_read_is_named_with_what_is_left(exchange: Exchange) -> None:
    with deaf_client(exchange), bot_at(exchange) as bot:
        exchange.step("10s", settle=False)
        with pytest.raises(TimeoutError) as late:
            exchange.settle(timeout_s=0.3)
        said = str(late.value)
        assert said.startswith(
            "1 connection not settled after 0.3 s of this machine, at market time "
            "2026-01-01T00:00:10.000000\n"
        )
        assert f"  c1 usdm {TRADES}: its client has not read " in said
        with pytest.raises(TimeoutError, match="not settled"):
            exchange.step("1s", settle=True, timeout_s=1)
        assert bot.connected == 1
    exchange.settle()


@pytest.mark.slow("a wait of the machine's time ends")
def test_a_client_that_answers_no_ping_is_told_from_one_that_does_not_read(
    exchange: Exchange,
) -> None:
    with deaf_client(exchange, "/ws") as sock:
        reading = threading.Thread(target=lambda: sock.recv(100))
        reading.start()
        with pytest.raises(TimeoutError, match="c1 usdm no streams: its client answers no ping"):
            exchange.settle(timeout_s=1)
        reading.join(PATIENCE_S)


def test_a_fault_that_holds_everything_back_is_not_waited_for(exchange: Exchange) -> None:
    with bot_at(exchange) as bot, exchange.fault("stall"):
        exchange.step("10s", settle=True)
        assert bot.trades == []
    with deaf_client(exchange):
        exchange.step("10s")
        with exchange.fault("stall"), pytest.raises(TimeoutError, match="has not read"):
            exchange.settle(timeout_s=0.3)


def test_settling_counts_for_no_limit(exchange: Exchange) -> None:
    with connect(f"{exchange.usdm_ws_url}/ws-fapi/v1") as api:
        for _ in range(20):  # more pongs than a WebSocket API client may send
            exchange.settle()
        api.send(json.dumps({"id": 1, "method": "time"}))
        assert json.loads(api.recv(PATIENCE_S))["status"] == 200


def test_a_client_that_is_cut_is_waited_for_after_each_slice(exchange: Exchange) -> None:
    before = set(true_ids(exchange))
    for kind in ("close", "reset"):
        with bot_at(exchange) as bot:
            exchange.fault(kind, at="+2s", once=True)
            exchange.step("4s", settle_every="100ms")
            cut_ms = exchange.time_ms - 2_000
            exchange.wait_until(partial(has_read, bot, true_ids(exchange)[-1]))
            assert bot.connected == 2
            true = [each for each in exchange.truth.trades("BTCUSDT") if each["id"] not in before]
            missed = [each["time"] for each in true if each["id"] not in bot.trades]
            assert all(cut_ms <= each <= cut_ms + 100 for each in missed), f"{kind}: {missed}"
            before = set(true_ids(exchange))


def test_without_slices_a_step_is_over_before_a_client_is_back(exchange: Exchange) -> None:
    with bot_at(exchange, again_after_s=PATIENCE_S) as bot:
        exchange.fault("close", at="+2s", once=True)
        exchange.step("10s", settle=True)
        assert bot.connected == 1
        assert true_ids(exchange)[-1] not in bot.trades


@pytest.mark.slow("a wait of the machine's time ends")
def test_a_client_that_does_not_come_back_is_named_once(exchange: Exchange) -> None:
    with bot_at(exchange, again_after_s=None) as bot:
        began_ms = exchange.time_ms
        exchange.fault("close", at="+1s", once=True)
        with pytest.raises(
            TimeoutError,
            match=f"c1 usdm {TRADES}: the server has ended it \\(fault\\), and its client has not",
        ):
            exchange.step("10s", settle_every="500ms", timeout_s=2)
        assert exchange.time_ms <= began_ms + 1_500, "the market stands where it was lost"
        exchange.step("10s", settle_every="5s")
        assert bot.connected == 1


def test_a_client_that_is_refused_is_not_in_the_way_of_the_market(exchange: Exchange) -> None:
    with bot_at(exchange, again_after_s=0.01) as bot:
        exchange.fault("maintenance", at="+1s", for_="5s")
        exchange.step("10s", settle_every="500ms")
        exchange.wait_until(partial(has_read, bot, true_ids(exchange)[-1]))
        assert bot.connected == 2


@looped_on_sockets
async def test_a_coroutine_settles_while_its_clients_read(exchange: Exchange) -> None:
    async with connect_async(f"{exchange.usdm_ws_url}/ws/{TRADES}") as client:
        seen: list[str] = []

        async def read() -> None:
            seen.extend([str(text) async for text in client])

        reader = asyncio.create_task(read())
        await exchange.astep("10s", settle_every="1s")
        await exchange.asettle()
        with pytest.raises(RuntimeError, match=r"`await exchange\.asettle\(\)`"):
            exchange.settle()
        await client.close()
        await reader
        assert len(seen) > 10


@pytest.mark.slow("it is cancelled after a time of the machine")
def test_a_step_in_slices_that_is_cancelled_ends_where_it_is(exchange: Exchange) -> None:
    async def cancelled() -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(exchange.astep("24h", settle_every="1s"), 0.3)

    asyncio.run(cancelled())
    stopped_ms = exchange.time_ms
    exchange.step("1s")
    assert exchange.time_ms == stopped_ms + 1_000


def test_slices_change_nothing_of_the_market() -> None:
    def trades(settle_every: str | None) -> list[dict[str, object]]:
        with testing.exchange(seed=7, symbols=["BTCUSDT"], quoting=0.05) as exchange:
            exchange.step("3s", settle_every=settle_every)
            return exchange.truth.trades("BTCUSDT")

    assert trades(None) == trades("700ms") != []


def test_no_duration_of_slices_is_refused(exchange: Exchange) -> None:
    with pytest.raises(ConfigError, match="'soon' for settle_every: expected market time of 1ms"):
        exchange.step("1s", settle_every="soon")
