"""Settings of a feed: every time, size and rate of the client."""

from __future__ import annotations

from math import isfinite
from typing import TypeGuard, get_type_hints

from msgspec import Struct

from tickerplant.errors import ConfigError
from tickerplant.protocol.delivery import EVERY, POLICIES, Policy
from tickerplant.protocol.limits import LIMITS
from tickerplant.suggestions import one_of

MAX_COPIES = 10
"""More connections for the same streams would only burden the exchange."""


class ConnectionSettings(Struct, frozen=True, kw_only=True):
    """How many connections there are, and how they are opened, renewed, merged and checked."""

    copies: int = 1
    """Redundant connections per stream.  With 2, losing one connection loses nothing, even on
    streams without ids."""
    delivery: Policy | None = None
    """What a Tickerplant server does while this client is behind: `every` or `latest`; None leaves it
    to the server, and the exchange knows neither.  `latest` is for one copy: what two servers merged
    differently cannot be joined."""
    max_streams: int = LIMITS.max_streams
    """Maximum number of streams on one connection; further streams open another one."""
    names_per_request: int = 100
    """Maximum number of names in one SUBSCRIBE (the exchange was measured to accept 200)."""
    requests_per_s: int = 5
    """Sustained control messages per second on one connection: half of what the exchange allows,
    because pongs may count too."""
    request_burst: int = 5
    """Control messages that may be sent at once after a pause."""
    opens_per_s: int = 1
    """Sustained connection attempts per second (the exchange allows 300 in 5 minutes)."""
    open_burst: int = 20
    """Connection attempts that may be made at once after a pause."""
    max_connection_age_ms: int = LIMITS.lifetime_ms
    """Age at which the server closes a connection."""
    renewal_margin: float = 0.1
    """Connections are renewed at a random time between half of `max_connection_age_ms` and this
    fraction before its end, so they do not all renew at once."""
    overlap_ms: int = 2_000
    """How long the old connection stays open after every subscription of the new one was
    acknowledged."""
    merge_ms: int = 10_000
    """How long after a reconnect duplicates are filtered out."""
    lag_ms: int = 500
    """How far the primary connection may lag before a secondary takes over."""
    ack_timeout_ms: int = 10_000
    """How long a control message may stay unacknowledged before its connection is dropped."""
    idle_ms: int = 15_000
    """Silence of a connection after which it is pinged."""
    pong_timeout_ms: int = 10_000
    """How long a ping may stay unanswered, with nothing else received, before the connection is
    dropped."""
    spare_messages: int = 10_000
    """Messages that a full subscription with `when_full="block"` still queues while others read its
    connections; further ones are dropped, and a `Dropped` notice says how many."""


class RetrySettings(Struct, frozen=True, kw_only=True):
    """How a lost connection is replaced, and how long missing messages are waited for."""

    retry_base_ms: int = 250
    """Pause after the first failed connection attempt; it doubles with each further one."""
    retry_max_ms: int = 30_000
    """Maximum pause, unless the server asks for a longer one."""
    stable_after_ms: int = 10_000
    """Age at which a connection counts as stable, so that the client reconnects at once when it is
    lost."""
    reorder_ms: int = 500
    """How long a gap waits for another connection that may still deliver the missing messages.  If
    this is longer than a connection can stall, nothing is lost, but the whole stream waits."""
    backfill_ms: int = 15_000
    """How long a gap waits for the missing messages over REST."""
    held_messages: int = 20_000
    """Maximum number of messages of one stream that wait behind a gap; with more, the messages in
    the gap are given up."""


class StalenessSettings(Struct, frozen=True, kw_only=True):
    """How soon a silent stream is noticed."""

    stale_ms: int = 5_000
    """Minimum silence before any stream counts as stale."""
    quick_stale_ms: int = 1_500
    """Minimum silence before an event-driven stream counts as stale, however busy it is."""
    event_stream_stale_ms: int = 15_000
    """The same until its typical interval is known, and before it is subscribed to again."""
    first_message_timeout_ms: int = 60_000
    """How long a newly subscribed event-driven stream may stay silent before it counts as stale."""
    unknown_after_ms: int = 5_000
    """How long a newly subscribed stream may stay silent before the client checks over REST whether
    the server has it."""
    all_stale_reconnect_ms: int = 60_000
    """Minimum age at which a connection whose streams are all stale is replaced; doubles after each
    unsuccessful replacement."""


class ClientSettings(Struct, frozen=True, kw_only=True):
    """Client tuning, in three groups.

        redundant = ConnectionSettings(copies=2)
        market = tickerplant.connect(settings=ClientSettings(connections=redundant))

    The defaults suit the exchange.
    """

    connections: ConnectionSettings = ConnectionSettings()
    """Connections: how many, their renewal, limits and timeouts."""
    retries: RetrySettings = RetrySettings()
    """Reconnecting, and waiting for missing messages."""
    staleness: StalenessSettings = StalenessSettings()
    """Noticing silence."""


_MINIMUM = {
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
"""Minimum values; anything lower would stall the client or flood the server."""


def check_settings(settings: object) -> None:
    """Raise `ConfigError` unless settings can be used."""
    if not isinstance(settings, ClientSettings):
        raise ConfigError("settings", settings, "a ClientSettings")
    for group, kind in get_type_hints(ClientSettings).items():
        given = getattr(settings, group)
        if not isinstance(given, kind):
            raise ConfigError(f"settings.{group}", given, f"a {kind.__name__}")
        for name, type_ in get_type_hints(kind).items():
            if type_ is int:
                _check_whole(
                    f"settings.{group}.{name}", getattr(given, name), _MINIMUM.get(name, 0)
                )
    share, copies = settings.connections.renewal_margin, settings.connections.copies
    if not _is_number(share) or not 0 <= share < 0.5:
        name, expected = "settings.connections.renewal_margin", "a number from 0 to less than 0.5"
        raise ConfigError(name, share, expected)
    if copies > MAX_COPIES:
        raise ConfigError("settings.connections.copies", copies, f"at most {MAX_COPIES}")
    delivery = settings.connections.delivery
    if delivery is not None and delivery not in POLICIES:
        raise ConfigError(
            "settings.connections.delivery", delivery, one_of(str(delivery), POLICIES)
        )
    if delivery not in {None, EVERY} and copies > 1:
        expected = f"1 with delivery={delivery}: what two connections merged cannot be joined"
        raise ConfigError("settings.connections.copies", copies, expected)


def _check_whole(name: str, value: object, minimum: int) -> None:
    if not (_is_number(value) and value == round(value) and value >= minimum):
        raise ConfigError(name, value, f"a whole number, at least {minimum}")


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value)
