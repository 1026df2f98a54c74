"""ccxt: every endpoint it lists, the unified market-data methods, and every `watch` method."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterable, Iterator
from functools import partial
from typing import Any

import ccxt.pro

from compat.endpoints import OTHER, WITHDRAWN, fault, query
from compat.trial import (
    COINM,
    REST,
    STREAM,
    USDM,
    WS_API,
    Contracts,
    Outcome,
    Report,
    Server,
    error_text,
    listed,
    read_server,
)
from tickerplant.testing import point

LIBRARY = "ccxt"
EXCHANGES = {USDM: ccxt.pro.binanceusdm, COINM: ccxt.pro.binancecoinm}
SYMBOLS = {USDM: "BTC/USDT:USDT", COINM: "BTC/USD:BTC"}
NOTHING = "any"
"""What stands for key and secret: the server looks at neither, the library wants them to sign."""
APIS = {USDM: ("fapiPublic", "fapiPublicV2", "fapiData"), COINM: ("dapiPublic", "dapiData")}
MAY_BE_EMPTY = {"fetch_funding_intervals"}
"""The methods that list only what differs from the usual."""
NOT_THERE = {(COINM, "delivery-price")}
"""Endpoints that ccxt lists though the exchange documents none."""

Call = Callable[[], Awaitable[Any]]


def exchange_of(server: Server, venue: str, key: str | None = None) -> Any:
    """Return an exchange object with its addresses changed."""
    exchange = EXCHANGES[venue]({"apiKey": key})
    return point(exchange, usdm=f"http://{server.usdm}", coinm=f"http://{server.coinm}")


def endpoints(exchange: Any, venue: str) -> Iterator[tuple[str, str]]:
    """Yield the methods for endpoints: the name, and the endpoint."""
    for api in APIS[venue]:
        for endpoint in exchange.api[api]["get"]:
            words = re.split(r"[/-]", endpoint)
            yield f"{api}Get" + "".join(word[:1].upper() + word[1:] for word in words), endpoint


def unified(exchange: Any, venue: str) -> Iterator[tuple[str, Call]]:
    """Yield the unified methods for market data."""
    symbol = SYMBOLS[venue]
    for name in [
        "fetch_time",
        "fetch_markets",
        "fetch_tickers",
        "fetch_bids_asks",
        "fetch_last_prices",
    ]:
        yield name, getattr(exchange, name)
    for name in ["fetch_mark_prices", "fetch_funding_rates", "fetch_funding_intervals"]:
        yield name, getattr(exchange, name)
    of_symbol = "fetch_order_book fetch_ticker fetch_mark_price fetch_trades fetch_ohlcv"
    of_symbol += " fetch_mark_ohlcv fetch_index_ohlcv fetch_premium_index_ohlcv"
    of_symbol += " fetch_funding_rate fetch_funding_rate_history fetch_open_interest"
    of_symbol += " fetch_open_interest_history fetch_long_short_ratio_history"
    for name in of_symbol.split():
        yield name, partial(getattr(exchange, name), symbol)


def watches(exchange: Any, venue: str) -> Iterator[tuple[str, Call]]:
    """Yield the methods that follow streams, each in the variants its options allow."""
    symbol = SYMBOLS[venue]
    one = "watch_order_book watch_trades watch_ohlcv watch_ticker watch_mark_price"
    for name in one.split():
        yield name, partial(getattr(exchange, name), symbol)
    many = "watch_order_book_for_symbols watch_trades_for_symbols watch_tickers"
    many += " watch_mark_prices watch_bids_asks"
    for name in many.split():
        yield name, partial(getattr(exchange, name), [symbol])
    for name in ["watch_tickers", "watch_mark_prices"]:
        yield f"{name}, all", getattr(exchange, name)
    if venue == USDM:
        yield "watch_bids_asks, all", exchange.watch_bids_asks
    yield (
        "watch_liquidations",
        lambda: first(exchange.watch_liquidations(each) for each in exchange.symbols),
    )
    yield (
        "watch_liquidations_for_symbols",
        lambda: exchange.watch_liquidations_for_symbols(
            [each for each in exchange.symbols if exchange.market(each)["swap"]]
        ),
    )
    yield "watch_ohlcv_for_symbols", lambda: exchange.watch_ohlcv_for_symbols([[symbol, "5m"]])
    yield (
        "watch_trades, aggTrade",
        lambda: exchange.watch_trades(symbol, params={"name": "aggTrade"}),
    )
    yield "watch_ticker, miniTicker", lambda: exchange.watch_ticker(symbol, {"name": "miniTicker"})
    if venue == COINM:
        yield (
            "watch_ohlcv, markPriceKline",
            partial(exchange.watch_ohlcv, symbol, "1m", params={"name": "markPriceKline"}),
        )


async def first(calls: Iterable[Awaitable[Any]]) -> Any:
    """Return what the first of the calls brings."""
    tasks = [asyncio.ensure_future(call) for call in calls]
    done, others = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in others:
        task.cancel()
    return done.pop().result()


async def problem_of(call: Call, wait_s: float, *, may_be_empty: bool = False) -> str:
    """Return what is wrong with what a call brings."""
    try:
        answer = await asyncio.wait_for(call(), wait_s)
    except TimeoutError:
        return "nothing arrived"
    except Exception as error:  # noqa: BLE001  # whatever a library raises is a finding
        return error_text(error)
    return "" if answer or may_be_empty else f"an answer without content: {answer!r}"[:200]


async def ask_endpoints(report: Report, exchange: Any, venue: str, contracts: Contracts) -> None:
    """Try every endpoint that the library lists."""
    for name, endpoint in endpoints(exchange, venue):
        if endpoint in OTHER:
            continue
        if endpoint in WITHDRAWN or (venue, endpoint) in NOT_THERE:
            reason = WITHDRAWN.get(endpoint, "the exchange documents no such endpoint")
            report.add(LIBRARY, venue, REST, name, reason, Outcome.DIFFERS)
            continue
        try:
            arguments = query(venue, endpoint, contracts)
            problem = fault(endpoint, await getattr(exchange, name)(arguments))
        except KeyError:
            problem = "this program does not try it yet"
        except Exception as error:  # noqa: BLE001  # whatever a library raises is a finding
            problem = error_text(error)
        report.add(LIBRARY, venue, REST, name, problem)


async def ask_unified(report: Report, exchange: Any, venue: str) -> None:
    """Try every unified method of market data over REST."""
    await exchange.load_markets()
    for name, call in unified(exchange, venue):
        problem = await problem_of(call, 10, may_be_empty=name in MAY_BE_EMPTY)
        report.add(LIBRARY, venue, REST, name, problem)


async def ask_api(report: Report, exchange: Any, venue: str) -> None:
    """Try the public methods over the WebSocket API."""
    symbol = SYMBOLS[venue]
    exchange.apiKey = exchange.secret = NOTHING
    for name in ("fetch_order_book_ws", "fetch_ticker_ws"):
        problem = await problem_of(partial(getattr(exchange, name), symbol), 10)
        report.add(LIBRARY, venue, WS_API, name, problem)


async def listen(report: Report, server: Server, venue: str) -> None:
    """Try every method that follows streams; each has an exchange object of its own."""

    async def one(index: int, name: str) -> None:
        exchange = exchange_of(server, venue)
        try:
            await exchange.load_markets()
            call = list(watches(exchange, venue))[index][1]
            problem = await problem_of(call, server.timeout_s)
        finally:
            await exchange.close()
        report.add(LIBRARY, venue, STREAM, name, problem)

    tried = [name for name, _ in watches(exchange_of(server, venue), venue)]
    await asyncio.gather(*(one(index, name) for index, name in enumerate(tried)))
    if venue == COINM:
        name, reason = "watch_ohlcv, indexPriceKline", "the library takes the pair for a contract"
        report.add(LIBRARY, venue, STREAM, name, reason, Outcome.DIFFERS)


async def try_venue(report: Report, server: Server, venue: str) -> None:
    """Try everything the library offers of a venue."""
    keyed, exchange = exchange_of(server, venue, NOTHING), exchange_of(server, venue)
    await ask_endpoints(report, keyed, venue, listed(server, venue))
    await ask_unified(report, exchange, venue)
    if venue == USDM:
        await ask_api(report, exchange, venue)
    await asyncio.gather(keyed.close(), exchange.close())
    await listen(report, server, venue)


async def main() -> None:
    """Try everything the library offers of both venues."""
    server, report = read_server(), Report()
    await asyncio.gather(*(try_venue(report, server, venue) for venue in EXCHANGES))


if __name__ == "__main__":
    asyncio.run(main())
