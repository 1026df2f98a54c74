"""What clients are sent: a mix of messages, and a server that sends it as fast as sockets take it.

The messages are those of a plant with ten symbols, in the order in which it sends them: ids rise as
they should, and a client that looks for gaps finds none.
"""

from __future__ import annotations

import base64
import hashlib
import re
import socket
import threading
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import islice
from multiprocessing.connection import Connection
from random import Random
from types import TracebackType
from typing import BinaryIO, Self
from urllib.parse import unquote

import msgspec
from msgspec import Struct

from benchmarks.frames import text_spans
from benchmarks.machine import RECEIVER_CORE, pin, processes, unpace
from benchmarks.peers.streams import STREAMS, SYMBOLS
from tickerplant.events import BookSnapshot, BookTicker, DepthUpdate, Event, MarkPrice, Trade
from tickerplant.frames import text_frame
from tickerplant.instrument import Instrument
from tickerplant.plant import Plant
from tickerplant.profile import CURRENT
from tickerplant.simulation.instruments import instruments
from tickerplant.venue import USDM

START_MS = 1_772_323_200_000
"""2026-03-01 00:00 UTC; any moment would do."""

# What happens to every symbol in eight seconds, from which 100 messages follow: tickers come every
# two seconds, candles and depth every quarter of a second in which something happened.
CYCLE_MS = 8_000
QUARTER_MS = 250
QUOTES = 50
MARK_MS = 2_000
DEPTH_QUARTERS = (0, 3, 6, 9, 12, 16, 19, 22, 25, 28)
"""Quarters of a second in which the book changes."""
TRADE_QUARTERS = (1, 5, 10, 15, 20, 24, 29)
"""Quarters of a second with trades."""
TRADES = 25
STAGGER_MS = 7
"""So much later than the symbol before."""

LEVELS = 50
CHANGED_LEVELS = 5

PIECE_BYTES = 1 << 18
"""Sent by one call."""
PAUSE_S = 0.3
"""Between the last subscription and the first message."""
PATIENCE_S = 60.0

_HEAD = b'{"stream":"'
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_KEY = re.compile(rb"^sec-websocket-key:\s*(\S+)", re.IGNORECASE | re.MULTILINE)
_CLOSE, _PING, _PONG, _TEXT = 0x8, 0x9, 0xA, 0x1


# The messages


class Message(Struct, frozen=True):
    """One message as frames: in its envelope, and without."""

    stream: str
    combined: bytes
    raw: bytes


