"""What an upstream says of itself before anything is relayed: contracts and time."""

from __future__ import annotations

from msgspec import Struct
from msgspec.json import Decoder as JsonDecoder

from tickerplant.client.rest import RestClient
from tickerplant.decode.exchange_info import Listing, instruments_of
from tickerplant.errors import DecodeError
from tickerplant.instrument import PERPETUAL_DELIVERY_MS
from tickerplant.messages.readers import UNREADABLE
from tickerplant.venue import Venue


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


class _ToldTime(Struct, rename="camel"):
    """An answer to exchangeInfo: when it was made."""

    server_time: int


_told_time = JsonDecoder(_ToldTime).decode
