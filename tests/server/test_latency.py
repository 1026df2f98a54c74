from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from loopback import loopback, looped, until

from tickerplant.latency import BOUNDS_S, Histogram


def test_the_buckets_reach_from_50_microseconds_to_10_seconds() -> None:
    assert (BOUNDS_S[0], BOUNDS_S[-1]) == (50e-6, 10.0)
    assert list(BOUNDS_S) == sorted(set(BOUNDS_S))


def test_a_duration_at_a_bound_is_within_it_and_an_early_one_counts_as_none() -> None:
    histogram = Histogram()
    for duration_s in (50e-6, 51e-6, -1.0, 10.0, 11.0):
        histogram.observe(duration_s)
    counts = dict(histogram.buckets())
    assert (counts["5e-05"], counts["0.0001"]) == (2, 3)
    assert (counts["10.0"], counts["+Inf"]) == (4, 5)
    assert histogram.count == 5
    assert histogram.sum_s == pytest.approx(21.000101)


@given(st.lists(st.floats(0, 20)))
def test_each_bucket_counts_the_durations_within_its_bound(durations_s: list[float]) -> None:
    histogram = Histogram()
    for duration_s in durations_s:
        histogram.observe(duration_s)
    assert list(histogram.buckets()) == [
        (text, sum(each <= float(text) for each in durations_s))
        for text, _ in Histogram().buckets()
    ]


@looped
async def test_the_metrics_tell_how_late_messages_are_published_and_written() -> None:
    async with loopback() as house, house.connect("/ws/btcusdt@trade") as client:
        for _ in range(3):
            house.trade()
            await client.recv()
        house.server.readiness.observe_lateness(3_000_000)
        numbers = await house.metrics()
        assert numbers["tickerplant_publish_to_write_seconds_count"] == 3
        assert numbers["tickerplant_publish_to_write_seconds_sum"] > 0
        assert numbers['tickerplant_event_to_publish_seconds_bucket{le="0.0025"}'] == 0
        assert numbers['tickerplant_event_to_publish_seconds_bucket{le="0.005"}'] == 1


@looped
async def test_stamps_are_times_of_the_clock_on_the_wall_in_order() -> None:
    path = "/stream?streams=btcusdt@trade&stamps=1"
    async with loopback() as house, house.connect(path) as client:
        await until(lambda: house.server.congestion.subscriber_count)
        house.server.readiness.late_ns = lambda: 2_000_000
        house.trade()
        message = json.loads(await client.recv())
        stamps = message["stamps"]
        assert message["data"]["e"] == "trade"
        assert stamps["publish_ns"] - stamps["event_ns"] == 2_000_000
        assert stamps["publish_ns"] <= stamps["write_ns"]
        house.server.readiness.late_ns = lambda: None
        house.trade()
        assert json.loads(await client.recv())["stamps"]["event_ns"] is None
