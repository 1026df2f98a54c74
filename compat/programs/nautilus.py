"""nautilus_trader: its live data client in a trading node, without an account.

Its instrument provider asks for the account (`/fapi/v2/account`), which a server of market data does
not have: nothing is loaded by the provider, and the node is given the instrument instead.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

from nautilus_trader.adapters.binance import (
    BINANCE,
    BinanceAccountType,
    BinanceDataClientConfig,
    BinanceLiveDataClientFactory,
)
from nautilus_trader.config import InstrumentProviderConfig, LoggingConfig, TradingNodeConfig
from nautilus_trader.live.node import TradingNode
from nautilus_trader.model.currencies import BTC, USD, USDT
from nautilus_trader.model.data import BarType
from nautilus_trader.model.enums import BookType
from nautilus_trader.model.identifiers import InstrumentId, Symbol
from nautilus_trader.model.instruments import CryptoFuture, CryptoPerpetual, Instrument
from nautilus_trader.model.objects import Price, Quantity
from nautilus_trader.trading.strategy import Strategy

from compat.trial import COINM, REST, STREAM, USDM, Outcome, Server, Trial, until

ACCOUNTS = {USDM: BinanceAccountType.USDT_FUTURES, COINM: BinanceAccountType.COIN_FUTURES}
STREAMS = ("quote ticks", "trade ticks", "order book deltas", "bars", "mark prices")
REQUESTS = ("request bars", "request trade ticks")
DIFFERENT = {
    "mark prices": "dated contracts have an empty funding rate, which the client cannot read",
    "request trade ticks": "trades of COIN-M have baseQty, and the client wants quoteQty",
}
"""What the exchange sends on COIN-M otherwise than the client expects."""
PERPETUALS = "the client names BTCUSD_PERP BTCUSD-PERP, and then subscribes to btcusd"


def instrument_of(rows: list[dict[str, Any]], venue: str) -> Instrument:
    """Return one of the contracts as the library has it: the one that is tried."""
    wanted = "PERPETUAL" if venue == USDM else "QUARTER"
    contract = next(row for row in rows if row["symbol"].startswith("BTC") and
                    row["contractType"].endswith(wanted))  # fmt: skip
    filters = {row["filterType"]: row for row in contract["filters"]}
    price = Price.from_str(filters["PRICE_FILTER"]["tickSize"])
    size = Quantity.from_str(filters["LOT_SIZE"]["stepSize"])
    name = f"{contract['symbol']}-PERP" if venue == USDM else contract["symbol"]
    common = {
        "instrument_id": InstrumentId.from_str(f"{name}.BINANCE"),
        "raw_symbol": Symbol(contract["symbol"]),
        "price_precision": price.precision,
        "size_precision": size.precision,
        "price_increment": price,
        "size_increment": size,
        "ts_event": 0,
        "ts_init": 0,
    }
    if venue == USDM:
        return CryptoPerpetual(base_currency=BTC, quote_currency=USDT, settlement_currency=USDT,
                               is_inverse=False, **common)  # fmt: skip
    return CryptoFuture(underlying=BTC, quote_currency=USD, settlement_currency=BTC,
                        is_inverse=True, activation_ns=contract["onboardDate"] * 1_000_000,
                        expiration_ns=contract["deliveryDate"] * 1_000_000,
                        multiplier=Quantity.from_int(contract["contractSize"]),
                        **common)  # fmt: skip


def _keep(name: str) -> Any:
    """Return a handler that keeps that something came."""

    def take(strategy: Any, _data: object) -> None:
        strategy.arrived.add(name)

    return take


class Listening(Strategy):  # type: ignore[misc]  # the library has no types
    """Subscribes to everything of one instrument, asks for its past, and keeps what came."""

    def __init__(self, instrument_id: InstrumentId) -> None:
        super().__init__()
        self.wanted = instrument_id
        self.arrived: set[str] = set()

    def on_start(self) -> None:
        """Subscribe, and ask."""
        name = self.wanted
        bars = BarType.from_str(f"{name}-1-MINUTE-LAST-EXTERNAL")
        self.subscribe_quote_ticks(name)
        self.subscribe_trade_ticks(name)
        self.subscribe_order_book_deltas(name, book_type=BookType.L2_MBP)
        self.subscribe_bars(bars)
        self.subscribe_mark_prices(name)
        start = datetime.now(UTC) - timedelta(hours=1)
        self.request_bars(bars, start=start, callback=lambda _: self.arrived.add("request bars"))
        self.request_trade_ticks(
            name, start=start, callback=lambda _: self.arrived.add("request trade ticks")
        )

    on_quote_tick = _keep("quote ticks")
    on_trade_tick = _keep("trade ticks")
    on_order_book_deltas = _keep("order book deltas")
    on_bar = _keep("bars")
    on_mark_price = _keep("mark prices")


def node_of(server: Server, venue: str) -> TradingNode:
    """Return a node whose data client has its two base URLs changed."""
    address = server.address(venue)
    client = BinanceDataClientConfig(
        api_key="any",
        api_secret="any",  # noqa: S106  # the server looks at neither
        account_type=ACCOUNTS[venue],
        base_url_http=f"http://{address}",
        base_url_ws=f"ws://{address}",
        instrument_provider=InstrumentProviderConfig(load_all=False),
    )
    config = TradingNodeConfig(
        logging=LoggingConfig(log_level="WARNING"),
        data_clients={BINANCE: client},
        timeout_connection=20.0,
        timeout_disconnection=2.0,
        timeout_post_stop=0.5,
    )
    node = TradingNode(config=config, loop=asyncio.new_event_loop())
    node.add_data_client_factory(BINANCE, BinanceLiveDataClientFactory)
    node.build()
    return node


async def listen(node: TradingNode, strategy: Listening, timeout_s: float) -> None:
    """Run a node until everything has arrived, or for as long as the timeout allows."""
    running = asyncio.ensure_future(node.run_async())
    wanted = {*STREAMS, *REQUESTS}
    await asyncio.to_thread(until, lambda: strategy.arrived >= wanted, timeout_s)
    await node.stop_async()
    await asyncio.wait({running}, timeout=5)


def main() -> None:
    """Try the data client of both venues."""
    trial = Trial("nautilus_trader")
    for venue in ACCOUNTS:
        instrument = instrument_of(trial.contracts(venue).rows, venue)
        node = node_of(trial.server, venue)
        node.kernel.cache.add_instrument(instrument)
        strategy = Listening(instrument.id)
        node.trader.add_strategy(strategy)
        run = listen(node, strategy, trial.server.timeout_s / 4)
        node.get_event_loop().run_until_complete(run)
        node.dispose()
        for name in (*STREAMS, *REQUESTS):
            kind = STREAM if name in STREAMS else REST
            if name in strategy.arrived:
                trial.add(venue, kind, name)
            elif venue == COINM and name in DIFFERENT:
                trial.add(venue, kind, name, DIFFERENT[name], Outcome.DIFFERS)
            else:
                trial.add(venue, kind, name, "nothing arrived")
    trial.add(COINM, STREAM, "perpetuals", PERPETUALS, Outcome.NOT_OFFERED)


if __name__ == "__main__":
    main()
