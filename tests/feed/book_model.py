"""A true market that merges its changes as the exchange does, and the owner of a local book."""

from __future__ import annotations

from collections import deque
from random import Random

import msgspec

from tickerplant.feed.local_book import LocalBook
from tickerplant.feed.order_book import BookState
from tickerplant.messages.book import DepthUpdate

SYMBOL = "BTCUSDT"
Texts = list[tuple[str, str]]


def price_text(ticks: int) -> str:
    return f"{ticks // 10}.{ticks % 10}0"


def quantity_text(quantity: int) -> str:
    return f"{quantity // 1000}.{quantity % 1000:03}"


class TrueBook:
    """Every change has an id; ids jump, because other symbols take some."""

    def __init__(
        self,
        seed: int,
        *,
        gapless: bool = False,
        width: int = 30,
        after_id: int = 1000,
        ahead_ms: int = 0,
    ) -> None:
        self.random = Random(seed)
        self.gapless = gapless
        """Updates begin right after the one before, and snapshots have an id of their own."""
        self.width = width
        self.middle = 1000
        self.last_id = after_id
        self.sent_id = after_id
        self.ahead_ms = ahead_ms
        """By so much its times are above ten times its ids."""
        self.events: list[tuple[int, str, int, int]] = []
        self.now: dict[str, dict[int, int]] = {"b": {}, "a": {}}
        self.touched: dict[str, set[int]] = {"b": set(), "a": set()}
        self.first_id = 0
        for offset in range(1, width):
            self._set("b", self.middle - offset, 1 + offset)
            self._set("a", self.middle + offset, 1 + offset)
        self.flush()

    @property
    def now_ms(self) -> int:
        """When the last change happened."""
        return self.last_id * 10 + self.ahead_ms

    def restarted(self, ids_back: int) -> TrueBook:
        """Return the market of another server, whose ids, and now and then times, are lower."""
        ahead_ms = self.random.choice([0, self.ahead_ms + 10 * ids_back + 10_000])
        return TrueBook(
            self.random.randint(0, 1 << 30),
            gapless=self.gapless,
            after_id=self.last_id - ids_back,
            ahead_ms=ahead_ms,
        )

    def _set(self, side: str, price: int, quantity: int) -> None:
        self.last_id += self.random.randint(1, 9)
        self.events.append((self.last_id, side, price, quantity))
        self.first_id = self.first_id or self.last_id
        self.touched[side].add(price)
        if quantity:
            self.now[side][price] = quantity
        else:
            self.now[side].pop(price, None)

    def change(self) -> None:
        """Somebody adds, takes or leaves; now and then the price moves."""
        random = self.random
        if random.random() < 0.3:
            self.middle += random.choice([-3, -1, 1, 3])
            for price in [price for price in self.now["b"] if price >= self.middle]:
                self._set("b", price, 0)
            for price in [price for price in self.now["a"] if price <= self.middle]:
                self._set("a", price, 0)
        offset = random.randint(1, self.width)
        quantity = random.choice([0, random.randint(1, 5000)])
        if random.random() < 0.5:
            self._set("b", self.middle - offset, quantity)
        else:
            self._set("a", self.middle + offset, quantity)

    def flush(self) -> DepthUpdate | None:
        """What changed since the last call, merged; None if nothing did."""
        if not self.first_id:
            return None
        levels = {
            side: [
                (price_text(price), quantity_text(self.now[side].get(price, 0)))
                for price in sorted(self.touched[side])
            ]
            for side in ("b", "a")
        }
        update = DepthUpdate(
            event_time_ms=self.now_ms + 1,
            transaction_time_ms=self.now_ms,
            symbol=SYMBOL,
            first_update_id=self.sent_id + 1 if self.gapless else self.first_id,
            final_update_id=self.last_id,
            previous_update_id=self.sent_id,
            bids=levels["b"],
            asks=levels["a"],
        )
        self.sent_id, self.first_id = self.last_id, 0
        self.touched = {"b": set(), "a": set()}
        return update

    def at(self, update_id: int) -> tuple[Texts, Texts]:
        """Both sides, best first, after every change up to `update_id`."""
        sides: dict[str, dict[int, int]] = {"b": {}, "a": {}}
        for changed_id, side, price, quantity in self.events:
            if changed_id <= update_id:
                sides[side][price] = quantity
        bids, asks = (
            [(price, quantity) for price, quantity in sorted(sides[side].items()) if quantity]
            for side in ("b", "a")
        )
        bids.reverse()
        return (
            [(price_text(price), quantity_text(quantity)) for price, quantity in bids],
            [(price_text(price), quantity_text(quantity)) for price, quantity in asks],
        )

    def snapshot(self, limit: int) -> bytes:
        """The answer of `depth`, now."""
        bids, asks = self.at(self.last_id)
        if self.gapless:
            self.last_id += 1
        return msgspec.json.encode(
            {
                "lastUpdateId": self.last_id,
                "E": self.now_ms + 1,
                "T": self.now_ms,
                "bids": bids[:limit],
                "asks": asks[:limit],
            }
        )


def within(levels: Texts, reach: str | None, sign: int) -> Texts:
    return [
        level for level in levels if reach is None or sign * (float(level[0]) - float(reach)) >= 0
    ]


