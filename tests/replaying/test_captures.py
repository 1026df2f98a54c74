"""What real captures of the exchange say, when they are at hand beside the repository."""

from __future__ import annotations

from collections import defaultdict
from itertools import chain, islice
from pathlib import Path
from typing import Literal

import pytest
from blocks import line_file
from captures import CAPTURES, capture, whole
from played import Replay
from stage import listen

from tickerplant.decode.decoder import ANSWERS, Decoder
from tickerplant.events import BookSnapshot, BookTicker, DepthUpdate, Event, Trade
from tickerplant.frames import text_frame
from tickerplant.market.book import OrderBook
from tickerplant.market.book_sync import BookSync, Update
from tickerplant.plant import Plant
from tickerplant.raw_events import RawDepth, RawQuote, RawTrade
from tickerplant.recording.line import Damage, merge
from tickerplant.recording.line_file import LineFile
from tickerplant.recording.opening import recorded_files
from tickerplant.recording.timestamps import TimeSpec
from tickerplant.replaying.message_times import ByEventTime
from tickerplant.replaying.plan import Plan
from tickerplant.replaying.player import FastestDepth, Player
from tickerplant.replaying.scan import scan

COMPARED = (629, 1_885, 1_565, 212, 215)
"""Of each capture, how many tops of books have a book ticker of the same update."""


class Rebuilt:
    """Books rebuilt by the documented procedure, and what they should be."""

    def __init__(self) -> None:
        self.books: defaultdict[str, OrderBook] = defaultdict(OrderBook)
        self.syncs: defaultdict[str, BookSync[Update]] = defaultdict(BookSync)
        self.tops: dict[tuple[str, int], object] = {}
        """Best bid and ask by symbol and update id."""
        self.tickers: dict[tuple[str, int], object] = {}
        self.trade_ids: defaultdict[str, list[int]] = defaultdict(list)

    def take(self, event: Event) -> None:
        symbol = event.symbol
        match event:
            case BookTicker():
                bid = (event.bid_price, event.bid_quantity)
                ask = (event.ask_price, event.ask_quantity)
                self.tickers[symbol, event.update_id] = bid, ask
            case Trade():
                self.trade_ids[symbol].append(event.trade_id)
            case BookSnapshot():
                updates = self.syncs[symbol].load(event)
                if self.syncs[symbol].live:
                    self.books[symbol].load(event)
                self._apply(symbol, updates)
            case DepthUpdate():
                self._apply(symbol, self.syncs[symbol].add(event))

    def _apply(self, symbol: str, updates: list[Update]) -> None:
        book = self.books[symbol]
        for update in updates:
            assert isinstance(update, DepthUpdate)
            book.apply(update)
            self.tops[symbol, update.final_update_id] = book.best_bid, book.best_ask


@pytest.mark.heavy
@pytest.mark.parametrize(
    ("folder", "names", "compared"),
    [
        pytest.param(*each, compared, marks=[whole] if each in CAPTURES[:3] else [])
        for each, compared in zip(CAPTURES, COMPARED, strict=True)
    ],
)
def test_the_rebuilt_book_equals_the_recorded_book_ticker(
    folder: str, names: tuple[str, ...], compared: int
) -> None:
    found = scan(capture(folder, names))
    instruments = {instrument.symbol: instrument for instrument in found.instruments}
    decoders = [Decoder(instruments, only_symbol=file.only_symbol) for file in found.files]
    reports: list[Damage] = []
    rebuilt = Rebuilt()
    for index, lines in merge(recorded_files([file.path for file in found.files], reports.append)):
        for _, raw in lines:
            for event in decoders[index].decode(raw)[3]:
                if isinstance(event, RawQuote | RawDepth | RawTrade):
                    rebuilt.take(event.event(instruments[event.symbol]))
                else:
                    rebuilt.take(event)

    assert reports == []
    assert all(decoder.unapplied.keys() <= {ANSWERS} for decoder in decoders), "all is understood"
    assert all(sync.live and not sync.gaps for sync in rebuilt.syncs.values()), "no chain breaks"
    assert rebuilt.syncs.keys() == instruments.keys(), "every symbol has a book"
    for ids in rebuilt.trade_ids.values():
        assert ids == list(range(ids[0], ids[0] + len(ids))), "no trade is missing"
    both = rebuilt.tops.keys() & rebuilt.tickers.keys()
    assert len(both) == compared
    wrong = [key for key in both if rebuilt.tops[key] != rebuilt.tickers[key]]
    assert wrong == [], "the top of the book is the book ticker with the same update id"


def test_every_recorded_payload_is_sent_as_it_was() -> None:
    (path,) = capture("ws-usdm-2022-08-collect-binancefutures", ("btcusdt_20220811.dat.gz",))
    found = scan([path])
    plant = Plant(found.instruments, start_ms=found.start_ms)
    streams = found.streams("usdm")
    plant.start_passthrough("usdm", streams)
    listener = listen(plant, sorted(streams))
    plant.hubs["usdm"].set_combined(listener, combined=True)
    player = Player(plant, found, found.files[0], applied=FastestDepth(streams))
    expected = []
    for _, raw in chain.from_iterable(LineFile(path).batches()):
        player.play([(0, raw)])
        plant.hubs["usdm"].flush()
        if raw.startswith(b'{"stream"'):
            expected.append(raw)
    sent = listener.texts()
    assert player.skipped == []
    assert len(sent) == len(expected) == 1_532
    assert sent == expected, "the whole envelope is what was recorded"


@pytest.mark.heavy
@pytest.mark.parametrize("pace", ["receive", "event"])
def test_a_capture_from_its_middle_is_what_was_recorded_from_there(
    pace: Literal["receive", "event"], tmp_path: Path
) -> None:
    [complete] = capture("ws-usdm-2024-08-hftbacktest", ("btcusdt_20240808.gz",))
    beginning = islice(chain.from_iterable(LineFile(complete).batches()), 15_000)
    path = line_file(tmp_path / "beginning", beginning)
    recording = LineFile(path)
    view = ByEventTime(recording) if pace == "event" else recording
    lines = list(chain.from_iterable(view.batches()))
    middle_ns = lines[len(lines) // 2][0]
    begins = b'{"stream":"btcusdt@trade","data":'
    payloads = [
        raw.removeprefix(begins)[:-1]
        for at_ns, raw in lines
        if at_ns >= middle_ns and raw.startswith(begins)
    ]
    plan = Plan(begin=TimeSpec(middle_ns), speed=0, pace=pace)
    replay = Replay([Path(path)], {"usdm": ["btcusdt@trade"]}, plan=plan)
    replay.run()
    assert len(payloads) > 1_000
    assert replay.listeners["usdm"].data == b"".join(map(text_frame, payloads))
    assert replay.source.messages == sum(at_ns >= middle_ns for at_ns, _ in lines)
    assert replay.plant.markets["BTCUSDT"].book_live
