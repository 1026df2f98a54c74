"""What was requested over REST, by the address that precedes a recorded response."""

from __future__ import annotations

import re
from urllib.parse import unquote_to_bytes

from tickerplant.venue import COINM, USDM, Venue

DEPTH = "depth"

_BOOK = re.compile(rb"https?://[^?\s]*/(depth|rpiDepth)\?")
_LISTING = re.compile(rb"https?://[^?\s]*/([fd]api)/v\d/exchangeInfo(?:\?\S*)?$")
_SYMBOL = re.compile(rb"[?&]symbol=([^&\s]+)")


def requested_book(address: bytes) -> str:
    """Return which book was requested: `depth`, or `rpiDepth` with RPI orders; empty if none."""
    found = _BOOK.match(address)
    return found[1].decode() if found else ""


def requested_listing(address: bytes) -> Venue | None:
    """Return the venue whose `exchangeInfo` was requested; None for another request."""
    found = _LISTING.match(address)
    return (COINM if found[1] == b"dapi" else USDM) if found else None


def requested_symbol(address: bytes) -> str:
    """Return the symbol in an address, in upper case; empty if there is none.

    Symbols with other than ASCII letters are percent-encoded.
    """
    found = _SYMBOL.search(address)
    return unquote_to_bytes(found[1]).decode(errors="replace").upper() if found else ""
