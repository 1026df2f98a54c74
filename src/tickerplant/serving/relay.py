"""Serves a live upstream: `tickerplant relay`."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from functools import partial

from tickerplant import logs
from tickerplant.config.settings import RelaySettings
from tickerplant.feed.hosts import hosts_of
from tickerplant.feed.settings import ClientSettings, ConnectionSettings
from tickerplant.plant import Plant
from tickerplant.profile import PROFILES
from tickerplant.recorder.tap import Taps, TapSettings
from tickerplant.scenarios.board import refuse_market_changes
from tickerplant.server import event_loop
from tickerplant.server.forwarding import CachingForwarder
from tickerplant.server.server import Server
from tickerplant.serving.run import Echo, limits_from, refuse_guessable, serve
from tickerplant.serving.scenarios import read_scenarios
from tickerplant.serving.service import Service
from tickerplant.sources.discovery import discover
from tickerplant.sources.relay import RelaySource
from tickerplant.sources.source import Readers
from tickerplant.sources.upstream import Upstream
from tickerplant.startup.process import interruption, unless
from tickerplant.venue import COINM, USDM


def relay(settings: RelaySettings, echo: Echo) -> int:
    """Serve a live upstream until interrupted; return the exit status.

    Raises:
        ConfigError: a setting cannot be used.
        RecordingError: the recording cannot be written.
    """
    logs.configure(settings.log_format, settings.log_level)
    return event_loop.run(_relay(settings, echo))


async def _relay(settings: RelaySettings, echo: Echo) -> int:
    limits = limits_from(settings)
    refuse_guessable(settings)  # now, and not when the upstream responds
    scenarios = read_scenarios(settings.scenario)
    for each in scenarios:
        refuse_market_changes(each)
    upstreams = _upstreams(settings)
    interrupted = interruption()
    try:
        found = await unless(interrupted, discover(upstreams, settings.profile))
        if found is None:
            echo("Nothing was served: the upstream did not respond.")
            return 0
        plant = Plant(
            found.instruments,
            start_ms=found.time_ms,
            profile=PROFILES[found.profile],
            strict_routing=settings.routing == "strict",
        )

        def drive(server: Server, readers: Readers) -> Coroutine[None, None, None]:
            source = RelaySource(plant, upstreams, server, grace_ms=settings.grace_ms)
            return source.run(readers, server.readiness)

        taps = TapSettings(
            folder=settings.record or "",
            names=settings.record_streams,
            upstreams={each.venue.name: each for each in upstreams},
        )
        service = Service(
            plant=plant,
            origin="relay",
            drive=drive,
            limits=limits,
            record=partial(Taps, taps, plant),
            origins={each.venue: f"  relays {each.hosts.streams}" for each in upstreams},
            forwarders={
                each.venue.name: CachingForwarder(each.fetch, each.forwards) for each in upstreams
            },
        )
        return await serve(settings, service, echo, interrupted, scenarios)
    finally:
        await asyncio.gather(*(upstream.close() for upstream in upstreams))


def _upstreams(settings: RelaySettings) -> list[Upstream]:
    """Return the venues to relay: those with a URL of their own, or all of the exchange if none has one."""
    hosts = [
        hosts_of(
            USDM,
            settings.usdm_url,
            stream_url=settings.usdm_stream_url,
            rest_url=settings.usdm_rest_url,
            api_url=settings.usdm_api_url,
        ),
        hosts_of(
            COINM,
            settings.coinm_url,
            stream_url=settings.coinm_stream_url,
            rest_url=settings.coinm_rest_url,
            api_url=settings.coinm_api_url,
        ),
    ]
    given = [each for each in hosts if each != hosts_of(each.venue)] or hosts
    feed = ClientSettings(connections=ConnectionSettings(copies=settings.copies))
    return [Upstream(each, feed, linger_ms=settings.linger_ms) for each in given]
