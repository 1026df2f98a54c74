"""The errors with which faults answer requests."""

from __future__ import annotations

from http import HTTPStatus

from tickerplant.errors import RequestError
from tickerplant.faults.network_rows import RETRY_AFTER_MS
from tickerplant.protocol.client_requests import overloaded
from tickerplant.protocol.rate_limiter import REQUEST_WEIGHT, Charge, RateLimiter

UNKNOWN_ERROR = -1000
HTML = "text/html"
NOT_JSON = b"<html><head><title>200 OK</title></head><body>zz</body></html>\n"


def html_page(status: int) -> bytes:
    """Return what a firewall or a gateway shows instead of an answer."""
    title = f"{status} {HTTPStatus(status).phrase}"
    return (
        f"<html><head><title>{title}</title></head><body><h1>{title}</h1></body></html>\n".encode()
    )


def injected_error(status: int, rate_limiter: RateLimiter, now_ms: int) -> RequestError:
    """Return the error of a request that a fault refuses: as the exchange does it, if it ever does."""
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        return overloaded()
    if status in {418, 429}:
        until_ms = now_ms + RETRY_AFTER_MS if status == HTTPStatus.IM_A_TEAPOT else None
        limit = rate_limiter.window_limits[REQUEST_WEIGHT]
        return rate_limiter.refusal(Charge(0, True, until_ms, RETRY_AFTER_MS, limit.text))
    return RequestError(UNKNOWN_ERROR, f"{HTTPStatus(status).phrase}: a fault on demand.", status)
