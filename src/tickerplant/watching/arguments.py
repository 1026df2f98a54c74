"""Arguments of the client commands: which venue, which streams, which names are unknown."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from urllib.parse import urlsplit

from tickerplant.config.kinds import names_in
from tickerplant.config.settings import ClientSettings
from tickerplant.errors import ConfigError
from tickerplant.feed.hosts import Hosts, hosts_of
from tickerplant.protocol.limits import LIMITS
from tickerplant.streams.spelling import unknown_reason, venue_of_name
from tickerplant.venue import VENUES, Venue, venue_of_address

MAX_STREAMS = 100_000
"""More than any exchange has."""


def venue_named(name: str) -> Venue | None:
    """Return the venue of a `--venue` setting; None for `auto`."""
    return next((venue for venue in VENUES if venue.name == name), None)


def hosts_given(
    venue: Venue, settings: ClientSettings, environ: Mapping[str, str] | None = None
) -> Hosts:
    """Return the addresses of `venue` that the settings name; others are from the environment."""
    return hosts_of(
        venue,
        settings.url,
        stream_url=settings.stream_url,
        rest_url=settings.rest_url,
        api_url=settings.api_url,
        environ=environ,
    )


def venue_of_settings(settings: ClientSettings) -> Venue | None:
    """Return the venue that is named, or that a URL is known to be of; None if there is neither."""
    urls = (settings.url, settings.stream_url, settings.rest_url, settings.api_url)
    return venue_named(settings.venue) or next(filter(None, map(venue_of_url, urls)), None)


def venue_of_url(url: str | None) -> Venue | None:
    """Return the venue that a URL is known to be of."""
    if url is None:
        return None
    parts = urlsplit(url)
    return venue_of_address(parts.path, parts.hostname or "", parts.port)


def venue_of_streams(names: Iterable[str]) -> Venue:
    """Return the venue of the streams; if names disagree, the venue with the fewest unknown ones."""
    names = tuple(names)
    venues = {venue_of_name(name) for name in names}
    if len(venues) == 1:
        return venues.pop()
    return min(VENUES, key=lambda venue: sum(bool(unknown_reason(venue, name)) for name in names))


def hints_of(venue: Venue, names: Iterable[str]) -> dict[str, str]:
    """Return what is wrong with the unknown ones of `names`, by name."""
    return {
        name: f"unknown stream: {why}" for name in names if (why := unknown_reason(venue, name))
    }


def check_text(setting: str, text: str) -> None:
    """Refuse an argument that is not UTF-8: it arrives with surrogates."""
    if any("\ud800" <= character <= "\udfff" for character in text):
        raise ConfigError(setting, text, "valid Unicode text")


def pairs_in(words: Iterable[str], expected: str) -> Iterator[tuple[str, str]]:
    """Yield the keys and values of words `KEY=VALUE`.

    Args:
        words: The words.
        expected: What a word is, for errors.

    Raises:
        ConfigError: a word is none, or a key comes twice.
    """
    keys: set[str] = set()
    for word in words:
        check_text("KEY=VALUE", word)
        key, equals, value = word.partition("=")
        if not key or not equals:
            raise ConfigError("KEY=VALUE", word, expected)
        if key in keys:
            raise ConfigError("KEY=VALUE", word, f"{key} once")
        keys.add(key)
        yield key, value


def listed(setting: str, arguments: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield the names in `arguments`, each with its place; `@FILE` and `-` stand for several."""
    is_empty = True
    for argument in arguments:
        try:
            for name, place in names_in([argument]):
                is_empty = False
                yield name, place or setting
        except ValueError as error:
            raise ConfigError(setting, argument, str(error)) from None
    if is_empty:
        raise ConfigError(setting, " ".join(arguments), "at least one name")


def streams_of(arguments: Sequence[str]) -> tuple[str, ...]:
    """Return the distinct stream names in `arguments`; `@FILE` and `-` stand for several."""
    names: dict[str, None] = {}
    for name, place in listed("STREAM", arguments):
        check_text(place, name)
        if not name or len(name.encode()) > LIMITS.max_name_bytes:
            expected = f"the name of a stream, of at most {LIMITS.max_name_bytes} bytes"
            raise ConfigError(place, name[:80], expected)
        names[name] = None
        if len(names) > MAX_STREAMS:
            raise ConfigError(place, name, f"at most {MAX_STREAMS:,} streams")
    return tuple(names)
