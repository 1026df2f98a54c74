"""Questions over REST, within the weight of the address, again where that may help."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from decimal import Decimal
from random import Random
from typing import Any

import msgspec
from aiohttp import (
    ClientError,
    ClientHandlerType,
    ClientOSError,
    ClientRequest,
    ClientResponse,
    ClientSession,
    ClientTimeout,
    ServerDisconnectedError,
    TCPConnector,
)
from aiohttp.http_exceptions import HttpProcessingError
from msgspec import Raw, Struct
from yarl import URL

from tickerplant.client.dial import USER_AGENT
from tickerplant.client.waiting import (
    PATIENCE_S,
    TOO_MANY_REQUESTS,
    Clock,
    Question,
    Sleep,
    Waiting,
    plain_reason,
    retry_after_of,
    wall_clock_ms,
)
from tickerplant.errors import RequestError, UpstreamError
from tickerplant.feed.hosts import Hosts
from tickerplant.feed.weight import REFUSALS, WeightBudget
from tickerplant.messages.readers import UNREADABLE
from tickerplant.queries import find_path
from tickerplant.venue import Venue

MOST_AT_ONCE = 10
"""Questions that are on their way at the same time."""
MAX_ANSWER_BYTES = 1 << 25
"""The longest answer that is read; that of `exchangeInfo`, the longest there is, has about 1 MB."""
UNKNOWN_WEIGHT = 1
"""Weight of a path that no row of `queries` has."""
USED_WEIGHT = "X-MBX-USED-WEIGHT-1M"
KEY_HEADER = "X-MBX-APIKEY"
TRY_AGAIN = frozenset({408, *range(500, 600)})
"""Statuses that say nothing of the question: a timeout of the backend, and a server in trouble."""

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
        chance: Random | None = None,
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
            chance: Varies the pauses between tries.
        """
        self._hosts = hosts
        self._timeout_s = timeout_s
        self._headers = {"User-Agent": USER_AGENT, "Accept": "application/json"}
        if api_key is not None:
            self._headers[KEY_HEADER] = api_key
        self._waiting = Waiting(
            budget, patience_s=patience_s, clock=clock, sleep=sleep, chance=chance or Random()
        )
        self._places = asyncio.Semaphore(MOST_AT_ONCE)
        self._session: ClientSession | None = None

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
        whole = whole_path(path, self._hosts.venue)
        texts = {name: text_of(value) for name, value in params.items() if value is not None}
        query = find_path(self._hosts.venue, whole)
        weight = UNKNOWN_WEIGHT if query is None else query.weigh(texts)
        url = self.url_of(path)
        question = self._waiting.question(str(url))
        while True:
            async with self._places:
                await question.turn(weight)
                answer = await self._try(question, url, texts)
            if isinstance(answer, bytes):
                return answer
            if isinstance(answer, str):
                await question.failed(answer)

    def url_of(self, path: str) -> URL:
        """Return where `path` is asked."""
        return URL(self._hosts.rest).with_path(whole_path(path, self._hosts.venue))

    async def close(self) -> None:
        """Close the session; questions on their way end with an `UpstreamError`."""
        self._waiting.close()
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def _try(
        self, question: Question, url: URL, params: Mapping[str, str]
    ) -> bytes | str | None:
        """Return the body; or why there was none that makes sense; or None after a refusal."""
        if self._session is None:
            self._session = ClientSession(
                connector=TCPConnector(limit=MOST_AT_ONCE),
                headers=self._headers,
                timeout=ClientTimeout(total=self._timeout_s),
                middlewares=(_ask_once,),
            )
        try:
            async with self._session.get(url, params=params, allow_redirects=False) as response:
                body = bytearray()
                async for piece in response.content.iter_any():  # `read` would unpack without bound
                    body += piece
                    if len(body) > MAX_ANSWER_BYTES:
                        said = f"the answer has more than {MAX_ANSWER_BYTES} bytes"
                        raise UpstreamError(str(url), said)
        except TimeoutError:
            return f"no answer within {self._timeout_s:g} s"
        except _NotAnsweredError as error:
            return str(error)
        except UnicodeError:
            return f"{url.host} is no name of a host"
        except (ClientError, HttpProcessingError, OSError, RuntimeError) as error:
            return plain_reason(error)
        return self._judge(question, response, bytes(body))

    def _judge(
        self, question: Question, response: ClientResponse, body: bytes
    ) -> bytes | str | None:
        used, status = response.headers.get(USED_WEIGHT, ""), response.status
        if _WEIGHT.fullmatch(used):
            question.told(int(used))
        if status == 200:
            return body if is_json(body) else "the answer is not JSON"
        error = error_of(body)
        if status in REFUSALS:
            error = error or ErrorBody(TOO_MANY_REQUESTS, response.reason or "Too many requests.")
            retry_after = response.headers.get("Retry-After", "")
            retry_after_ms = retry_after_of(retry_after, self._waiting.clock())
            question.refused(RequestError(error.code, error.msg, status), retry_after_ms)
            return None
        said = f"HTTP {status} {response.reason or ''}".rstrip()
        told = (
            ", without an error of the exchange" if error is None else f": {error.code} {error.msg}"
        )
        if status in TRY_AGAIN:
            return said if error is None else said + told
        if error is None or status // 100 != 4:
            raise UpstreamError(str(response.url), said + told)
        raise RequestError(error.code, error.msg, status)


class _NotAnsweredError(ClientError):
    """The connection was lost, or there was none."""


async def _ask_once(request: ClientRequest, handler: ClientHandlerType) -> ClientResponse:
    """Ask, and keep aiohttp from asking again by itself: every try is paid for."""
    try:
        return await handler(request)
    except ServerDisconnectedError as error:
        raise _NotAnsweredError("the connection was closed without an answer") from error
    except ClientOSError as error:
        raise _NotAnsweredError(plain_reason(error)) from error


def whole_path(path: str, venue: Venue) -> str:
    """Return the whole REST path that `path` is short for on `venue`."""
    if path.startswith("/"):
        return path
    if path.startswith(("futures/", f"{venue.rest_prefix[1:]}/")):
        return f"/{path}"
    first = "" if _VERSIONED.match(path) else "v1/"
    return f"{venue.rest_prefix}/{first}{path}"


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
