"""Requests over REST, within the request weight of the IP address, with retries."""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import Mapping
from contextlib import AsyncExitStack
from decimal import Decimal
from importlib import import_module
from random import Random
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

import msgspec
from msgspec import Raw

from tickerplant.client.connection import USER_AGENT
from tickerplant.client.request import (
    PATIENCE_S,
    Clock,
    Request,
    RequestContext,
    Sleep,
    error_of,
    wall_clock_ms,
)
from tickerplant.errors import UpstreamError
from tickerplant.feed.hosts import Hosts
from tickerplant.feed.weight import REFUSALS, WeightBudget
from tickerplant.formatting import one_line
from tickerplant.messages.readers import UNREADABLE
from tickerplant.queries import find_path
from tickerplant.venue import Venue

if TYPE_CHECKING:
    from tickerplant.client.http import HttpResponse, HttpSession

MAX_CONCURRENT = 10
"""Maximum number of requests at the same time."""
UNKNOWN_WEIGHT = 1
"""Weight of a path that `queries` does not have."""
USED_WEIGHT = "X-MBX-USED-WEIGHT-1M"
KEY_HEADER = "X-MBX-APIKEY"
RETRIED = frozenset({408, *range(500, 600)})
"""Statuses after which a request is sent again: a timeout of the backend, and a server error."""

_HTTP = "tickerplant.client.http"
_PATH_CHARACTERS = "/@:!$&'()*+,;="
"""Characters that are not escaped in a path, besides letters, digits and `-._~`."""
_SHOWN = ("symbol", "pair", "interval", "period")
"""Parameters that errors show; others may be secret."""
_TITLE = re.compile(rb"<title[^>]*>([^<]{1,80})", re.IGNORECASE)
_VERSIONED = re.compile(r"v[0-9]+/")
_WEIGHT = re.compile(r"[0-9]{1,9}")
"""A used weight; longer text is invalid."""


_decode = msgspec.json.Decoder().decode
_check_json = msgspec.json.Decoder(Raw).decode


class RestClient:
    """Sends REST requests to one venue.

    The session is opened by the first request, in its event loop.  After `close` no request can be
    sent.
    """

    def __init__(
        self,
        hosts: Hosts,
        budget: WeightBudget,
        *,
        timeout_s: float = 10.0,
        api_key: str | None = None,
        patience_s: float = PATIENCE_S,
        clock: Clock = wall_clock_ms,
        sleep: Sleep = asyncio.sleep,
        rng: Random | None = None,
    ) -> None:
        """Nothing is opened yet."""
        self.hosts = hosts
        """The addresses of the venue."""
        self._timeout_s = timeout_s
        self._headers = {"User-Agent": USER_AGENT, "Accept": "application/json"}
        if api_key is not None:
            self._headers[KEY_HEADER] = api_key
        self.context = RequestContext(
            budget, patience_s=patience_s, clock=clock, sleep=sleep, rng=rng or Random()
        )
        self._slots = asyncio.Semaphore(MAX_CONCURRENT)
        self._session: HttpSession | None = None

    async def get(self, path: str, /, **params: object) -> bytes:
        """Return the body of the response, limited by the patience only; see `fetch`."""
        return await self.fetch(path, params)

    async def fetch(
        self,
        path: str,
        params: Mapping[str, object],
        *,
        timeout_s: float | None = None,
        is_page: bool = False,
    ) -> bytes:
        """Return the body of the response, which is JSON.

        Args:
            path: `depth` (of the venue, version 1), `v2/ticker/price` (of the venue),
                `futures/data/basis`, or a complete path that begins with a slash.
            params: Query parameters; None is left out.
            timeout_s: Total time for attempts and pauses.  A wait that is known to take longer, or
                for the end of a refusal, fails at once.  None: limited by the patience only.
            is_page: Whether it is one of the requests of a long fetch: it waits for its turn and for
                request weight (see `MAX_WEIGHT_WAIT_S`), and is then answered within the timeout of
                one attempt.

        Raises:
            RateLimitError: the server refuses this IP address (429, 418), or this minute's request
                weight is spent, for longer than the request waits.
            RequestError: the server responded with an error.
            UpstreamError: there was no valid response in time, or after several attempts.
        """
        timeout_s = self._timeout_s if is_page else timeout_s
        target = full_path(path, self.hosts.venue)
        texts = {name: text_of(value) for name, value in params.items() if value is not None}
        weight = self._weight_of(target, texts)
        url = self.url_of(path)
        request = Request(
            self.context, url, one_line(target), shown_text(texts), timeout_s, is_page=is_page
        )
        async with request.limited(), AsyncExitStack() as slot:
            while True:
                async with request.waiting_for_turn():
                    await slot.enter_async_context(self._slots)
                    await request.spend(weight)
                async with slot.pop_all():
                    result = await self._attempt(request, url, texts)
                if isinstance(result, bytes):
                    return result
                if isinstance(result, str):
                    await request.wait_after_failure(result)

    def wait_ms(self, path: str, /, **params: object) -> int:
        """Return how long a request would have to wait for request weight now."""
        texts = {name: text_of(value) for name, value in params.items()}
        weight = self._weight_of(full_path(path, self.hosts.venue), texts)
        return self.context.budget.wait_ms(weight, self.context.clock())

    def _weight_of(self, target: str, texts: Mapping[str, str]) -> int:
        query = find_path(self.hosts.venue, target)
        return UNKNOWN_WEIGHT if query is None else query.weigh_over_rest(texts, None)

    def url_of(self, path: str) -> str:
        """Return the URL of `path`."""
        return self.hosts.rest + quote(full_path(path, self.hosts.venue), safe=_PATH_CHARACTERS)

    def address_of(self, path: str, **params: str) -> str:
        """Return the URL of `path` with a query string."""
        return f"{self.url_of(path)}?{urlencode(params)}" if params else self.url_of(path)

    def now_ms(self) -> int:
        """Return the time of the client's clock, ms since the epoch."""
        return self.context.clock()

    async def close(self) -> None:
        """Close the session; pending requests fail with an `UpstreamError`."""
        self.context.close()
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def _attempt(
        self, request: Request, url: str, params: Mapping[str, str]
    ) -> bytes | str | None:
        """Return the body; or why there was no valid response; or None after a refusal."""
        http = await self._http()
        request.check_open()
        if self._session is None:
            self._session = http.HttpSession(
                self._headers,
                timeout_s=self._timeout_s,
                max_connections=MAX_CONCURRENT,
            )
        try:
            response = await self._session.get(url, params)
        except http.NoResponseError as error:
            return str(error)
        except http.TooLongError as error:
            raise request.failure(str(error)) from None
        return self._result(request, response)

    async def _http(self) -> Any:
        """Return the HTTP module, imported in a thread the first time: that takes long."""
        module = sys.modules.get(_HTTP)
        if module is None or not hasattr(module, "HttpSession"):
            module = await asyncio.to_thread(import_module, _HTTP)
        return module

    def _result(self, request: Request, response: HttpResponse) -> bytes | str | None:
        used, status = response.headers.get(USED_WEIGHT, ""), response.status
        if _WEIGHT.fullmatch(used):
            request.note_used(int(used))
        if status == 200:
            return response.body if is_json(response.body) else _why_not_json(response.body)
        reason = one_line(response.reason)
        if status in REFUSALS:
            request.refused_by_http(status, reason, response.headers, response.body)
            return None
        error = error_of(response.body)
        text = f"HTTP {status} {reason}".rstrip()
        if error is not None:
            text += f": {error.code} {one_line(error.msg)}"
        elif location := response.headers.get("Location", ""):
            text += f", without an error of the exchange, redirected to {one_line(location)}"
        else:
            text += f", without an error of the exchange{_title_of(response.body)}"
        if status in RETRIED:
            return text
        if error is None or status // 100 != 4:
            raise request.failure(text)
        raise request.rejected(error.code, error.msg, status)


