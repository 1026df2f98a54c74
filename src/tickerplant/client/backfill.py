"""Fetches the messages missing from a gap over REST."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from msgspec import DecodeError

from tickerplant.client.rest import RestClient
from tickerplant.errors import RequestError, UpstreamError
from tickerplant.feed.actions import Fetch
from tickerplant.messages.message import Message
from tickerplant.messages.rest_rows import parse_aggregate_trades, parse_klines, parse_trades

PAGE = 1_000
"""Maximum number of rows in a response."""
PAGES = 20
"""Maximum number of requests for one gap."""


class Backfill:
    """Fetches the messages between two ids.

    Args:
        rest: Sends the requests.
        api_key: Required by the exchange for older trades.
    """

    def __init__(self, rest: RestClient, api_key: str | None = None) -> None:
        self._rest = rest
        self._has_key = api_key is not None

    async def fetch(self, fetch: Fetch) -> tuple[Sequence[Message], str]:
        """Return the missing messages, oldest first; or none and the reason."""
        by_kind = {"trade": self._trades, "aggTrade": self._aggregates}
        try:
            found = await by_kind.get(fetch.kind, self._candles)(fetch)
        except (RequestError, UpstreamError, DecodeError) as error:
            return (), str(error)
        return found, "" if found else "the server no longer has them"

    async def _trades(self, fetch: Fetch) -> Sequence[Message]:
        found = parse_trades(
            await self._rest.get("trades", symbol=fetch.symbol, limit=PAGE), fetch.symbol
        )
        if self._has_key and found and found[0].trade_id > fetch.after_id + 1:
            found = await self._older_trades(fetch)
        return [each for each in found if fetch.after_id < each.trade_id < fetch.before_id]

    async def _older_trades(self, fetch: Fetch) -> list[Any]:
        found: list[Any] = []
        next_id, page = fetch.after_id + 1, 500
        for _ in range(PAGES):
            answer = await self._rest.get(
                "historicalTrades", symbol=fetch.symbol, fromId=next_id, limit=page
            )
            rows = parse_trades(answer, fetch.symbol)
            found += rows
            if len(rows) < page or rows[-1].trade_id >= fetch.before_id:
                break
            next_id = rows[-1].trade_id + 1
        return found

    async def _aggregates(self, fetch: Fetch) -> Sequence[Message]:
        found: list[Any] = []
        next_id = fetch.after_id + 1
        for _ in range(PAGES):
            limit = min(PAGE, fetch.before_id - next_id)
            answer = await self._rest.get(
                "aggTrades", symbol=fetch.symbol, fromId=next_id, limit=limit
            )
            rows = parse_aggregate_trades(answer, fetch.symbol)
            found += [row for row in rows if row.aggregate_id < fetch.before_id]
            if not rows or rows[-1].aggregate_id + 1 >= fetch.before_id:
                break
            next_id = rows[-1].aggregate_id + 1
        return found

    async def _candles(self, fetch: Fetch) -> Sequence[Message]:
        found: list[Any] = []
        start_ms = fetch.after_id
        for _ in range(PAGES):
            answer = await self._rest.get(
                "klines",
                symbol=fetch.symbol,
                interval=fetch.kind,
                startTime=start_ms,
                endTime=fetch.before_id - 1,
                limit=PAGE,
            )
            # A candle before one that was received is closed, whatever the local clock says.
            rows = parse_klines(answer, fetch.symbol, fetch.kind, fetch.before_id)
            found += [row for row in rows if row.candle.open_time_ms < fetch.before_id]
            if len(rows) < PAGE:
                break
            start_ms = rows[-1].candle.close_time_ms + 1
        return found
