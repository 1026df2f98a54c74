"""What a recorder has to know of a server before it begins: whose venue it serves, and its profile."""

from __future__ import annotations

import asyncio

from tickerplant.client.rest import RestClient
from tickerplant.client.upstream_profile import upstream_profile
from tickerplant.errors import RequestError, UpstreamError
from tickerplant.feed.hosts import Hosts
from tickerplant.feed.weight import WeightBudget
from tickerplant.profile import CURRENT

PATIENCE_S = 2.0
"""For so long a recording waits for each answer before it begins."""


async def venue_answering(likely: Hosts, unlikely: Hosts) -> Hosts:
    """Return whose venue is served: `unlikely` if only that answers there; it takes seconds at most.

    A recording says for ever of which venue it is, and at one address there is often but one.
    """
    for hosts in (likely, unlikely):
        rest = RestClient(hosts, WeightBudget())
        try:
            async with asyncio.timeout(PATIENCE_S):
                await rest.get("ping")
        except RequestError:
            continue
        except (TimeoutError, UpstreamError):
            return likely
        else:
            return hosts
        finally:
            await rest.close()
    return likely


async def profile_of(hosts: Hosts, rest: RestClient) -> str:
    """Return the profile that is spoken at `hosts`; empty if it does not say so within seconds."""
    if hosts.rest == f"https://{hosts.venue.rest_host}":
        return CURRENT.name
    try:
        async with asyncio.timeout(PATIENCE_S):
            return await upstream_profile(rest)
    except (TimeoutError, RequestError, UpstreamError):
        return ""
