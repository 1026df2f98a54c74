"""What upstreams report before anything is relayed: contracts, time and profile."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from msgspec import Struct

from tickerplant.client.server_info import AUTO
from tickerplant.errors import ConfigError, DecodeError, RequestError, UpstreamError
from tickerplant.instrument import Instrument
from tickerplant.logs import Complaints, logger
from tickerplant.sources.upstream import Upstream

T = TypeVar("T")


class Retries(Struct, frozen=True):
    """The pauses between attempts, doubled after each one."""

    first_pause_s: float = 1.0
    longest_pause_s: float = 30.0


RETRIES = Retries()


class Discovered(Struct, frozen=True):
    """What there is to relay."""

    instruments: list[Instrument]
    time_ms: int
    profile: str


async def discover(
    upstreams: Sequence[Upstream], profile: str, retries: Retries = RETRIES
) -> Discovered:
    """Return what there is to relay, as soon as all upstreams have responded.

    An upstream that does not respond is retried indefinitely, and the log says so.

    Raises:
        ConfigError: with `auto`, an upstream does not say its profile, or they have different ones.
    """
    complaints = Complaints()
    found = await asyncio.gather(
        *(retry(upstream, upstream.fetch_contracts, complaints, retries) for upstream in upstreams)
    )
    instruments = [instrument for listed, _ in found for instrument in listed]
    if profile == AUTO:
        profiles = await asyncio.gather(
            *(retry(each, each.upstream_profile, complaints, retries) for each in upstreams)
        )
        profile = profiles[0]
        if len(set(profiles)) > 1:
            said = ", ".join(
                f"{each.hosts.rest} has {name}"
                for each, name in zip(upstreams, profiles, strict=True)
            )
            expected = f"the name of one profile, because the upstreams differ: {said}"
            raise ConfigError("--profile", AUTO, expected)
    return Discovered(instruments, max(time_ms for _, time_ms in found), profile)


async def retry(
    upstream: Upstream,
    fetch: Callable[[], Awaitable[T]],
    complaints: Complaints,
    retries: Retries = RETRIES,
) -> T:
    """Return what `fetch` returns, retrying it until it succeeds.

    Raises:
        ConfigError: the settings do not suit the upstream; trying again cannot help.
    """
    pause_s = retries.first_pause_s
    while True:
        try:
            return await fetch()
        except ConfigError:
            raise
        except (UpstreamError, RequestError, DecodeError) as error:
            logger().warning(
                f"! the upstream does not respond: {error}",
                venue=upstream.venue.name,
                retry_s=pause_s,
            )
        except Exception as fault:  # noqa: BLE001  # an unexpected response must not end the relay
            kind = f"{fetch.__name__}: {type(fault).__name__}"
            text = "! failed to process an upstream response"
            complaints.add(kind, text, venue=upstream.venue.name, exc_info=True)
        await asyncio.sleep(pause_s)
        pause_s = min(2 * pause_s, retries.longest_pause_s)
