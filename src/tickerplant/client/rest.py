"""Questions over REST, within the weight of the address, again where that may help."""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import Mapping
from decimal import Decimal
from importlib import import_module
from random import Random
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

import msgspec
from msgspec import Raw, Struct

from tickerplant.client.dial import USER_AGENT
from tickerplant.client.waiting import (
    PATIENCE_S,
    TOO_MANY_REQUESTS,
    Clock,
    Question,
    Sleep,
    Waiting,
    retry_after_of,
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
    from tickerplant.client.http import HttpAnswer, HttpSession

MOST_AT_ONCE = 10
"""Questions that are on their way at the same time."""
UNKNOWN_WEIGHT = 1
"""Weight of a path that no row of `queries` has."""
USED_WEIGHT = "X-MBX-USED-WEIGHT-1M"
KEY_HEADER = "X-MBX-APIKEY"
TRY_AGAIN = frozenset({408, *range(500, 600)})
"""Statuses that say nothing of the question: a timeout of the backend, and a server in trouble."""

_HTTP = "tickerplant.client.http"
_PATH_SIGNS = "/@:!$&'()*+,;="
"""What stands in a path as it is, besides letters, digits and `-._~`."""
_NAMED = ("symbol", "pair", "interval", "period")
"""Parameters that errors name; others may be secrets."""
_TITLE = re.compile(rb"<title[^>]*>([^<]{1,80})", re.IGNORECASE)
_VERSIONED = re.compile(r"v[0-9]+/")
_WEIGHT = re.compile(r"[0-9]{1,9}")
"""A used weight; what is longer is none."""


class ErrorBody(Struct, frozen=True):
    """An error as the exchange writes it."""

    code: int
    msg: str


_decode_error = msgspec.json.Decoder(ErrorBody).decode
_decode = msgspec.json.Decoder().decode
_check_json = msgspec.json.Decoder(Raw).decode


class RestClient:
    """Asks one venue over REST.

    The session is opened with the first question, in the loop that asks it, and is closed by
    `close`, after which nothing can be asked.
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
        """Nothing is opened yet.

        Args:
            hosts: Where to ask.
            budget: The request weight of this address; may be shared with other clients.
            timeout_s: How long one try may take.
            api_key: For the paths that want one (`historicalTrades`).
            patience_s: How long a question waits on the server's account, refusals and failures,
                before it ends with an error.
            clock: Milliseconds since the epoch, by which minutes are counted.
            sleep: Waits for seconds.
            rng: Varies the pauses between tries.
        """
        self._hosts = hosts
        self._timeout_s = timeout_s
        self._headers = {"User-Agent": USER_AGENT, "Accept": "application/json"}
        if api_key is not None:
            self._headers[KEY_HEADER] = api_key
        self._waiting = Waiting(
            budget, patience_s=patience_s, clock=clock, sleep=sleep, rng=rng or Random()
        )
        self._places = asyncio.Semaphore(MOST_AT_ONCE)
        self._session: HttpSession | None = None

    async def get(self, path: str, /, **params: object) -> bytes:
        """Return the body of the answer, which is JSON.

        Args:
            path: `depth` (of the venue, version 1), `v2/ticker/price` (of the venue),
                `futures/data/basis`, or a whole path that begins with a slash.
            **params: What the question carries; None is left out.

        Raises:
            RequestError: the exchange answered with its error, or refused (429, 418) for longer
                than the patience.
            UpstreamError: there was no answer that makes sense, after several tries.
        """
        return await self.get_within(None, path, **params)

    async def get_within(self, timeout_s: float | None, path: str, /, **params: object) -> bytes:
        """Return the body of the answer if it comes in time; see `get`.

        Args:
            timeout_s: How long all of it may take, tries and pauses included.  Nothing is waited for
                that is known to take longer, nor for the end of a refusal.  None is no limit but the
                patience.
            path: What is asked.
            **params: What the question carries.

        Raises:
            RequestError: the exchange answered with its error, or refuses (429, 418) whatever is
                asked; or this minute's request weight is spent.  `until_ms` says for how long.
            UpstreamError: there was no answer that makes sense in time.
        """
        whole = whole_path(path, self._hosts.venue)
        texts = {name: text_of(value) for name, value in params.items() if value is not None}
        query = find_path(self._hosts.venue, whole)
        weight = UNKNOWN_WEIGHT if query is None else query.weigh(texts)
        url = self.url_of(path)
        question = self._waiting.question(url, one_line(whole), named_text(texts), timeout_s)
        async with question.in_time():
            while True:
                async with self._places:
                    await question.turn(weight)
                    answer = await self._try(question, url, texts)
                if isinstance(answer, bytes):
                    return answer
                if isinstance(answer, str):
                    await question.failed(answer)

    def url_of(self, path: str) -> str:
        """Return where `path` is asked."""
        return self._hosts.rest + quote(whole_path(path, self._hosts.venue), safe=_PATH_SIGNS)

    def address_of(self, path: str, **params: str) -> str:
        """Return the whole address of a question."""
        return f"{self.url_of(path)}?{urlencode(params)}" if params else self.url_of(path)

    def now_ms(self) -> int:
        """Return the time by which refusals end, ms since the epoch."""
        return self._waiting.clock()

    async def close(self) -> None:
        """Close the session; questions on their way end with an `UpstreamError`."""
        self._waiting.close()
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def _try(
        self, question: Question, url: str, params: Mapping[str, str]
    ) -> bytes | str | None:
        """Return the body; or why there was none that makes sense; or None after a refusal."""
        http = await self._http()
        question.check_open()
        if self._session is None:
            self._session = http.HttpSession(
                self._headers, timeout_s=self._timeout_s, at_once=MOST_AT_ONCE
            )
        try:
            answer = await self._session.get(url, params)
        except http.NotAnsweredError as error:
            return str(error)
        except http.TooLongError as error:
            raise question.failure(str(error)) from None
        return self._judge(question, answer)

    async def _http(self) -> Any:
        """Return the module that speaks HTTP; the first time it is imported in a thread meanwhile."""
        module = sys.modules.get(_HTTP)
        if module is None or not hasattr(module, "HttpSession"):
            module = await asyncio.to_thread(import_module, _HTTP)
        return module

    def _judge(self, question: Question, answer: HttpAnswer) -> bytes | str | None:
        used, status = answer.headers.get(USED_WEIGHT, ""), answer.status
        if _WEIGHT.fullmatch(used):
            question.told(int(used))
        if status == 200:
            return answer.body if is_json(answer.body) else _why_not_json(answer.body)
        error = error_of(answer.body)
        reason = one_line(answer.reason)
        if status in REFUSALS:
            error = error or ErrorBody(TOO_MANY_REQUESTS, reason or "Too many requests.")
            retry_after = answer.headers.get("Retry-After", "")
            retry_after_ms = retry_after_of(retry_after, self._waiting.clock())
            question.refused(error.code, error.msg, status, retry_after_ms)
            return None
        said = f"HTTP {status} {reason}".rstrip()
        if error is not None:
            told = f": {error.code} {one_line(error.msg)}"
        elif place := answer.headers.get("Location", ""):
            told = f", without an error of the exchange, sent on to {one_line(place)}"
        else:
            told = f", without an error of the exchange{_title_of(answer.body)}"
        if status in TRY_AGAIN:
            return said + told
        if error is None or status // 100 != 4:
            raise question.failure(said + told)
        raise question.answered_with(error.code, error.msg, status)


def _why_not_json(body: bytes) -> str:
    """Return what an answer is that should be JSON."""
    if not body:
        return "the answer is not JSON: it is empty"
    if body.lstrip()[:1] == b"<":
        return (
            f"the answer is not JSON but a page{_title_of(body)}: "
            "a proxy, or a network that wants a login, stands between"
        )
    return (
        f"the answer is not JSON, or not all of it: {one_line(body[:80].decode(errors='replace'))}"
    )


def _title_of(body: bytes) -> str:
    """Return the title of a page, as words that can follow; empty if there is none."""
    found = _TITLE.search(body[:4096])
    return f' titled "{one_line(found[1].decode(errors="replace"))}"' if found else ""


def whole_path(path: str, venue: Venue) -> str:
    """Return the whole REST path that `path` is short for on `venue`."""
    if path.startswith("/"):
        return path
    if path.startswith(("futures/", f"{venue.rest_prefix[1:]}/")):
        return f"/{path}"
    first = "" if _VERSIONED.match(path) else "v1/"
    return f"{venue.rest_prefix}/{first}{path}"


def named_text(params: Mapping[str, object]) -> str:
    """Return the parameters that say of which market is asked, as errors name them."""
    return one_line(" ".join(f"{name}={params[name]}" for name in _NAMED if name in params))


def text_of(value: object) -> str:
    """Return a parameter as a query string has it: plain numbers, truth values and lists as JSON."""
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


def error_of(body: bytes) -> ErrorBody | None:
    """Return the exchange's error if `body` is one."""
    try:
        return _decode_error(body)
    except UNREADABLE:
        return None


def decoded(answer: bytes, url: str) -> Any:
    """Return an answer of `url` as Python objects.

    Raises:
        UpstreamError: it has something that no Python object is, such as text that is not UTF-8.
    """
    try:
        return _decode(answer)
    except UNREADABLE as odd:
        raise UpstreamError(url, f"the answer cannot be read: {odd}") from None
