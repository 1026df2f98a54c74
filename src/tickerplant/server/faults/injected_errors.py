"""The errors with which faults answer requests."""

from __future__ import annotations

from http import HTTPStatus

from tickerplant.errors import RequestError
from tickerplant.protocol.client_requests import overloaded
from tickerplant.protocol.rate_limiter import REQUEST_WEIGHT, Charge, RateLimiter

RETRY_AFTER_MS = 1_000
"""The wait that an injected 429 or 418 asks for."""
UNKNOWN_ERROR = -1000
HTML = "text/html"
NOT_JSON = b"<html><head><title>200 OK</title></head><body>zz</body></html>\n"


def html_page(status_code: int) -> bytes:
    """Return what a firewall or a gateway shows instead of an answer."""
    title = f"{status_code} {HTTPStatus(status_code).phrase}"
    return (
        f"<html><head><title>{title}</title></head><body><h1>{title}</h1></body></html>\n".encode()
    )


def injected_error(status_code: int, rate_limiter: RateLimiter, now_ms: int) -> RequestError:
    """Return the error of a request that a fault refuses: as the exchange does it, if it ever does."""
    if status_code == HTTPStatus.SERVICE_UNAVAILABLE:
        return overloaded()
    if status_code in {418, 429}:
        until_ms = now_ms + RETRY_AFTER_MS if status_code == HTTPStatus.IM_A_TEAPOT else None
        limit = rate_limiter.window_limits[REQUEST_WEIGHT]
        return rate_limiter.refusal(Charge(0, True, until_ms, RETRY_AFTER_MS, limit.text))
    phrase = HTTPStatus(status_code).phrase
    return RequestError(UNKNOWN_ERROR, f"{phrase}: a fault on demand.", status_code)
