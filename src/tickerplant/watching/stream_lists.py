"""The streams that a command line names, one by one or in files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from tickerplant.errors import ConfigError
from tickerplant.protocol.limits import LIMITS
from tickerplant.regular_files import read_regular
from tickerplant.watching.places import check_text

FILE_SIGN = "@"
"""What stands before the name of a file; no stream begins with it."""
COMMENT_SIGN = "#"
MOST_STREAMS = 100_000
"""More than any exchange has; a file of more is not one of streams."""
MOST_BYTES = 1 << 24
"""Of a file."""


def streams_of(given: Iterable[str]) -> tuple[str, ...]:
    """Return the streams that are named, each once; `@FILE` stands for those in a file.

    Raises:
        ConfigError: a file cannot be read, a name cannot be one, or there is none.
    """
    names: dict[str, None] = {}
    for each in given:
        if each.startswith(FILE_SIGN):
            found = _in_file(each.removeprefix(FILE_SIGN))
        else:
            found = iter([(each, "STREAM")])
        for name, place in found:
            check_text(place, name)
            if not name or len(name.encode()) > LIMITS.max_name_bytes:
                longest = f"the name of a stream, of at most {LIMITS.max_name_bytes} bytes"
                raise ConfigError(place, name[:80], longest)
            names[name] = None
            if len(names) > MOST_STREAMS:
                raise ConfigError(place, name, f"at most {MOST_STREAMS:,} streams")
    if not names:
        raise ConfigError("STREAM", " ".join(given), "at least one stream")
    return tuple(names)


def _in_file(path: str) -> Iterator[tuple[str, str]]:
    """Yield the names in a file, each with its place."""
    reason: str | None = None
    try:
        text = read_regular(path, MOST_BYTES, pipes=True).decode()
    except (OSError, UnicodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
    if reason is not None:
        expected = f"a file with the name of a stream in each line: {reason}"
        raise ConfigError("STREAM", f"{FILE_SIGN}{path}", expected)
    for number, line in enumerate(text.splitlines(), 1):
        if name := line.partition(COMMENT_SIGN)[0].strip():
            yield name, f"{path}, line {number}"
