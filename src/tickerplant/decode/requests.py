"""What was asked over REST, by the address that stands before a recorded answer."""

from __future__ import annotations

import re
from urllib.parse import unquote_to_bytes

from tickerplant.venue import COINM, USDM, Venue

DEPTH = "depth"

_BOOK = re.compile(rb"https?://[^?\s]*/(depth|rpiDepth)\?")
_LISTING = re.compile(rb"https?://[^?\s]*/([fd]api)/v\d/exchangeInfo(?:\?\S*)?$")
_SYMBOL = re.compile(rb"[?&]symbol=([^&\s]+)")


def requested_book(address: bytes) -> str:
    """Return which book was asked for, `depth` or with RPI orders `rpiDepth`; empty if none."""
    found = _BOOK.match(address)
    return found[1].decode() if found else ""


def requested_listing(address: bytes) -> Venue | None:
    """Return of which venue the contracts were asked for; None if something else was."""
    found = _LISTING.match(address)
    return (COINM if found[1] == b"dapi" else USDM) if found else None


def requested_symbol(address: bytes) -> str:
    """Return the symbol in a question, in capitals; empty if there is none.

    Not every symbol is of ASCII letters; in an address such ones are written as `%XX`.
    """
    found = _SYMBOL.search(address)
    return unquote_to_bytes(found[1]).decode(errors="replace").upper() if found else ""
