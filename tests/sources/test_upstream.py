from __future__ import annotations

from typing import Any

from loopback import looped, until
from relaying import relay, serve

from tickerplant.notices import SubscriptionRejected


@looped
async def test_a_stream_that_the_upstream_refuses_is_not_requested_again() -> None:
    async with serve() as house, relay(house) as near, near.connect("/ws/odd@stream") as client:
        await until(lambda: near.carries("odd@stream"))
        merged = near.upstream.runner.feed.merged_streams["odd@stream"]
        merged.notify(
            SubscriptionRejected(
                streams=("odd@stream",), time_ms=0, code=2, reason="Invalid request"
            )
        )
        assert near.upstream.subscriptions.unsubscribed == ["odd@stream"]
        assert "odd@stream" not in near.upstream.runner.feed.merged_streams
        await until(lambda: near.server.readiness.warnings)
        assert near.is_ready
        await client.close()
        await until(lambda: not near.server.readiness.warnings)


def sample(metrics: dict[str, Any], name: str) -> float:
    return float(metrics[f'tickerplant_{name}{{venue="usdm"}}'])


@looped
async def test_what_the_upstream_is_like_can_be_measured() -> None:
    async with serve() as house, relay(house) as near, near.connect("/ws/btcusdt@trade") as client:
        await until(lambda: near.carries("btcusdt@trade"))
        house.trade()
        await client.recv()
        metrics = await near.metrics()
        assert sample(metrics, "upstream_connections") == 2
        assert sample(metrics, "upstream_streams") == 2
        assert sample(metrics, "upstream_undelivered_streams") == 0
        assert sample(metrics, "upstream_messages_total") == 1
        assert sample(metrics, "upstream_connections_opened_total") == 2