def _why_not_json(body: bytes) -> str:
    """Return why a body is not valid JSON."""
    if not body:
        return "the response is not JSON: it is empty"
    if body.lstrip()[:1] == b"<":
        return (
            f"the response is not JSON but a web page{_title_of(body)}: "
            "there may be a proxy, or a network that requires a login"
        )
    return (
        f"the response is not JSON, or incomplete: {one_line(body[:80].decode(errors='replace'))}"
    )


def _title_of(body: bytes) -> str:
    """Return ` titled "…"` for a page with a title, else an empty text."""
    found = _TITLE.search(body[:4096])
    return f' titled "{one_line(found[1].decode(errors="replace"))}"' if found else ""


def full_path(path: str, venue: Venue) -> str:
    """Return the complete REST path that `path` abbreviates on `venue`."""
    if path.startswith("/"):
        return path
    if path.startswith(("futures/", f"{venue.rest_prefix[1:]}/")):
        return f"/{path}"
    first = "" if _VERSIONED.match(path) else "v1/"
    return f"{venue.rest_prefix}/{first}{path}"


def shown_text(params: Mapping[str, object]) -> str:
    """Return the parameters that identify the market, as errors show them."""
    return one_line(" ".join(f"{name}={params[name]}" for name in _SHOWN if name in params))


def text_of(value: object) -> str:
    """Return a parameter as text: numbers without an exponent; booleans and lists as JSON."""
    if isinstance(value, str):
        return value
    if isinstance(value, float):
        return format(Decimal(repr(value)), "f")
    if isinstance(value, Decimal):
        return format(value, "f")
    return msgspec.json.encode(value).decode()


def is_json(body: bytes) -> bool:
    """Whether `body` is JSON."""
    try:
        _check_json(body)
    except UNREADABLE:
        return False
    return True


def decoded(body: bytes, url: str) -> Any:
    """Return a response of `url` as Python objects."""
    try:
        return _decode(body)
    except UNREADABLE as error:
        raise UpstreamError(url, f"the response cannot be decoded: {error}") from None
