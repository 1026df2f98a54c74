"""Fetches the messages missing from a gap over REST."""

from __future__ import annotations

from collections.abc import Sequence

from tickerplant.client.rest import RestClient
from tickerplant.client.series import Requests, series_of
from tickerplant.errors import RequestError, UpstreamError
from tickerplant.feed.actions import Fetch
from tickerplant.messages.message import Message
from tickerplant.stream_name import parse_stream_name


class Backfill:
    """Fetches the messages between two ids."""

    def __init__(self, rest: RestClient, api_key: str | None = None) -> None:
        self._rest = rest
        self._has_key = api_key is not None

    async def fetch(self, fetch: Fetch) -> tuple[Sequence[Message], str]:
        """Return the missing messages, oldest first; or none and the reason."""
        # A candle before one that was received is closed, whatever the local clock says.
        requests = Requests(self._rest, is_patient=True)
        now_ms, stream = fetch.before_id, parse_stream_name(fetch.stream)
        series = series_of(requests, stream, now_ms, has_key=self._has_key)
        try:
            found = await series.between(fetch.after_id, fetch.before_id)
        except (RequestError, UpstreamError) as error:
            return (), str(error)
        return found, "" if found else "the server no longer has them"
