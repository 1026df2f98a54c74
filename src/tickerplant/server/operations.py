"""The pages for those who run the server: what this is, is it alive, is it ready, how much.

Both ports answer the same, but for the page of limits, which is that of the port's budget.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import msgspec
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from tickerplant.protocol.usage import limits_page
from tickerplant.server.endpoint import Endpoint
from tickerplant.server.readiness import Readiness
from tickerplant.server.rest import TEXT, Page, Response

LIMITS_PATH = "/plant/v1/limits"
PROFILE_PATH = "/plant/v1/profile"


def operations_pages(
    welcome: Callable[[], str],
    readiness: Readiness,
    registry: CollectorRegistry,
    profile_name: str,
) -> Mapping[str, Page]:
    """Return the pages by path.

    Args:
        welcome: Makes the text of `/`.
        readiness: What `/readyz` tells: 200 while the source flows, else 503 and why not.
        registry: What `/metrics` prints.
        profile_name: What `/plant/v1/profile` tells.
    """

    def readyz() -> Response:
        state = {
            "ready": readiness.is_ready,
            "reason": readiness.reason,
            "warnings": readiness.warnings,
        }
        return Response(msgspec.json.encode(state), 200 if readiness.is_ready else 503)

    return {
        PROFILE_PATH: lambda: Response(msgspec.json.encode({"profile": profile_name})),
        "/": lambda: Response(welcome().encode(), content_type=TEXT),
        "/healthz": lambda: Response(b"ok\n", content_type=TEXT),
        "/readyz": readyz,
        "/metrics": lambda: Response(generate_latest(registry), content_type=CONTENT_TYPE_LATEST),
    }


def limits_pages(endpoint: Endpoint, *, shared_budget: bool) -> Mapping[str, Page]:
    """Return the page of how near clients came to the limits of one port, by its path."""

    def limits() -> Response:
        page = limits_page(
            endpoint.budget, endpoint.venue.name, endpoint.clock(), shared_budget=shared_budget
        )
        return Response(msgspec.json.encode(page))

    return {LIMITS_PATH: limits}
