"""Faults on demand on the HTTP side of a port."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from tickerplant.queries import find_path
from tickerplant.server.control_plane import ControlPlane
from tickerplant.server.endpoint import Endpoint
from tickerplant.server.fault_injector import RETRY_AFTER_MS, FaultInjector, injected_error
from tickerplant.server.faults import (
    EXEMPT_HEADER,
    HANG_MS,
    HTTP_418,
    HTTP_429,
    HTTP_503,
    HTTP_GARBAGE,
    HTTP_HANG,
)
from tickerplant.server.guard import Guard
from tickerplant.server.response import Response
from tickerplant.server.rest import Rest, error_response

STATUSES = ((HTTP_429, 429), (HTTP_418, 418), (HTTP_503, 503))
NOT_JSON = b"<html><head><title>200 OK</title></head><body>zz</body></html>\n"
RETRY_AFTER = (("Retry-After", str(RETRY_AFTER_MS // 1_000)),)
EXEMPT_KEY = EXEMPT_HEADER.lower().encode()


class FaultyRest(Rest):
    """The application of a port whose answers to queries may be faulty; its own pages never are."""

    def __init__(
        self,
        endpoint: Endpoint,
        plane: ControlPlane,
        guard: Guard | None = None,
        *,
        faults: FaultInjector,
    ) -> None:
        super().__init__(endpoint, plane, guard)
        self._faults = faults

    def answer_question(
        self,
        url: bytes,  # noqa: ARG002  # a fault may delay any answer
        fields: Iterable[tuple[bytes, bytes]],  # noqa: ARG002
        address: str,  # noqa: ARG002
    ) -> Response | None:
        """Return None: a fault may delay the answer."""
        return None

    async def answer(
        self,
        method: str,
        path: str,
        target: str,
        query_string: bytes,
        headers: Mapping[bytes, bytes],
        address: str,
        body: bytes,
    ) -> tuple[bool, Response]:
        """Return whether the path exists, and the response; a fault may delay it."""
        if self._may_fail(path, headers) and self._faults.http.happens(HTTP_HANG):
            await self._faults.hang(self._endpoint.clock() + HANG_MS)
        return await super().answer(method, path, target, query_string, headers, address, body)

    def respond(
        self,
        method: str,
        path: str,
        target: str,
        query_string: bytes,
        headers: Mapping[bytes, bytes],
        address: str,
    ) -> tuple[bool, Response]:
        """Return whether the path exists, and the response; a fault may replace it."""
        if self._may_fail(path, headers):
            draws = self._faults.http
            for row, status in STATUSES:
                if draws.happens(row):
                    return True, self._refusal(status)
            if draws.happens(HTTP_GARBAGE):
                return True, Response(NOT_JSON)
        return super().respond(method, path, target, query_string, headers, address)

    def _may_fail(self, path: str, headers: Mapping[bytes, bytes]) -> bool:
        is_query = find_path(self._endpoint.venue, path) is not None
        return is_query and headers.get(EXEMPT_KEY) != b"1"

    def _refusal(self, status: int) -> Response:
        error = injected_error(status, self._endpoint.rate_limiter, self._endpoint.clock())
        headers = () if status == 503 else RETRY_AFTER
        return error_response(error.code, error.message, status, headers)
