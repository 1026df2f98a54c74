"""The same story told to several servers of one market: what clients ask, and what they hear.

The market is paused while subscriptions change, and goes on by steps, so what a client hears does
not depend on how fast anything is.
"""

from __future__ import annotations

import asyncio
import http.client
import itertools
import json
import os
import random
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any, TypeAlias

from msgspec import Struct, field
from msgspec.structs import replace

from tickerplant.server.flushing import LONGEST_REST_S
from tickerplant.streams import CATALOGUE

PATIENCE_S = 15.0
MINUTE_ENDS = 2
"""Once in each of two stories."""
QUIET = 3
"""So many times in a row nothing was written when all is written."""
STEP_PATIENCE_S = 5.0
"""How long the messages of a step may be on their way."""
UPGRADE = (
    "GET {path} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
API_PATHS = {
    "usdm": "/ws-fapi/v1?returnRateLimits=false",
    "coinm": "/ws-dapi/v1?returnRateLimits=false",
}
SYMBOLS = {
    "usdm": ("BTCUSDT", "ETHUSDT", "SOLUSDT", "DEFIUSDT"),
    "coinm": ("BTCUSD_PERP", "ETHUSD_PERP"),
}
PAIRS = {"usdm": ("btcusdt", "ethusdt"), "coinm": ("btcusd", "ethusd")}
ASSETS = ("btcusd", "ethusd")
UNKNOWN = ("btcusdt@nothing", "nobody@trade", "BTCUSDT@trade")
WEIGHT = "x-mbx-used-weight-1m"
PASSING = {"date", WEIGHT}
"""Headers that tell of the clock on the wall."""

Addresses: TypeAlias = Mapping[str, str]
"""`host:port` by name of the venue."""


# The story


class Join(Struct, frozen=True):
    """A client connects."""

    client: int
    venue: str
    path: str


class Leave(Struct, frozen=True):
    """A client hangs up."""

    client: int


class Ask(Struct, frozen=True):
    """A client sends a request."""

    client: int
    method: str
    params: tuple[Any, ...]


Act: TypeAlias = Join | Leave | Ask


class Round(Struct, frozen=True):
    """What happens while the market stands, and how far it goes on then."""

    acts: tuple[Act, ...]
    questions: tuple[tuple[str, str], ...]
    """What is asked over HTTP: venue, target."""
    calls: tuple[tuple[str, str, dict[str, Any]], ...]
    """What is asked of the WebSocket API: venue, method, parameters."""
    step_ms: int


def names(venue: str) -> list[str]:
    """Return names of all kinds of streams of a venue, also of some that stay silent."""
    free = {
        "symbol": [symbol.lower() for symbol in SYMBOLS[venue]],
        "pair": list(PAIRS[venue]),
        "assetSymbol": list(ASSETS),
    }
    found: list[str] = []
    for row in CATALOGUE:
        parts = row.pattern.parts
        if venue in {each.name for each in row.venues}:
            chosen = itertools.product(*(choices or free[part] for part, choices in parts.items()))
            found += [row.pattern.name(**dict(zip(parts, each, strict=True))) for each in chosen]
    return found


def story(seed: int, *, clients: int, rounds: int) -> list[Round]:
    """Return a story with clients on raw and combined connections of both venues, who come and go."""
    chance = random.Random(seed)
    known = {venue: names(venue) for venue in SYMBOLS}
    numbers = itertools.count()
    present: dict[int, tuple[str, list[str]]] = {}

    def join() -> Join:
        client = next(numbers)
        venue = ("usdm", "coinm")[client % 2]
        wanted = chance.sample(known[venue], chance.randint(1, 12))
        forms = (
            "/ws/" + "/".join(wanted),
            "/stream?streams=" + "/".join(wanted),
            "/ws",
            "/stream",
        )
        path = forms[client // 2 % len(forms)]
        present[client] = (venue, wanted if len(path) > len("/stream") else [])
        return Join(client, venue, path)

    def ask(client: int) -> Ask:
        venue, own = present[client]
        kind = chance.random()
        if own and kind < 0.4:
            wanted = chance.sample(own, chance.randint(1, min(5, len(own))))
            own[:] = [name for name in own if name not in wanted]
            return Ask(client, "UNSUBSCRIBE", tuple(wanted))
        if kind < 0.5:
            return Ask(client, "SET_PROPERTY", ("combined", chance.random() < 0.5))
        wanted = chance.sample(known[venue], chance.randint(1, 8))
        own += [name for name in wanted if name not in own]
        return Ask(client, "SUBSCRIBE", (*wanted, chance.choice(UNKNOWN))[: chance.randint(1, 9)])

    told: list[Round] = []
    for number in range(rounds):
        acts: list[Act] = [join() for _ in range(clients if not number else chance.randint(0, 2))]
        if number and len(present) > clients // 2 and chance.random() < 0.5:
            gone = chance.choice(list(present))
            del present[gone]
            acts.append(Leave(gone))
        acts += [ask(client) for client in present if chance.random() < 0.5]
        told.append(
            Round(
                tuple(acts),
                tuple(_questions(chance)),
                tuple(_calls(chance)),
                chance.choice((50, 250, 700, 1_000, 1_500)),
            )
        )
    return told


def _questions(chance: random.Random) -> Iterator[tuple[str, str]]:
    for venue, root in (("usdm", "/fapi/v1"), ("coinm", "/dapi/v1")):
        symbol = chance.choice(SYMBOLS[venue])
        yield from (
            (venue, f"{root}/{target}")
            for target in chance.sample(
                (
                    f"depth?symbol={symbol}&limit={chance.choice((5, 100, 1000))}",
                    f"klines?symbol={symbol}&interval=1m&limit={chance.randint(1, 300)}",
                    f"trades?symbol={symbol}&limit={chance.randint(1, 300)}",
                    f"aggTrades?symbol={symbol}",
                    "ticker/bookTicker",
                    f"ticker/24hr?symbol={symbol}",
                    f"premiumIndex?symbol={symbol}",
                    "exchangeInfo",
                    "depth?symbol=NOBODY",
                    "nothing",
                    f"klines?symbol={symbol}&interval=7m",
                ),
                3,
            )
        )


def _calls(chance: random.Random) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for venue, symbols in SYMBOLS.items():
        symbol = chance.choice(symbols)
        method = chance.choice(("depth", "ticker.price", "ticker.book", "nothing"))
        yield venue, method, {"symbol": symbol}


# What is heard


class Answer(Struct, frozen=True):
    """An answer over HTTP."""

    target: str
    status: int
    headers: tuple[tuple[str, str], ...]
    """In order of their names, without those of `PASSING`."""
    body: bytes
    weight: int
    """The request weight that was used in this minute of the wall clock; -1 if it is not told."""


class Heard(Struct):
    """What the clients of a story heard from one server."""

    streams: dict[int | str, bytes] = field(default_factory=dict)
    """All bytes after the handshake, by client."""
    calls: dict[int | str, bytes] = field(default_factory=dict)
    """All bytes of the WebSocket API, by venue."""
    answers: list[Answer] = field(default_factory=list)
    channels: list[dict[str, float]] = field(default_factory=list)
    """How many channels the plant had after each act, by venue."""
    complaints: list[str] = field(default_factory=list)
    """Why the story ended early."""
    sizes: list[dict[int, int]] = field(default_factory=list)
    """How many bytes each client had after the step of each round."""


class Ear:
    """A client: it keeps every byte after the handshake."""

    def __init__(self) -> None:
        self.heard = bytearray()
        self._searched = 0
        """The frames before this have no answer that is waited for."""
        self._more = asyncio.Event()
        self._reader: asyncio.StreamReader
        self._writer: asyncio.StreamWriter
        self._task: asyncio.Task[None]

    async def connect(self, address: str, path: str) -> None:
        """Connect, and listen from now on."""
        host, _, port = address.rpartition(":")
        self._reader, self._writer = await asyncio.open_connection(host, int(port))
        self._writer.write(UPGRADE.format(path=path, host=address).encode())
        head = await self._reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 101 "), (path, head)
        self._task = asyncio.create_task(self._listen())

    async def _listen(self) -> None:
        with suppress(ConnectionError):
            while data := await self._reader.read(1 << 16):
                self.heard += data
                self._more.set()

    async def ask(self, number: int, method: str, params: object) -> int:
        """Send a request; when it is answered, return where the answer begins in what was heard."""
        text = json.dumps({"method": method, "params": params, "id": number}).encode()
        size = len(text)
        head = bytes((0x81, 0x80 | size)) if size < 126 else b"\x81\xfe" + size.to_bytes(2)
        self._writer.write(head + bytes(4) + text)  # a mask of zeros changes nothing
        wanted = (b'"id":%d}' % number, b'"id":%d,' % number)
        async with asyncio.timeout(PATIENCE_S):
            while True:
                self._more.clear()
                for begin, end in spans(self.heard, self._searched):
                    self._searched = end
                    if any(each in self.heard[begin:end] for each in wanted):
                        return begin
                await self._more.wait()

    async def until(self, size: int) -> bool:
        """Wait until so many bytes have been heard; return whether they have, after a while."""
        with suppress(TimeoutError):
            async with asyncio.timeout(STEP_PATIENCE_S):
                while len(self.heard) < size:
                    self._more.clear()
                    await self._more.wait()
        return len(self.heard) >= size

    async def leave(self) -> bytes:
        """Hang up; return what was heard."""
        self._writer.close()
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task
        with suppress(ConnectionError):
            await self._writer.wait_closed()
        return bytes(self.heard)


def spans(data: bytes | bytearray, position: int = 0) -> Iterator[tuple[int, int]]:
    """Yield where each complete frame begins and ends, header included."""
    while position + 2 <= len(data):
        length, header = data[position + 1], 2
        if length > 125:
            header = 4 if length == 126 else 10
            length = int.from_bytes(data[position + 2 : position + header])
        end = position + header + length
        if end > len(data) or position + header > len(data):
            return
        yield position, end
        position = end


async def hear(
    told: Sequence[Round], addresses: Addresses, reference: Heard | None = None
) -> Heard:
    """Live through a story with a server whose market is paused; return what was heard.

    Args:
        told: The story.
        addresses: Those of the server.
        reference: What was heard from one process.  A server of many may answer a request before
            messages that were made earlier, and before the plant knows of it, so the channels of
            the plant are awaited after each act, and the sizes after each step.  The story ends
            early if they do not become the same.
    """
    hearing = Hearing(addresses)
    await hearing.begin()
    acts = itertools.count()
    for index, each in enumerate(told):
        for act in each.acts:
            await hearing.act(act)
            if not await hearing.open_channels(reference, next(acts)):
                return await hearing.end()
        for venue, target in each.questions:
            hearing.heard.answers.append(await asyncio.to_thread(get, addresses[venue], target))
        for call in each.calls:
            await hearing.call(*call)
        await asyncio.to_thread(step, addresses["usdm"], each.step_ms)
        if reference is None:
            await _all_written(addresses["usdm"])
        elif not await hearing.until(reference.sizes[index]):
            break
        await hearing.list_subscriptions()
    return await hearing.end()


class Hearing:
    """The clients of a story, with one server."""

    def __init__(self, addresses: Addresses) -> None:
        self.heard = Heard()
        self._addresses = addresses
        self._ears: dict[int, Ear] = {}
        self._api = {venue: Ear() for venue in API_PATHS}
        self._numbers = itertools.count(1)

    async def begin(self) -> None:
        """Connect to the WebSocket API of each venue."""
        for venue, path in API_PATHS.items():
            await self._api[venue].connect(self._addresses[venue], path)

    async def act(self, act: Act) -> None:
        """Let a client do something, and wait until the server has done its part."""
        match act:
            case Join(client, venue, path):
                self._ears[client] = Ear()
                await self._ears[client].connect(self._addresses[venue], path)
            case Leave(client):
                self.heard.streams[client] = await self._ears.pop(client).leave()
            case Ask(client, method, params):
                await self._ears[client].ask(next(self._numbers), method, params)

    async def open_channels(self, reference: Heard | None, number: int) -> bool:
        """Note which channels the plant has after an act; return whether they are as they were.

        Args:
            reference: What they shall be like, after a while; None if they are as they are.
            number: How many acts were before.
        """
        until_s = asyncio.get_running_loop().time() + STEP_PATIENCE_S
        while True:
            found = await asyncio.to_thread(channels, self._addresses["usdm"])
            if reference is None or found == reference.channels[number]:
                self.heard.channels.append(found)
                return True
            if asyncio.get_running_loop().time() > until_s:
                wanted = reference.channels[number]
                self.heard.complaints.append(f"after {number} acts: channels {wanted} and {found}")
                return False

    async def call(self, venue: str, method: str, parameters: dict[str, Any]) -> None:
        """Ask something of the WebSocket API, and wait for the answer."""
        await self._api[venue].ask(next(self._numbers), method, parameters)

    async def until(self, sizes: Mapping[int, int]) -> bool:
        """Wait until each client has heard so many bytes; return whether it has, after a while."""
        return all([await ear.until(sizes[client]) for client, ear in self._ears.items()])

    async def list_subscriptions(self) -> None:
        """Let each client ask for its subscriptions, and note what it heard before."""
        self.heard.sizes.append(
            {
                client: await ear.ask(next(self._numbers), "LIST_SUBSCRIPTIONS", [])
                for client, ear in self._ears.items()
            }
        )

    async def end(self) -> Heard:
        """Let everybody hang up; return what they heard."""
        for client, ear in self._ears.items():
            self.heard.streams[client] = await ear.leave()
        for venue, ear in self._api.items():
            self.heard.calls[venue] = await ear.leave()
        return self.heard


def get(address: str, target: str) -> Answer:
    """Return the answer to a request over HTTP."""
    connection = http.client.HTTPConnection(address, timeout=PATIENCE_S)
    try:
        connection.request("GET", target)
        answer = connection.getresponse()
        headers = sorted((name.lower(), value) for name, value in answer.getheaders())
        kept = tuple((name, value) for name, value in headers if name not in PASSING)
        weight = int(answer.getheader(WEIGHT, "-1"))
        return Answer(target, answer.status, kept, answer.read(), weight)
    finally:
        connection.close()


async def _all_written(address: str) -> None:
    """Return when a server of one process has written all messages: its flushes may rest shortly."""
    counts: list[str] = []
    while len(counts) < QUIET or len(set(counts[-QUIET:])) > 1:
        page = (await asyncio.to_thread(get, address, "/metrics")).body.decode()
        counts += re.findall(r"^tickerplant_flushes_total (\S+)$", page, re.MULTILINE)
        await asyncio.sleep(LONGEST_REST_S)


def channels(address: str) -> dict[str, float]:
    """Return how many channels the plant has, by venue; its edges' own are not counted."""
    page = get(address, "/metrics").body.decode()
    found = re.findall(r'^tickerplant_channels\{(.*)venue="(\w+)"(.*)\} (\S+)$', page, re.MULTILINE)
    return {
        venue: float(count)
        for *labels, venue, rest, count in found
        if 'worker="plant"' in (text := f"{labels}{rest}") or "worker=" not in text
    }


def step(address: str, step_ms: int) -> None:
    """Let the paused market go on, and return when it has."""
    connection = http.client.HTTPConnection(address, timeout=PATIENCE_S)
    try:
        body = json.dumps({"step": f"{step_ms}ms"})
        headers = {"Content-Type": "application/json"}
        if token := os.environ.get("TICKERPLANT_CONTROL_TOKEN"):
            headers["Authorization"] = f"Bearer {token}"
        connection.request("POST", "/plant/v1/clock", body, headers=headers)
        answer = connection.getresponse()
        state = json.loads(answer.read())
        assert answer.status == 200, state
        assert not state["pending"], state
    finally:
        connection.close()


# The comparison


def differences(one: Heard, other: Heard) -> list[str]:
    """Return where what was heard from two servers differs, the first place of each client."""
    found = [*one.complaints, *other.complaints]
    ones, others = ({**each.streams, **each.calls} for each in (one, other))
    for key in ones.keys() | others.keys():
        data = [each.get(key, b"") for each in (ones, others)]
        if data[0] != data[1]:
            found.append(f"{key}: {_first(*data)}")
    for left, right in zip(one.answers, other.answers, strict=False):
        if replace(left, weight=min(left.weight, 0)) != replace(right, weight=min(right.weight, 0)):
            found.append(f"{left.target}: {left} and {right}")
    return found + _different_weights(one, other)


def _different_weights(one: Heard, other: Heard) -> list[str]:
    """Return which questions did not weigh the same.

    The weights of a venue are those of one minute of the wall clock, which may end once while a story
    is told: then one question of each story seems to weigh something else.
    """
    found: list[str] = []
    for root in ("/fapi/", "/dapi/"):
        asked = [
            (left.target, left.weight, right.weight)
            for left, right in zip(one.answers, other.answers, strict=False)
            if left.target.startswith(root) and min(left.weight, right.weight) >= 0
        ]
        different = [
            f"{target} weighs {b - a} and {d - c}"
            for (_, a, c), (target, b, d) in itertools.pairwise(asked)
            if b - a != d - c
        ]
        found += different if len(different) > MINUTE_ENDS else []
    return found


def _first(one: bytes, other: bytes) -> str:
    """Return the first frame in which two series of bytes differ."""
    pairs = itertools.zip_longest(spans(one), spans(other))
    for number, (left, right) in enumerate(pairs):
        texts = [
            data[slice(*span)] if span else b"nothing"
            for data, span in ((one, left), (other, right))
        ]
        if texts[0] != texts[1]:
            return f"frame {number}: {texts[0][:300]!r} and {texts[1][:300]!r}"
    return "an incomplete frame at the end"


class Counts(Struct, frozen=True):
    """How much was compared."""

    clients: int
    frames: int
    names: int
    """Different streams that sent something."""
    stream_bytes: int
    answers: int
    calls: int


def counts(heard: Heard, told: Sequence[Round]) -> Counts:
    """Return how much a comparison compares."""
    kinds: set[str] = set()
    frames = 0
    for data in heard.streams.values():
        for begin, end in spans(data):
            frames += 1
            text = data[begin:end]
            if b'{"stream":"' in text:
                kinds.add(text.partition(b'{"stream":"')[2].partition(b'"')[0].decode())
    return Counts(
        clients=len(heard.streams),
        frames=frames,
        names=len(kinds),
        stream_bytes=sum(map(len, heard.streams.values())),
        answers=len(heard.answers),
        calls=sum(len(each.calls) for each in told),
    )
