"""Responses as gzip, for clients that accept it."""

from __future__ import annotations

import struct
from collections import Counter, OrderedDict
from collections.abc import Mapping

from isal import igzip_lib, isal_zlib

from tickerplant.server.response import Response

LEAST_BYTES = 1_024
"""Shorter bodies are sent as they are."""
MAX_KEPT = 16
"""Responses of which the compressed end is kept; the one not asked for longest makes room."""
LEVEL = 1
"""Two fifths more bytes than zlib's usual level, in a thirtieth of its time."""
TIME_BYTES = 64
"""The beginning of a kept response, with the time, which is sent as it is."""

ACCEPTED = b"accept-encoding"
VARY = ("Vary", "Accept-Encoding")
ENCODED = ("Content-Encoding", "gzip")
_HEADER = b"\x1f\x8b\x08\0\0\0\0\0\0\xff"
"""That of gzip, without a time or a name."""
_STORED = struct.pack("<BHH", 0, TIME_BYTES, 0xFFFF - TIME_BYTES)
"""Before a part that is sent as it is, and is not the last."""


def accepts_gzip(value: bytes) -> bool:
    """Return whether a client wants gzip, by its header `Accept-Encoding` (RFC 9110, 12.5.3)."""
    weights = {}
    for item in value.lower().split(b","):
        coding, _, weight = item.partition(b";")
        try:
            weights[coding.strip()] = float(weight.partition(b"=")[2]) if weight else 1.0
        except ValueError:
            weights[coding.strip()] = 0.0
    others = weights.get(b"*", 0.0)
    gzip = weights.get(b"gzip", weights.get(b"x-gzip", others))
    return gzip > 0 and gzip >= weights.get(b"identity", 0.0)


class Compression:
    """Compresses the responses of one port.

    Args:
        counts: Counts how often a body was compressed (`made`), or only its beginning (`kept`), and how
            often a kept end made room (`evicted`).
    """

    def __init__(self, counts: Counter[str]) -> None:
        self._counts = counts
        self._kept: OrderedDict[bytes, tuple[bytes, bytes]] = OrderedDict()
        """The ends of bodies by the target of their requests, as they are and compressed."""

    def encoded(
        self, response: Response, headers: Mapping[bytes, bytes], target: bytes
    ) -> Response:
        """Return a response as its client accepts it."""
        body = response.body
        if len(body) < LEAST_BYTES:
            return response
        fields = (*response.headers, VARY)
        if accepts_gzip(headers.get(ACCEPTED, b"")):
            fields = (*fields, ENCODED)
            if response.stays:
                body = self._with_kept_end(body, target)
            else:
                self._counts["made"] += 1
                body = igzip_lib.compress(body, LEVEL, igzip_lib.COMP_GZIP)
        return Response(body, response.status, response.content_type, fields)

    def _with_kept_end(self, body: bytes, target: bytes) -> bytes:
        """Return a body as gzip, of which only the beginning is new if its end is known."""
        end, deflated = self._kept.pop(target, (b"", b""))
        if len(body) - len(end) == TIME_BYTES and body.endswith(end):
            self._counts["kept"] += 1
        else:
            self._counts["made"] += 1
            end = body[TIME_BYTES:]
            deflated = igzip_lib.compress(end, LEVEL, igzip_lib.COMP_DEFLATE)
        self._kept[target] = end, deflated
        if len(self._kept) > MAX_KEPT:
            self._kept.popitem(last=False)
            self._counts["evicted"] += 1
        sizes = struct.pack("<II", isal_zlib.crc32(body), len(body) & 0xFFFFFFFF)
        return b"".join((_HEADER, _STORED, body[:TIME_BYTES], deflated, sizes))