class _Recorder:
    """A subscriber that keeps the messages it is sent, of the mark prices every second one."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self._marks: Counter[str] = Counter()

    def write(self, data: bytes) -> None:
        begun = 0
        for begin, end in text_spans(data)[0]:
            name_end = data.index(b'"', begin + len(_HEAD))
            name = data[begin + len(_HEAD) : name_end].decode()
            if self._wanted(name):
                raw = data[name_end + len(b'","data":') : end - 1]
                self.messages.append(Message(name, data[begun:end], text_frame(raw)))
            begun = end

    def _wanted(self, name: str) -> bool:
        """Return whether a message is kept: mark prices come twice as often as the mix has them."""
        if not name.endswith("@markPrice@1s"):
            return True
        self._marks[name] += 1
        return self._marks[name] % 2 == 1


def messages(count: int) -> list[Message]:
    """Return so many messages, in the shares of the mix."""
    traded = instruments(START_MS, SYMBOLS)
    plant = Plant(traded, start_ms=START_MS, profile=CURRENT)
    hub, recorder = plant.hubs[USDM.name], _Recorder()
    for instrument in traded:
        plant.publish(_book(instrument))
    hub.set_combined(recorder, True)
    hub.subscribe(recorder, STREAMS)
    happening = _events(traded)
    while len(recorder.messages) < count:
        for time_ms, event in islice(happening, 1_000):
            plant.advance_before(time_ms)
            plant.publish(event)
        hub.flush()
    return recorder.messages[:count]


def shares(sent: Iterable[Message]) -> dict[str, float]:
    """Return the share of each channel in the messages."""
    channels = Counter(message.stream.partition("@")[2] for message in sent)
    return {channel: count / channels.total() for channel, count in channels.most_common()}


def _book(instrument: Instrument) -> BookSnapshot:
    middle, tick, step = _middle(instrument), instrument.tick_size, instrument.step_size
    bids = [(middle - tick * (n + 1), step * (100 + n)) for n in range(LEVELS)]
    asks = [(middle + tick * (n + 1), step * (100 + n)) for n in range(LEVELS)]
    return BookSnapshot(instrument.symbol, 1, bids, asks, START_MS)


def _middle(instrument: Instrument) -> int:
    tick = instrument.tick_size
    return instrument.max_price // 60 // tick * tick


def _events(traded: Iterable[Instrument]) -> Iterator[tuple[int, Event]]:
    """Yield, without end, what happens and when."""
    random = Random(1)
    makers = [_Maker(each, random) for each in traded]
    planned = sorted(
        (offset_ms + STAGGER_MS * index, what, index)
        for index in range(len(makers))
        for offset_ms, what in _plan()
    )
    begin_ms = START_MS
    while True:
        for offset_ms, what, index in planned:
            time_ms = begin_ms + offset_ms
            yield time_ms, makers[index].make(what, time_ms)
        begin_ms += CYCLE_MS


def _plan() -> Iterator[tuple[int, str]]:
    """Yield what happens to one symbol in one cycle, and when."""
    for offset_ms in range(0, CYCLE_MS, MARK_MS):
        yield offset_ms, "mark"
    for number in range(QUOTES):
        yield number * CYCLE_MS // QUOTES, "quote"
    for quarter in DEPTH_QUARTERS:
        yield quarter * QUARTER_MS + 20, "depth"
    for number in range(TRADES):
        quarter = TRADE_QUARTERS[number % len(TRADE_QUARTERS)]
        yield quarter * QUARTER_MS + 10 + 30 * (number // len(TRADE_QUARTERS)), "trade"


class _Maker:
    """Makes the events of one symbol."""

    def __init__(self, instrument: Instrument, random: Random) -> None:
        self._symbol = instrument.symbol
        self._middle, self._tick = _middle(instrument), instrument.tick_size
        self._step = instrument.step_size
        self._mark_unit = 10 ** (8 - instrument.price.decimals)
        self._random = random
        self._update_id = 1
        self._depth_id = 1
        self._trade_id = 0

    def make(self, what: str, time_ms: int) -> Event:
        return getattr(self, f"_{what}")(time_ms)  # type: ignore[no-any-return]

    def _quantity(self) -> int:
        return self._step * self._random.randrange(1, 50_000)

    def _quote(self, time_ms: int) -> BookTicker:
        self._update_id += self._random.randrange(1, 20)
        bid = self._middle - self._tick * self._random.randrange(1, 20)
        quantities = self._quantity(), self._quantity()
        return BookTicker(
            self._symbol, self._update_id, bid, quantities[0], bid + self._tick, quantities[1], time_ms
        )  # fmt: skip

    def _depth(self, time_ms: int) -> DepthUpdate:
        previous_id = self._depth_id
        self._update_id += self._random.randrange(1, 20)
        self._depth_id = self._update_id
        bids, asks = (
            [
                (self._middle + side * self._tick * n, self._quantity())
                for n in sorted(self._random.sample(range(1, LEVELS), CHANGED_LEVELS))
            ]
            for side in (-1, 1)
        )
        return DepthUpdate(
            self._symbol, previous_id + 1, self._depth_id, previous_id, bids, asks, time_ms
        )

    def _trade(self, time_ms: int) -> Trade:
        self._trade_id += 1
        # Prices go up and down, so that no two trades make one aggregate.
        price = self._middle + self._tick * (self._random.randrange(5) * 2 + self._trade_id % 2)
        return Trade(
            self._symbol, self._trade_id, price, self._quantity(), self._random.random() < 0.5, time_ms
        )  # fmt: skip

    def _mark(self, time_ms: int) -> MarkPrice:
        mark = (self._middle + self._tick * self._random.randrange(-20, 20)) * self._mark_unit
        hour_ms = (time_ms // 3_600_000 + 1) * 3_600_000
        return MarkPrice(self._symbol, mark, mark + 1, mark + 2, 10_000, hour_ms, time_ms)


# The server


class Load:
    """The other process, which sends the messages to whoever subscribes to all streams; a context.

    A client may do so on one connection or on several, by path or by SUBSCRIBE.  Each connection is
    sent the messages of its own streams.

    Args:
        count: How many messages a client is sent.
    """

    def __init__(self, count: int) -> None:
        context = processes()
        self._connection, remote = context.Pipe()
        self._process = context.Process(target=_serve, args=(remote, count), daemon=True)
        self.url = ""
        self.shares: dict[str, float] = {}
        """The share of each channel in the messages."""
        self.mean_bytes = 0.0
        """Mean size of a message in its envelope."""

    def __enter__(self) -> Self:
        self._process.start()
        if not self._connection.poll(PATIENCE_S):
            raise TimeoutError("no messages were made")
        port, self.shares, self.mean_bytes = self._connection.recv()
        self.url = f"ws://127.0.0.1:{port}"
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._process.terminate()
        self._process.join()


def _serve(remote: Connection, count: int) -> None:
    """Send `count` messages to every client that comes."""
    pin(RECEIVER_CORE)
    sent = messages(count)
    round_ = _Round(sent)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        unpace(listener)
        mean_bytes = sum(len(message.combined) for message in sent) / count
        remote.send((listener.getsockname()[1], shares(sent), mean_bytes))
        while True:
            sock, _ = listener.accept()
            threading.Thread(target=_Conversation(sock, round_).hold, daemon=True).start()


class _Round:
    """The conversations of one client, which are all sent to when all streams are subscribed."""

    def __init__(self, sent: list[Message]) -> None:
        self._sent = sent
        self._lock = threading.Lock()
        self._waiting: list[_Conversation] = []
        self._pieces: dict[tuple[frozenset[str], bool], list[bytes]] = {}

    def join(self, conversation: _Conversation) -> None:
        """Begin to send if nothing is missing now that `conversation` has new streams."""
        with self._lock:
            if conversation not in self._waiting:
                self._waiting.append(conversation)
            if not set(STREAMS) <= {name for each in self._waiting for name in each.streams}:
                return
            ready, self._waiting = self._waiting, []
            prepared = [(each, self._prepare(each)) for each in ready]
        for each, pieces in prepared:
            threading.Timer(PAUSE_S, each.send_all, [pieces]).start()

    def leave(self, conversation: _Conversation) -> None:
        """Expect nothing more of a conversation that ended."""
        with self._lock:
            if conversation in self._waiting:
                self._waiting.remove(conversation)

    def _prepare(self, conversation: _Conversation) -> list[bytes]:
        key = frozenset(conversation.streams), conversation.combined
        if key not in self._pieces:
            self._pieces[key] = list(_pieces(self._sent, *key))
        return self._pieces[key]


def _pieces(sent: Iterable[Message], names: frozenset[str], combined: bool) -> Iterator[bytes]:
    """Yield the frames of the streams `names`, many at a time."""
    piece = bytearray()
    for message in sent:
        if message.stream in names:
            piece += message.combined if combined else message.raw
            if len(piece) >= PIECE_BYTES:
                yield bytes(piece)
                piece.clear()
    yield bytes(piece)


class _Conversation:
    """One connection: a handshake, subscriptions, and then messages until there are no more."""

    def __init__(self, sock: socket.socket, round_: _Round) -> None:
        self.streams: set[str] = set()
        self.combined = True
        self._sock = sock
        self._round = round_
        self._lock = threading.Lock()

    def hold(self) -> None:
        """Talk until the client goes."""
        with self._sock as sock, sock.makefile("rb") as file:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            try:
                if self._shake_hands(file):
                    while self._hear(*_client_frame(file)):
                        pass
            except OSError:
                pass  # the client has gone
            finally:
                self._round.leave(self)

    def send_all(self, pieces: Iterable[bytes]) -> None:
        """Send as fast as the socket takes it."""
        try:
            for piece in pieces:
                self._send(piece)
        except OSError:
            pass  # the client has gone

    def _send(self, data: bytes) -> None:
        with self._lock:
            self._sock.sendall(data)

    def _shake_hands(self, file: BinaryIO) -> bool:
        request = b"".join(iter(file.readline, b"\r\n"))
        target = unquote(request.split(b" ", 2)[1].decode())
        key = _KEY.search(request)
        if key is None:
            self._send(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            return False
        accept = base64.b64encode(hashlib.sha1(key[1] + _GUID).digest())  # noqa: S324  # as RFC 6455 wants it
        self._send(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n"
        )
        path, _, query = target.partition("?")
        self.combined = path.rstrip("/").endswith("/stream")
        names = query.partition("streams=")[2].partition("&")[0] or path.partition("/ws/")[2]
        self._subscribe(name for name in names.split("/") if name)
        return True

    def _subscribe(self, names: Iterable[str]) -> None:
        self.streams.update(names)
        if self.streams:
            self._round.join(self)

    def _hear(self, kind: int, payload: bytes) -> bool:
        """Answer a frame; return whether there may be more."""
        if kind == _TEXT:
            request = msgspec.json.decode(payload)
            answer = {"result": None, "id": request["id"]}
            self._send(text_frame(msgspec.json.encode(answer)))
            if request["method"] == "SUBSCRIBE":
                self._subscribe(request["params"])
        elif kind == _PING:
            self._send(bytes((0x80 | _PONG, len(payload))) + payload)
        elif kind == _CLOSE:
            self._send(bytes((0x80 | _CLOSE, len(payload))) + payload)
        return kind != _CLOSE


def _client_frame(file: BinaryIO) -> tuple[int, bytes]:
    """Read a masked frame: its kind and payload.

    Raises:
        ConnectionError: the client has gone.
    """
    head = _exactly(file, 2)
    size = head[1] & 0x7F
    if size == 126:
        size = int.from_bytes(_exactly(file, 2))
    elif size == 127:
        size = int.from_bytes(_exactly(file, 8))
    mask, masked = _exactly(file, 4), _exactly(file, size)
    return head[0] & 0xF, bytes(byte ^ mask[index % 4] for index, byte in enumerate(masked))


def _exactly(file: BinaryIO, size: int) -> bytes:
    data = file.read(size)
    if len(data) < size:
        raise ConnectionError("the client has gone")
    return data
