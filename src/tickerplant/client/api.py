"""Questions over the WebSocket API: many at once on one connection."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from decimal import Decimal
from http import HTTPStatus
from itertools import count
from random import Random
from typing import Any

from picows import WSCloseCode, WSError, WSHandshakeError, ws_connect

from tickerplant.client.api_connection import (
    MAX_MESSAGE_BYTES,
    ApiConnection,
    Asked,
    LostError,
    Reply,
    Retry,
)
from tickerplant.client.dial import USER_AGENT, Dial
from tickerplant.client.rest import (
    TRY_AGAIN,
    UNKNOWN_WEIGHT,
    decoded,
    error_of,
    named_text,
    text_of,
)
from tickerplant.client.waiting import (
    CLOSED,
    PATIENCE_S,
    TOO_MANY_REQUESTS,
    TRIES,
    Clock,
    Question,
    Sleep,
    Waiting,
    is_cancelled,
    plain_reason,
    retry_after_of,
    wall_clock_ms,
)
from tickerplant.errors import RequestError, UpstreamError
from tickerplant.feed.hosts import Hosts
from tickerplant.feed.weight import REFUSALS, WeightBudget
from tickerplant.formatting import one_line
from tickerplant.queries import find_method

LEAST_SILENCE_S = 1.0
"""A shorter wait for a reply says nothing of the connection."""
HANDSHAKE_WEIGHT = 5
"""Weight of opening a connection (WebSocket API general information page)."""


class ApiClient:
    """Asks one venue over its WebSocket API.

    The connection is opened with the first question, in the loop that asks it, and again when it
    was lost.  A question whose answer was lost with it is asked once more.  `close` ends it for
    good.
    """

    def __init__(
        self,
        hosts: Hosts,
        budget: WeightBudget,
        *,
        timeout_s: float = 10.0,
        patience_s: float = PATIENCE_S,
        clock: Clock = wall_clock_ms,
        sleep: Sleep = asyncio.sleep,
        rng: Random | None = None,
    ) -> None:
        """Nothing is opened yet.

        Args:
            hosts: Where to ask.
            budget: The request weight of this address; may be shared with other clients.
            timeout_s: How long a reply, or a handshake, may take.
            patience_s: How long a question waits on the server's account, refusals and failures,
                before it ends with an error.
            clock: Milliseconds since the epoch, by which minutes are counted.
            sleep: Waits for seconds.
            rng: Varies the pauses between tries.
        """
        self._venue = hosts.venue
        self._url = hosts.api
        self._timeout_s = timeout_s
        self._waiting = Waiting(
            budget, patience_s=patience_s, clock=clock, sleep=sleep, rng=rng or Random()
        )
        self._ids = count(1)
        self._connection: ApiConnection | None = None
        self._opening: asyncio.Task[ApiConnection] | None = None
        self._attempt: asyncio.Task[ApiConnection] | None = None
        self._dial = Dial(timeout_s)
        """That of the attempt."""

    async def ask(self, method: str, /, **params: object) -> Any:
        """Return the `result` of the reply, decoded; see `ask_raw`."""
        return decoded(await self.ask_raw(method, **params), self._url)

    async def ask_within(self, timeout_s: float, method: str, /, **params: object) -> Any:
        """Return the `result` of the reply, decoded, if it comes in time; see `ask_raw`.

        Args:
            timeout_s: How long all of it may take, handshake and pauses included.  Nothing is waited
                for that is known to take longer, nor for the end of a refusal.
            method: What is asked.
            **params: What the question carries.
        """
        return decoded(await self._ask_in_time(timeout_s, method, params), self._url)

    async def ask_raw(self, method: str, /, **params: object) -> bytes:
        """Return the `result` of the reply as the server wrote it.

        Args:
            method: Such as `depth`, `ticker.price`, `ticker.book`.  COIN-M has none that tells of
                the market (`Venue.has_market_api`): it replies with its error to those.
            **params: What the question carries; None is left out.

        Raises:
            RequestError: the exchange replied with its error, whatever its status, or refused
                (429, 418) for longer than the patience.  That is also how it replies to a method
                that it does not have.
            UpstreamError: there was no reply while others were heard, or the connection was lost,
                or silent, twice.
        """
        return await self._ask_in_time(None, method, params)

    async def _ask_in_time(
        self, timeout_s: float | None, method: str, params: Mapping[str, object]
    ) -> bytes:
        values = {name: _value_of(value) for name, value in params.items() if value is not None}
        query = find_method(self._venue, method.removeprefix("v1/"))
        weight = UNKNOWN_WEIGHT if query is None else query.weigh(values)
        of = named_text(values)
        question = self._waiting.question(self._url, one_line(method), of, timeout_s)
        async with question.in_time():
            return await self._answer(question, weight, method, values)

    async def _answer(
        self, question: Question, weight: int, method: str, values: Mapping[str, object]
    ) -> bytes:
        was_lost = False
        while True:
            await question.allowed()
            await self._connected(
                question
            )  # before its turn: questions leave no room for a handshake
            await question.turn(weight)
            connection = await self._connected(question)
            asked = Asked(next(self._ids), method, values)
            try:
                reply = await self._ask(question, connection, asked)
            except LostError as lost:
                if was_lost:
                    raise question.failure(str(lost)) from None
                was_lost = True
                continue
            result = self._judge(question, reply)
            if result is not None:
                return result

    async def close(self) -> None:
        """End the connection; questions on their way end with an `UpstreamError`."""
        self._waiting.close()
        tasks = {task for task in (self._opening, self._attempt) if task is not None}
        if self._opening is not None:
            self._opening.cancel()
        if self._attempt is not None and not self._attempt.done():
            self._dial.give_up(self._attempt)
        if tasks:
            await asyncio.wait(tasks)
        if self._attempt is not None and is_good(self._attempt):
            self._connection = self._attempt.result()
        if self._connection is not None:
            self._connection.end(CLOSED, WSCloseCode.OK)
            await self._connection.wait_ended()

    async def _ask(self, question: Question, connection: ApiConnection, asked: Asked) -> Reply:
        heard, left_s = connection.heard, question.left_s()
        timeout_s = self._timeout_s if left_s is None else min(self._timeout_s, left_s)
        try:
            async with asyncio.timeout(timeout_s):
                return await connection.ask(asked)
        except TimeoutError:
            reason = f"no reply within {timeout_s:.3g} s"
            is_silent = connection.heard == heard
            if is_silent and timeout_s >= min(self._timeout_s, LEAST_SILENCE_S):
                connection.end(reason)  # nobody is there any more
                if timeout_s == self._timeout_s:
                    raise LostError(reason) from None
            raise question.failure(reason) from None

    def _judge(self, question: Question, reply: Reply) -> bytes | None:
        """Return the result, None after a refusal."""
        used = reply.used_weight
        if used is not None:
            question.told(used)
        error = reply.error
        result = bytes(reply.result)
        if reply.status == 200 and result:
            return result
        if error is None:
            raise question.failure("a reply with neither a result nor an error")
        if reply.status not in REFUSALS:
            raise question.answered_with(error.code, error.msg, reply.status)
        retry_after_ms = self._retry_after_ms(error.data or Retry())
        question.refused(error.code, error.msg, reply.status, retry_after_ms)
        return None

    def _retry_after_ms(self, retry: Retry) -> int | None:
        """Return how long the server asks to wait, by its own clock if it tells it."""
        if retry.retry_after is None:
            return None
        now_ms = self._waiting.clock() if retry.server_time is None else retry.server_time
        return retry.retry_after - now_ms

    async def _connected(self, question: Question) -> ApiConnection:
        """Return the connection, which is opened for `question` if there is none.

        Raises:
            RequestError: the server refuses the handshake, for longer than the question waits.
            UpstreamError: it cannot be opened, or the client is closed.
        """
        try:
            return await self._opened(question.timeout_s)
        except UpstreamError as error:  # of whoever's question it was opened for
            raise question.failure(error.reason) from None
        except RequestError as error:
            raise question.refused_as(error) from None

    async def _opened(self, timeout_s: float | None) -> ApiConnection:
        if self._waiting.closed:
            raise UpstreamError(self._url, CLOSED)
        if self._connection is not None and self._connection.is_open:
            return self._connection
        if self._opening is None:
            self._opening = asyncio.get_running_loop().create_task(self._open(timeout_s))
            self._opening.add_done_callback(self._forget_opening)
        opening = self._opening
        try:
            return await asyncio.shield(opening)
        except asyncio.CancelledError:
            if opening.cancelled() and not is_cancelled():
                raise UpstreamError(self._url, CLOSED) from None
            raise

    def _forget_opening(self, opening: asyncio.Task[ApiConnection]) -> None:
        self._opening = None
        if is_good(opening):
            self._connection = opening.result()

    async def _open(self, timeout_s: float | None) -> ApiConnection:
        """Return a new connection.

        Raises:
            RequestError: the server refuses for longer than the patience, or there is a timeout.
            UpstreamError: it cannot be opened.
        """
        question = self._waiting.question(self._url, timeout_s=timeout_s)
        while True:
            await question.turn(HANDSHAKE_WEIGHT)
            self._dial = Dial(self._timeout_s)
            self._attempt = asyncio.get_running_loop().create_task(self._connect(self._dial))
            try:
                return await asyncio.shield(self._attempt)
            except WSHandshakeError as error:
                await self._turned_away(question, error)
            except TimeoutError:
                await question.failed(f"no handshake within {self._timeout_s:g} s")
            except (OSError, WSError, LostError) as error:
                await question.failed(plain_reason(error))

    async def _connect(self, dial: Dial) -> ApiConnection:
        connection = ApiConnection()
        try:
            async with asyncio.timeout(self._timeout_s):
                await ws_connect(
                    lambda: connection,
                    self._url,
                    websocket_handshake_timeout=self._timeout_s,
                    extra_headers={"User-Agent": USER_AGENT},
                    max_frame_size=MAX_MESSAGE_BYTES,
                    max_redirects=0,
                    socket_factory=dial.connect,
                )
        finally:
            if not connection.was_opened:
                await dial.clear()
        if not connection.is_open:  # picows says nothing when the socket is closed meanwhile
            raise LostError("closed during the handshake")
        return connection

    async def _turned_away(self, question: Question, error: WSHandshakeError) -> None:
        """Take an answer to the handshake that does not open a connection."""
        response = error.response
        if response is None or response.status == HTTPStatus.SWITCHING_PROTOCOLS:
            await question.failed(f"the handshake makes no sense: {error}")
            return
        status = int(response.status)
        if status in REFUSALS:
            retry_after = response.headers.get("Retry-After", "")
            retry_after_ms = retry_after_of(retry_after, self._waiting.clock())
            said = error_of(error.raw_body or b"")
            code = TOO_MANY_REQUESTS if said is None else said.code
            message = response.status.phrase if said is None else said.msg
            question.refused(code, message, status, retry_after_ms)
            return
        reason = f"HTTP {status} {response.status.phrase}"
        await question.failed(reason, tries=TRIES if status in TRY_AGAIN else 1)


def is_good(task: asyncio.Task[ApiConnection]) -> bool:
    """Whether a task that is done has a result."""
    return not task.cancelled() and task.exception() is None


def _value_of(value: object) -> object:
    """Return a parameter as JSON has it: decimal numbers are strings (general information page)."""
    return text_of(value) if isinstance(value, float | Decimal) else value