def assert_true(book: LocalBook, true: TrueBook) -> None:
    """The book is the true one as of its update id, as deep as it is known."""
    bids, asks = true.at(book.last_update_id)
    assert book.bids(9999) == within(bids, book.lowest_known_bid, 1), book
    assert book.asks(9999) == within(asks, book.highest_known_ask, -1), book
    assert book.best_bid == next(iter(book.bids(1)), None)
    assert book.best_ask == next(iter(book.asks(1)), None)


def state(book: LocalBook) -> BookState:
    """`book.state`, without a type checker concluding that it never changes."""
    return book.state


def wants(book: LocalBook) -> bool:
    """`book.wants_snapshot`, likewise."""
    return book.wants_snapshot


def update(
    first: int, final: int, previous: int, bids: Texts | None = None, asks: Texts | None = None
) -> DepthUpdate:
    """Return the changes `first` to `final`, which follow the update `previous`."""
    return DepthUpdate(
        event_time_ms=final + 1,
        transaction_time_ms=final,
        symbol=SYMBOL,
        first_update_id=first,
        final_update_id=final,
        previous_update_id=previous,
        bids=bids or [],
        asks=asks or [],
    )


class Line:
    """The connection from the market to the book, on which everything can go wrong."""

    def __init__(self, true: TrueBook, book: LocalBook) -> None:
        self.true = true
        self.book = book
        self.now_ms = 1_000_000
        self.delayed: deque[DepthUpdate] = deque()
        self.sent: deque[DepthUpdate] = deque(maxlen=8)
        self.answers: deque[bytes] = deque()
        self.old: deque[bytes] = deque(maxlen=20)
        self.broken = False
        self.is_restarted = False
        """The next update is the first of another server."""

    def act(self, act: str) -> None:
        """Let one thing happen, and do what the owner of a book does."""
        self.now_ms += 100
        if act.startswith("change"):
            for _ in range(self.true.random.randint(1, 8)):
                self.true.change()
        elif act in ("lose", "back"):
            self._connect(act == "back")
        elif act.startswith("answer") and self.answers:
            self._answer(act)
        elif act == "wait":
            self.now_ms += 5000
        elif act == "restart":
            self._restart()
        else:
            self._pass_on(act)
        self._ask()

    def _connect(self, up: bool) -> None:
        self.broken = not up
        if up:
            self.book.updates_resumed(self.now_ms)
        else:
            self.book.updates_lost("reset", self.now_ms)

    def _restart(self) -> None:
        """Another server takes over; the answers of the old one may still be on their way."""
        self._connect(up=False)
        self.true = self.true.restarted(1_000_000)
        self.is_restarted = True
        self.delayed.clear()
        self.sent.clear()
        self.old.clear()

    def _pass_on(self, act: str) -> None:
        if act in ("flush", "drop", "twice", "delay"):
            self._flush(act)
        elif act == "late":
            while self.delayed:
                self._offer(self.delayed.popleft())
        elif act == "again" and self.sent:
            self._offer(self.sent[0])

    def _flush(self, act: str) -> None:
        update = self.true.flush()
        if update is None or act == "drop":
            return
        if act == "delay":
            self.delayed.append(update)
            return
        self._offer(update)
        if act == "twice":
            self._offer(update)

    def _offer(self, update: DepthUpdate) -> None:
        if not self.broken:
            self.sent.append(update)
            if self.is_restarted:
                self.is_restarted = False
                self.book.ids_restarted(self.now_ms)
            self.book.offer(update, self.now_ms)

    def _ask(self) -> None:
        self.old.append(self.true.snapshot(self.book.limit))
        if self.book.wants_snapshot and self.now_ms >= self.book.next_request_ms:
            self.book.snapshot_requested(self.now_ms)
            assert not wants(self.book), "one question is enough"
            self.answers.append(self.old[-1])

    def _answer(self, act: str) -> None:
        answer = self.answers.popleft()
        if act == "answer nothing":
            self.book.snapshot_failed(self.now_ms)
        elif act == "answer nonsense":
            self.book.load(answer[: self.true.random.randint(0, len(answer) - 1)], self.now_ms)
        elif act == "answer old":
            self.book.load(self.old[0], self.now_ms)
        elif act == "answer new":
            self.book.load(self.old[-1], self.now_ms)
        else:
            self.book.load(answer, self.now_ms)

    def calm(self) -> None:
        """Everything works for a while."""
        if self.broken:
            self.act("back")
        for _ in range(12):
            for act in ("change", "flush", "answer", "change", "flush"):
                self.act(act)
            self.now_ms += 40_000

    def live(self) -> Line:
        """Make the book live, and leave the market quiet."""
        for _ in range(5):  # the last change may have emptied a side of a book with few levels
            self.calm()
            if self.book.state is BookState.LIVE:
                break
        assert self.book.state is BookState.LIVE, self.book
        return self


ACTS = (
    *("change",) * 12,
    *("flush",) * 24,
    *("answer",) * 6,
    *("back", "answer new") * 3,
    *("drop", "twice", "delay", "late", "again", "lose", "wait"),
    *("answer nothing", "answer nonsense", "answer old"),
)
"""What may happen, as often as it is named: mostly what should."""
