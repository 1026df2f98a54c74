"""The pages for those who run the server: what this is, is it alive, is it ready, how much."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import msgspec
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from tickerplant.server.readiness import Readiness
from tickerplant.server.rest import TEXT, Page, Response


def operations_pages(
    welcome: Callable[[], str], readiness: Readiness, registry: CollectorRegistry
) -> Mapping[str, Page]:
    """Return the pages by path.

    Args:
        welcome: Makes the text of `/`.
        readiness: What `/readyz` tells: 200 while the source flows, else 503 and why not.
        registry: What `/metrics` prints.
    """

    def readyz() -> Response:
        state = {
            "ready": readiness.is_ready,
            "reason": readiness.reason,
            "warnings": readiness.warnings,
        }
        return Response(msgspec.json.encode(state), 200 if readiness.is_ready else 503)

    return {
        "/": lambda: Response(welcome().encode(), content_type=TEXT),
        "/healthz": lambda: Response(b"ok\n", content_type=TEXT),
        "/readyz": readyz,
        "/metrics": lambda: Response(generate_latest(registry), content_type=CONTENT_TYPE_LATEST),
    }
