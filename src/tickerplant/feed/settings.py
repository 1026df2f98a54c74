"""How a feed behaves: every time, size and rate of the client's side, with its reason."""

from __future__ import annotations

from math import isfinite
from typing import get_type_hints

from msgspec import Struct

from tickerplant.errors import ConfigError
from tickerplant.protocol.limits import LIMITS

MOST_COPIES = 10
"""More connections for the same streams would only cost the exchange something."""


class FeedSettings(Struct, frozen=True, kw_only=True):
    """The numbers of a feed.  All have defaults that fit the exchange."""

    copies: int = 1
    """Connections that carry each stream: with 2, the loss of one costs nothing, not even what
    has no ids to ask for again."""
    max_streams: int = LIMITS.max_streams
    """Streams on one connection; more names open another."""
    names_per_request: int = 100
    """Names in one SUBSCRIBE (200 were measured to be accepted)."""
    requests_per_s: int = 5
    """Control messages a second on one connection: half of what the exchange allows, because
    pongs may count too."""
    request_burst: int = 5
    """Control messages at once, after a rest."""
    opens_per_s: int = 1
    """Connection attempts a second, steadily (the exchange allows 300 in 5 minutes)."""
    open_burst: int = 20
    """Connection attempts at once, after a rest."""
    max_connection_age_ms: int = LIMITS.lifetime_ms
    """Age at which the server cuts a connection."""
    renewal_margin: float = 0.1
    """A connection is renewed between this part of its life before the end and half of it: not all
    at once."""
    overlap_ms: int = 2_000
    """How long the old connection stays after everything on the new one was acknowledged."""
    merge_ms: int = 10_000
    """How long after a change of connections a message may come a second time."""
    ack_timeout_ms: int = 10_000
    """Age of an unanswered control message at which its connection is given up."""
    idle_ms: int = 15_000
    """Silence of a connection after which it is pinged."""
    pong_timeout_ms: int = 10_000
    """Time a ping may go unanswered, with nothing else heard, before the connection is given up."""
    retry_base_ms: int = 250
    """First pause after a failed connection attempt; each further one doubles it."""
    retry_max_ms: int = 30_000
    """No pause is longer, unless the server asks for it."""
    stable_after_ms: int = 10_000
    """Age at which a connection counts as good, so that its loss is followed by an attempt at once."""
    most_apart: int = 20
    """Subscriptions that may have connections of their own because they are full.  A further one
    keeps sharing, and gets a `Dropped` for what it loses."""
    lag_ms: int = 500
    """By how much the leader may fall behind another connection before that one leads."""
    reorder_ms: int = 500
    """How long a gap waits for the missing messages from another connection that has not told what
    comes after them, either.  With more than a connection may stand still nothing of it is lost, and
    all of the stream waits for it."""
    backfill_ms: int = 15_000
    """How long a gap waits for the missing messages over REST."""
    held_messages: int = 20_000
    """Messages of one stream that wait behind a gap; with more, the gap stays."""
    stale_ms: int = 5_000
    """No stream is called stale sooner."""
    quick_stale_ms: int = 1_500
    """A stream that only tells changes is not called stale sooner, however busy it is."""
    event_stream_stale_ms: int = 15_000
    """Nor sooner than this before its rhythm is known; and it is not asked for again sooner."""
    first_message_timeout_ms: int = 60_000
    """Silence, since its subscription, of a stream that only tells changes."""
    unknown_after_ms: int = 5_000
    """How long a newly subscribed stream may be silent before the client checks over REST whether
    the server has it."""
    all_stale_reconnect_ms: int = 60_000
    """Age of a connection, at least, before it is replaced because all its streams are stale; each
    further replacement in vain doubles it."""


_LEAST = {
    "copies": 1,
    "max_streams": 1,
    "names_per_request": 1,
    "requests_per_s": 1,
    "request_burst": 1,
    "opens_per_s": 1,
    "open_burst": 1,
    "retry_base_ms": 1,
    "max_connection_age_ms": 1_000,
}
"""Settings with which nothing is ever heard, or nobody left in peace, when they are smaller."""


def check_settings(settings: object) -> None:
    """Let settings pass that can be used.

    Raises:
        ConfigError: one cannot, or they are none.
    """
    if not isinstance(settings, FeedSettings):
        raise ConfigError("settings", settings, "a FeedSettings")
    for name, kind in get_type_hints(FeedSettings).items():
        value, least = getattr(settings, name), _LEAST.get(name, 0)
        if kind is int and not (_is_number(value) and value == round(value) and value >= least):
            raise ConfigError(name, value, f"a whole number, at least {least}")
    share = settings.renewal_margin
    if not _is_number(share) or not 0 <= share < 0.5:
        raise ConfigError("renewal_margin", share, "a number from 0 to less than 0.5")
    if settings.copies > MOST_COPIES:
        raise ConfigError("copies", settings.copies, f"at most {MOST_COPIES}")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value)
