"""HTTP for the questions over REST: one try, and why it failed in plain words.

This is the only module of the client that needs aiohttp, which takes its time to be imported: it is
loaded with the first question.
"""

from __future__ import annotations

from collections.abc import Mapping

from aiohttp import (
    ClientError,
    ClientHandlerType,
    ClientOSError,
    ClientPayloadError,
    ClientRequest,
    ClientResponse,
    ClientSession,
    ClientTimeout,
    ServerDisconnectedError,
    TCPConnector,
)
from aiohttp.http_exceptions import HttpProcessingError
from msgspec import Struct
from yarl import URL

from tickerplant.client.waiting import plain_reason

MAX_ANSWER_BYTES = 1 << 25
"""The longest answer that is read; that of `exchangeInfo`, the longest there is, has about 1 MB."""


class HttpAnswer(Struct, frozen=True):
    """What a server answered, whatever it is."""

    status: int
    reason: str
    headers: Mapping[str, str]
    """By name, whatever the case."""
    body: bytes


class NotAnsweredError(Exception):
    """There was no whole answer; says why."""


class TooLongError(Exception):
    """The answer has more bytes than are read."""


class HttpSession:
    """Asks one server, over connections that it keeps; made in the loop that asks.

    Args:
        headers: Sent with each question.
        timeout_s: How long a try may take.
        at_once: Connections at most.
    """

    def __init__(self, headers: Mapping[str, str], *, timeout_s: float, at_once: int) -> None:
        self._timeout_s = timeout_s
        self._session = ClientSession(
            connector=TCPConnector(limit=at_once),
            headers=headers,
            timeout=ClientTimeout(total=timeout_s),
            middlewares=(_ask_once,),
        )

    async def get(self, url: str, params: Mapping[str, str]) -> HttpAnswer:
        """Ask once, and return the answer with its whole body.

        Raises:
            NotAnsweredError: there was none, or not all of it.
            TooLongError: it has more than `MAX_ANSWER_BYTES`.
        """
        target = URL(url, encoded=True)
        try:
            async with self._session.get(target, params=params, allow_redirects=False) as response:
                body = bytearray()
                async for piece in response.content.iter_any():  # `read` would unpack without bound
                    body += piece
                    if len(body) > MAX_ANSWER_BYTES:
                        raise TooLongError(f"the answer has more than {MAX_ANSWER_BYTES} bytes")
        except TimeoutError:
            raise NotAnsweredError(f"no answer within {self._timeout_s:g} s") from None
        except UnicodeError:
            raise NotAnsweredError(f"{target.host} is no name of a host") from None
        except ClientPayloadError:
            raise NotAnsweredError(
                "the connection was closed in the middle of the answer"
            ) from None
        except (ClientError, HttpProcessingError, OSError, RuntimeError) as error:
            raise NotAnsweredError(plain_reason(error)) from error
        return HttpAnswer(response.status, response.reason or "", response.headers, bytes(body))

    async def close(self) -> None:
        """Close the connections; questions on their way end with an error."""
        await self._session.close()


class _LostError(ClientError):
    """The connection was lost, or there was none; says it in plain words."""

    def __str__(self) -> str:
        return str(self.args[0])


async def _ask_once(request: ClientRequest, handler: ClientHandlerType) -> ClientResponse:
    """Ask, and keep aiohttp from asking again by itself: every try is paid for."""
    try:
        return await handler(request)
    except ServerDisconnectedError as error:
        raise _LostError("the connection was closed without an answer") from error
    except ClientOSError as error:
        raise _LostError(plain_reason(error)) from error
