"""HTTP for REST requests: one attempt, and why it failed.

Only this module of the client needs aiohttp, which takes long to import: it is loaded by the first
request.
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

from tickerplant.client.request import plain_reason
from tickerplant.received import excess


class HttpResponse(Struct, frozen=True):
    """A complete response, whatever its status."""

    status: int
    reason: str
    headers: Mapping[str, str]
    """By name, case-insensitive."""
    body: bytes


class NoResponseError(Exception):
    """There was no complete response; the message says why."""


class TooLongError(Exception):
    """The response is longer than allowed."""


class HttpSession:
    """Connections to one server, used in the event loop in which it was created."""

    def __init__(
        self, headers: Mapping[str, str], *, timeout_s: float, max_connections: int
    ) -> None:
        self._timeout_s = timeout_s
        self._session = ClientSession(
            connector=TCPConnector(limit=max_connections),
            headers=headers,
            timeout=ClientTimeout(total=timeout_s),
            middlewares=(_send_once,),
        )

    async def get(self, url: str, params: Mapping[str, str]) -> HttpResponse:
        """Send one request and return the complete response."""
        target = URL(url, encoded=True)
        try:
            async with self._session.get(target, params=params, allow_redirects=False) as response:
                body = bytearray()
                async for (
                    piece
                ) in response.content.iter_any():  # `read` would decompress without limit
                    body += piece
                    if too_long := excess("the response", len(body)):
                        raise TooLongError(too_long)
        except TimeoutError:
            raise NoResponseError(f"no response within {self._timeout_s:g} s") from None
        except UnicodeError:
            raise NoResponseError(f"{target.host} is not a valid host name") from None
        except ClientPayloadError:
            raise NoResponseError(
                "the connection was closed in the middle of the response"
            ) from None
        except _LostError as error:
            raise NoResponseError(str(error)) from error
        except (ClientError, HttpProcessingError, OSError, RuntimeError) as error:
            raise NoResponseError(plain_reason(error)) from error
        return HttpResponse(response.status, response.reason or "", response.headers, bytes(body))

    async def close(self) -> None:
        """Close the connections; pending requests fail."""
        await self._session.close()


class _LostError(ClientError):
    """The connection was lost, or could not be opened; the message says why."""

    def __str__(self) -> str:
        return str(self.args[0])


async def _send_once(request: ClientRequest, handler: ClientHandlerType) -> ClientResponse:
    """Send a request, and keep aiohttp from repeating it: every attempt costs weight."""
    try:
        return await handler(request)
    except ServerDisconnectedError as error:
        raise _LostError("the connection was closed without a response") from error
    except ClientOSError as error:
        raise _LostError(plain_reason(error)) from error
