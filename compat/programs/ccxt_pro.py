"""ccxt: every endpoint it lists, the unified market-data methods, and every `watch` method."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Iterable
from functools import partial
from typing import Any

import ccxt.pro

from compat.endpoints import OTHER, ask, query
from compat.trial import COINM, REST, STREAM, USDM, WS_API, Call, Outcome, Server, Trial
from tickerplant.testing import point

EXCHANGES = {USDM: ccxt.pro.binanceusdm, COINM: ccxt.pro.binancecoinm}
SYMBOLS = {USDM: "BTC/USDT:USDT", COINM: "BTC/USD:BTC"}
NOTHING = "any"
"""What stands for key and secret: the server looks at neither, the library wants them to sign."""
APIS = {USDM: ("fapiPublic", "fapiPublicV2", "fapiData"), COINM: ("dapiPublic", "dapiData")}
MAY_BE_EMPTY = {"fetch_funding_intervals"}
"""The methods that list only what differs from the usual."""
FETCHED = (
    "fetch_time fetch_markets fetch_tickers fetch_bids_asks fetch_last_prices fetch_mark_prices"
    " fetch_funding_rates fetch_funding_intervals"
)
FETCHED_OF_SYMBOL = (
    "fetch_order_book fetch_ticker fetch_mark_price fetch_trades fetch_ohlcv fetch_mark_ohlcv"
    " fetch_index_ohlcv fetch_premium_index_ohlcv fetch_funding_rate fetch_funding_rate_history"
    " fetch_open_interest fetch_open_interest_history fetch_long_short_ratio_history"
)
WATCHED = "watch_order_book watch_trades watch_ohlcv watch_ticker watch_mark_price"
WATCHED_OF_SYMBOLS = (
    "watch_order_book_for_symbols watch_trades_for_symbols watch_tickers watch_mark_prices"
    " watch_bids_asks"
)


def exchange_of(server: Server, venue: str, key: str | None = None) -> Any:
    """Return an exchange object with its addresses changed."""
    exchange = EXCHANGES[venue]({"apiKey": key})
    return point(exchange, usdm=f"http://{server.usdm}", coinm=f"http://{server.coinm}")


def watches(exchange: Any, venue: str) -> dict[str, Call]:
    """Return the calls that follow streams, each in the variants its options allow."""
    symbol = SYMBOLS[venue]
    everything = ["watch_tickers", "watch_mark_prices"] + ["watch_bids_asks"] * (venue == USDM)
    calls: dict[str, Call] = {
        **{name: partial(getattr(exchange, name), symbol) for name in WATCHED.split()},
        **{name: partial(getattr(exchange, name), [symbol]) for name in WATCHED_OF_SYMBOLS.split()},
        **{f"{name}, all": getattr(exchange, name) for name in everything},
        "watch_liquidations": lambda: first(map(exchange.watch_liquidations, exchange.symbols)),
        "watch_liquidations_for_symbols": lambda: exchange.watch_liquidations_for_symbols(
            [each for each in exchange.symbols if exchange.market(each)["swap"]]
        ),
        "watch_ohlcv_for_symbols": partial(exchange.watch_ohlcv_for_symbols, [[symbol, "5m"]]),
    }
    named = [("watch_trades", "aggTrade"), ("watch_ticker", "miniTicker")]
    named += [("watch_ohlcv", "markPriceKline")] * (venue == COINM)
    for name, stream in named:
        call = partial(getattr(exchange, name), symbol, params={"name": stream})
        calls[f"{name}, {stream}"] = call
    return calls


async def first(calls: Iterable[Awaitable[Any]]) -> Any:
    """Return what the first of the calls brings."""
    tasks = [asyncio.ensure_future(call) for call in calls]
    done, others = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in others:
        task.cancel()
    return done.pop().result()


async def ask_endpoints(trial: Trial, exchange: Any, venue: str) -> None:
    """Try every endpoint that the library lists."""
    contracts = trial.contracts(venue)
    for api in APIS[venue]:
        for endpoint in exchange.api[api]["get"]:
            if endpoint in OTHER:
                continue
            words = re.split(r"[/-]", endpoint)
            name = f"{api}Get" + "".join(word[:1].upper() + word[1:] for word in words)
            call = partial(getattr(exchange, name), query(venue, endpoint, contracts))
            await ask(trial, venue, name, endpoint, call)


async def ask_unified(trial: Trial, exchange: Any, venue: str) -> None:
    """Try every unified method of market data, over REST and over the WebSocket API."""
    await exchange.load_markets()
    symbol = SYMBOLS[venue]
    for name in FETCHED.split():
        may_be_empty = name in MAY_BE_EMPTY
        await trial.ask(venue, REST, name, getattr(exchange, name), may_be_empty=may_be_empty)
    for name in FETCHED_OF_SYMBOL.split():
        await trial.ask(venue, REST, name, partial(getattr(exchange, name), symbol))
    if venue == USDM:
        exchange.apiKey = exchange.secret = NOTHING
        for name in ("fetch_order_book_ws", "fetch_ticker_ws"):
            await trial.ask(venue, WS_API, name, partial(getattr(exchange, name), symbol))


async def listen(trial: Trial, venue: str) -> None:
    """Try every method that follows streams; each has an exchange object of its own."""

    async def one(name: str) -> None:
        exchange = exchange_of(trial.server, venue)
        try:
            await exchange.load_markets()
            call = watches(exchange, venue)[name]
            await trial.ask(venue, STREAM, name, call)
        finally:
            await exchange.close()

    await asyncio.gather(*map(one, watches(exchange_of(trial.server, venue), venue)))
    if venue == COINM:
        name, reason = "watch_ohlcv, indexPriceKline", "the library takes the pair for a contract"
        trial.add(venue, STREAM, name, reason, Outcome.DIFFERS)


async def try_venue(trial: Trial, venue: str) -> None:
    """Try everything the library offers of a venue."""
    keyed, exchange = exchange_of(trial.server, venue, NOTHING), exchange_of(trial.server, venue)
    await ask_endpoints(trial, keyed, venue)
    await ask_unified(trial, exchange, venue)
    await asyncio.gather(keyed.close(), exchange.close())
    await listen(trial, venue)


async def main() -> None:
    """Try everything the library offers of both venues."""
    trial = Trial("ccxt")
    await asyncio.gather(*(try_venue(trial, venue) for venue in EXCHANGES))


if __name__ == "__main__":
    asyncio.run(main())
