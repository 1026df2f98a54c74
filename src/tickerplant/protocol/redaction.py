"""Text from clients as the log may show it: stream names and known paths, never keys.

Clients send keys, signatures and listen keys to the wrong place: as a path, as a parameter of a URL,
as a stream name.  An unknown word is replaced by its size and a short digest, so that two lines about
the same word can still be matched.
"""

from __future__ import annotations

import re
from functools import cache
from hashlib import blake2s
from urllib.parse import unquote

from tickerplant.protocol.delivery import POLICIES
from tickerplant.protocol.target import ROUTES
from tickerplant.queries import QUERIES
from tickerplant.streams import CATALOGUE
from tickerplant.venue import VENUES

MORE_THAN_A_SYMBOL = 25
"""A run of letters and digits longer than any symbol and shorter than any key, which has 32."""

_LONG_RUN = re.compile(rf"(?:[^\W_]|[+=]){{{MORE_THAN_A_SYMBOL},}}")


def sized(data: str | bytes) -> str:
    """Return the size of `data` and a short digest."""
    encoded = data.encode("utf-8", "replace") if isinstance(data, str) else data
    plural = "" if len(encoded) == 1 else "s"
    return f"{len(encoded)} byte{plural} #{blake2s(encoded, digest_size=4).hexdigest()}"


def masked(text: str) -> str:
    """Return `text`, such as a traceback, with anything that may be a key replaced."""
    return _LONG_RUN.sub(lambda run: f"[{sized(run[0])}]", text)


MAX_SHOWN = 200
"""Characters of a path that are shown."""

_PARTS = re.compile(r"[/?&=]|[^/?&=]+")
_RUN = rf"[^\W_]{{1,{MORE_THAN_A_SYMBOL - 1}}}"
"""Letters and digits, at most as many as in a symbol."""
_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,22}[a-z0-9])?"
_ORIGIN = re.compile(
    rf"(?:https?://)?(?:{_LABEL}(?:\.{_LABEL}){{0,7}}|\[[0-9a-f:.]{{2,45}}\])(?::\d{{1,5}})?",
    re.IGNORECASE,
)
_NAME = re.compile(
    rf"(?:!|{_RUN}(?:_{_RUN}){{0,3}}@)[A-Za-z]{{1,24}}\d{{0,4}}(?:[@_]\w{{1,16}}){{0,2}}"
)
"""Names in the form of a stream."""
_WORDS = frozenset(
    {
        *("", "ws", "stream", "streams", "timeUnit", "returnRateLimits", *ROUTES),
        *("delivery", "stamps", "window", "0", "1", *POLICIES),
    }
)
_WINDOW = re.compile("[0-9a-f]{8}")
"""What a window calls itself in the address of its connection: a quarter of the shortest key."""


def loggable(text: str | bytes) -> str:
    """Return `text`, a path or a stream name, as the log may show it, shortened.

    Words of known paths and words in the form of a stream name are kept, percent-decoded; any other
    word is replaced by its size and a digest.
    """
    if isinstance(text, bytes):
        text = text.decode("utf-8", "replace")
    shown: list[str] = []
    left = MAX_SHOWN
    for part in _PARTS.finditer(text):
        if left <= 0:
            shown.append("…")
            break
        word = part[0]
        if word not in "/?&=":
            word = _word(unquote(word))
        left -= len(word)
        shown.append(word)
    return "".join(shown)


def loggable_origin(text: str) -> str:
    """Return a host, with or without scheme and port, as the log may show it."""
    return text if _ORIGIN.fullmatch(text) else f"[{sized(text)}]"


def _word(word: str) -> str:
    is_known = word in _known_words() or _NAME.fullmatch(word) or _WINDOW.fullmatch(word)
    return word if is_known else f"[{sized(word)}]"


@cache
def _known_words() -> frozenset[str]:
    """Return the words of the paths that are served, and the streams without a symbol."""
    paths = [query.path_on(venue) or "" for query in QUERIES for venue in VENUES]
    return _WORDS.union(
        *(path.split("/") for path in paths),
        *(venue.api_path.split("/") for venue in VENUES),
        (stream.pattern.text for stream in CATALOGUE if not stream.pattern.parts),
    )
