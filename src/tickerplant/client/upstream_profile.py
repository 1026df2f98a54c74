"""Which profile a server says it has."""

from __future__ import annotations

from msgspec import Struct
from msgspec.json import Decoder as JsonDecoder

from tickerplant.client.rest import RestClient
from tickerplant.errors import RequestError, UpstreamError
from tickerplant.feed.weight import REFUSALS
from tickerplant.messages.readers import UNREADABLE
from tickerplant.profile import CURRENT, PROFILES

PROFILE_PATH = "/plant/v1/profile"
"""Where a plant says which profile it has."""


async def upstream_profile(rest: RestClient) -> str:
    """Return the profile that the upstream says it has; the exchange says none, and has the last.

    Raises:
        RequestError: it refuses to answer for now.
        UpstreamError: it cannot be reached.
    """
    try:
        told = _read_profile(await rest.get(PROFILE_PATH)).profile
    except RequestError as error:
        if error.status in REFUSALS:
            raise
        return CURRENT.name
    except UpstreamError as error:
        if error.reason.startswith("HTTP 4"):
            return CURRENT.name
        raise
    except UNREADABLE:
        return CURRENT.name
    return told if told in PROFILES else CURRENT.name


class _ProfileAnswer(Struct):
    """What a plant says of itself."""

    profile: str


_read_profile = JsonDecoder(_ProfileAnswer).decode
