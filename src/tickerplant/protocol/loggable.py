"""What a client sent, as it may stand in a log: names of streams and known paths, never keys.

Clients send keys, signatures and listen keys to the wrong door: as a path, as a parameter of a URL,
as the name of a stream.  A word that is not known is shown as its size and a short digest, so that
two lines about the same word can still be recognised as such.
"""

from __future__ import annotations

import re
from functools import cache
from urllib.parse import unquote

from tickerplant.protocol.masking import MORE_THAN_A_SYMBOL, sized
from tickerplant.protocol.target import ROUTES
from tickerplant.queries import QUERIES
from tickerplant.streams import CATALOGUE
from tickerplant.venue import VENUES

MAX_SHOWN = 200
"""Characters of a path after which the rest is left out."""

_PARTS = re.compile(r"[/?&=]|[^/?&=]+")
_RUN = rf"[^\W_]{{1,{MORE_THAN_A_SYMBOL - 1}}}"
"""Letters and digits, as many as a symbol has at most."""
_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,22}[a-z0-9])?"
_ORIGIN = re.compile(
    rf"(?:https?://)?(?:{_LABEL}(?:\.{_LABEL}){{0,7}}|\[[0-9a-f:.]{{2,45}}\])(?::\d{{1,5}})?",
    re.IGNORECASE,
)
_NAME = re.compile(
    rf"(?:!|{_RUN}(?:_{_RUN}){{0,3}}@)[A-Za-z]{{1,24}}\d{{0,4}}(?:[@_]\w{{1,16}}){{0,2}}"
)
"""Names that are streams, or were meant to be."""
_WORDS = frozenset({"", "ws", "stream", "streams", "timeUnit", "returnRateLimits", *ROUTES})


def loggable(text: str | bytes) -> str:
    """Return `text`, a path or the name of a stream, as it may be logged, in bounded length.

    Words that are those of a path that is served, or have the form of a stream name, stand as they
    are, percent-encoding undone; of every other word stand its size and a digest.
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
    """Return a host, with or without a port or a scheme before it, as it may be logged."""
    return text if _ORIGIN.fullmatch(text) else f"[{sized(text)}]"


def _word(word: str) -> str:
    return word if word in _known_words() or _NAME.fullmatch(word) else f"[{sized(word)}]"


@cache
def _known_words() -> frozenset[str]:
    """Return the words of the paths that are served and of the streams without a symbol."""
    paths = [query.path_on(venue) or "" for query in QUERIES for venue in VENUES]
    return _WORDS.union(
        *(path.split("/") for path in paths),
        *(venue.api_path.split("/") for venue in VENUES),
        (stream.pattern.text for stream in CATALOGUE if not stream.pattern.parts),
    )
