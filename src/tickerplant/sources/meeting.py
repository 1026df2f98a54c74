"""What an upstream says of itself before anything is relayed: contracts, time and profile."""

from __future__ import annotations

from msgspec import Struct
from msgspec.json import Decoder as JsonDecoder

from tickerplant.client.rest import RestClient
from tickerplant.decode.exchange_info import Listing, instruments_of
from tickerplant.errors import DecodeError, RequestError, UpstreamError
from tickerplant.feed.weight import REFUSALS
from tickerplant.instrument import PERPETUAL_DELIVERY_MS
from tickerplant.messages.readers import UNREADABLE
from tickerplant.profile import CURRENT, PROFILES
from tickerplant.venue import Venue

PROFILE_PATH = "/plant/v1/profile"
"""Where a plant says which profile it has."""


async def told_contracts(rest: RestClient, venue: Venue) -> tuple[Listing, int]:
    """Return the contracts of the venue and its time.

    Raises:
        RequestError: it answers with an error.
        UpstreamError: it cannot be reached.
        DecodeError: it answers something else.
    """
    answer = await rest.get("exchangeInfo")
    listing = instruments_of(answer, venue)
    try:
        time_ms = _told_time(answer).server_time
    except UNREADABLE as error:
        raise DecodeError(f"exchangeInfo does not tell the time: {error}") from None
    if not 0 <= time_ms < PERPETUAL_DELIVERY_MS:
        raise DecodeError(f"exchangeInfo tells a time that cannot be: {time_ms}")
    return listing, time_ms


async def told_profile(rest: RestClient) -> str:
    """Return the profile that the upstream says it has; the exchange says none, and has the last.

    Raises:
        RequestError: it refuses to answer for now.
        UpstreamError: it cannot be reached.
    """
    try:
        told = _told_profile(await rest.get(PROFILE_PATH)).profile
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


class _ToldProfile(Struct):
    """What a plant says of itself."""

    profile: str


_told_profile = JsonDecoder(_ToldProfile).decode


class _ToldTime(Struct, rename="camel"):
    """An answer to exchangeInfo: when it was made."""

    server_time: int


_told_time = JsonDecoder(_ToldTime).decode
