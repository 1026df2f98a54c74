"""A plant whose market is changed by levers: what streams and requests say of odd books."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import msgspec
import pytest
from market_invariants import MarketChecker
from stage import Listener, listen, name_of, sent_to

from tickerplant.errors import RequestError
from tickerplant.events import Trade
from tickerplant.plant import Plant
from tickerplant.queries import QUERIES, find_path
from tickerplant.simulation.exchange import SimulatedExchange
from tickerplant.simulation.instruments import instruments
from tickerplant.simulation.levers import parse_lever
from tickerplant.sources.simulated import open_market
from tickerplant.streams import CATALOGUE
from tickerplant.units import MINUTE_MS
from tickerplant.venue import COINM, USDM

START_MS = 1_780_000_000_000
SYMBOLS = ("BTCUSDT", "TRXUSDT", "BTCUSDT_260626", "BTCUSD_PERP", "BTCUSD_260626")
QUOTING = 0.05
INTENSITY = 0.2


class LeveredMarket:
    """A simulated market in a plant, played by the test, with its invariants checked."""

    def __init__(self, symbols: tuple[str, ...] = SYMBOLS) -> None:
        traded = instruments(START_MS, symbols)
        self.exchange = SimulatedExchange(
            traded, seed=5, start_ms=START_MS, intensity=INTENSITY, quoting=QUOTING
        )
        self.checker = MarketChecker(self.exchange)
        self.plant = Plant(traded, start_ms=START_MS, reserved_snapshot_ids=True)
        open_market(self.plant, self.exchange)
        self.trades: dict[str, list[Trade]] = {symbol: [] for symbol in symbols}

    def pull(self, after_ms: int, written: Mapping[str, object]) -> str:
        return self.exchange.levers.pull(parse_lever(written), START_MS + after_ms)

    def play(self, until_ms: int) -> None:
        while self.exchange.next_time_ms <= START_MS + until_ms:
            now_ms, events = self.exchange.step()
            self.checker.take(now_ms, events)
            self.plant.advance_before(now_ms)
            for event in events:
                if isinstance(event, Trade):
                    self.trades.setdefault(event.symbol, []).append(event)
                self.plant.publish(event)
        self.plant.advance(START_MS + until_ms)

    def get(self, path: str, **raw: object) -> Any:
        venue = COINM if path.startswith("/dapi") else USDM
        query = find_path(venue, path)
        assert query is not None
        answer = query.respond(self.plant.venues[venue.name], raw)
        return msgspec.json.decode(msgspec.json.encode(answer))

    def ask_everything(self) -> int:
        """Send every request without parameters or with a symbol; return how many were answered."""
        answered = 0
        for query in QUERIES:
            for venue, symbol, pair in (
                (USDM, "BTCUSDT", "BTCUSDT"),
                (COINM, "BTCUSD_PERP", "BTCUSD"),
            ):
                if venue not in query.venues:
                    continue
                markets = self.plant.venues[venue.name]
                names = {param.name for param in query.params}
                given = {
                    "symbol": symbol,
                    "pair": pair,
                    "interval": "1m",
                    "period": "5m",
                    "contractType": "PERPETUAL",
                }
                raw = {name: value for name, value in given.items() if name in names}
                if {"symbol", "pair"} <= raw.keys():
                    del raw["pair"]
                with suppress(RequestError):
                    assert msgspec.json.encode(query.respond(markets, raw))
                    answered += 1
        return answered

    def subscribe_to_everything(self) -> dict[str, Listener]:
        listeners = {}
        for venue in ("usdm", "coinm"):
            names = [
                name
                for stream in CATALOGUE
                if self.plant.venues[venue].venue in stream.venues
                and (name := name_of(self.plant, stream, venue)) is not None
            ]
            listeners[venue] = listen(self.plant, names, venue)
        return listeners


def test_an_empty_side_is_zero_in_the_best_prices_and_missing_in_the_book() -> None:
    market = LeveredMarket(("BTCUSDT", "BTCUSD_PERP"))
    heard = listen(market.plant, ["btcusdt@bookTicker", "btcusdt@depth5@100ms", "btcusdt@ticker"])
    market.pull(500, {"market": "one_sided", "side": "bids"})
    market.play(3_000)
    messages = sent_to(market.plant, heard)
    quote = [each for each in messages if each["e"] == "bookTicker"][-1]
    assert (quote["b"], quote["B"]) == ("0.00", "0.000")
    assert float(quote["a"]) > 0 < float(quote["A"])
    partial = [each for each in messages if each["e"] == "depthUpdate"][-1]
    assert partial["b"] == []
    assert len(partial["a"]) == 5
    assert market.get("/fapi/v1/depth", symbol="BTCUSDT", limit=10)["bids"] == []
    best = market.get("/fapi/v1/ticker/bookTicker", symbol="BTCUSDT")
    assert (best["bidPrice"], best["bidQty"]) == ("0.00", "0.000")
    assert float(market.get("/fapi/v1/premiumIndex", symbol="BTCUSDT")["markPrice"]) > 0
    assert market.get("/dapi/v1/depth", symbol="BTCUSD_PERP")["bids"] == []


def test_a_halted_contract_says_so_and_keeps_its_book() -> None:
    market = LeveredMarket(("BTCUSDT", "TRXUSDT"))
    heard = listen(market.plant, ["!contractInfo", "btcusdt@trade", "btcusdt@depth@0ms"])
    market.pull(700, {"market": "halt", "symbols": "BTCUSDT", "for": "2s"})
    market.play(600)
    sent_to(market.plant, heard)
    market.play(1_000)
    before = market.get("/fapi/v1/depth", symbol="BTCUSDT")
    sent_to(market.plant, heard)
    market.play(2_600)
    assert sent_to(market.plant, heard) == []
    assert market.get("/fapi/v1/depth", symbol="BTCUSDT")["bids"] == before["bids"]
    statuses = {
        each["symbol"]: each["status"] for each in market.get("/fapi/v1/exchangeInfo")["symbols"]
    }
    assert statuses == {"BTCUSDT": "TRADING_HALT", "TRXUSDT": "TRADING"}
    market.play(5_000)
    resumed = sent_to(market.plant, heard)
    assert [each["cs"] for each in resumed if each["e"] == "contractInfo"] == ["TRADING"]
    assert any(each["e"] == "depthUpdate" for each in resumed)


ALL_LEVERS: tuple[tuple[int, Mapping[str, object]], ...] = (
    (500, {"market": "shock", "move": -0.08, "over": "1s", "recover": 0.4, "recover_over": "1s"}),
    (1_000, {"market": "liquidations", "over": "1s", "notional": 20_000_000}),
    (3_500, {"market": "one_sided", "side": "asks", "for": "1s"}),
    (5_000, {"market": "makers", "presence": 0, "for": "2s"}),
    (5_500, {"market": "activity", "factor": 6, "for": "2s"}),
    (7_500, {"market": "depth", "factor": 0.05, "for": "2s"}),
    (7_500, {"market": "volatility", "factor": 8, "for": "2s"}),
    (9_500, {"market": "halt", "venue": "usdm", "for": "2s"}),
    (12_000, {"market": "funding", "rate": 0.02, "over": "1s", "for": "2s"}),
    (12_000, {"market": "list", "symbols": "NEWUSDT", "notice": "1s"}),
    (12_500, {"market": "delist", "symbols": "TRXUSDT", "notice": "2s"}),
    (13_000, {"market": "deliver", "notice": "2s"}),
)


@pytest.mark.heavy
def test_every_stream_and_request_copes_with_every_lever() -> None:
    market = LeveredMarket()
    heard = market.subscribe_to_everything()
    for after_ms, written in ALL_LEVERS:
        market.pull(after_ms, written)
    usual = market.ask_everything()
    for second in range(1, 22, 2):
        market.play(second * 1_000 + 250)
        assert market.ask_everything() >= usual - 6, f"at {second} s"
        for listener in heard.values():
            sent_to(market.plant, listener)
    assert market.exchange.levers.state() == []
    for symbol in ("BTCUSDT", "BTCUSD_PERP"):
        book, engine = (
            market.plant.markets[symbol].book,
            market.exchange.contracts[symbol].market.engine,
        )
        assert book.top(5_000) == (engine.bids.top(5_000), engine.asks.top(5_000))


@pytest.mark.heavy
def test_the_candles_of_a_crash_are_those_of_its_trades() -> None:
    market = LeveredMarket(("BTCUSDT",))
    market.pull(
        5_000,
        {"market": "shock", "move": -0.1, "over": "5s", "recover": 0.5, "recover_over": "5s"},
    )
    market.play(62_000)
    first_ms = START_MS // MINUTE_MS * MINUTE_MS
    compared = 0
    rows = market.get("/fapi/v1/klines", symbol="BTCUSDT", interval="1m", limit=3)
    for row in rows:
        traded = [
            each
            for each in market.trades["BTCUSDT"]
            if row[0] <= each.trade_time_ms <= row[6] and each.origin == "MARKET"
        ]
        if row[0] <= first_ms or not traded:
            continue  # partly generated history
        compared += 1
        prices = [each.price for each in traded]
        assert [round(float(text) * 100) for text in row[1:5]] == [
            prices[0],
            max(prices),
            min(prices),
            prices[-1],
        ]
        assert round(float(row[5]) * 1_000) == sum(each.quantity for each in traded)
        assert row[8] == len(traded)
    assert compared == 1
