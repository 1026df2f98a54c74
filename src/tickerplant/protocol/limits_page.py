"""The page `/plant/v1/limits`: how close each address came to each limit."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from msgspec import UNSET, Struct, UnsetType, field
from msgspec.structs import replace

from tickerplant.protocol.limits import Limits
from tickerplant.protocol.rate_limiter import (
    CONNECTION_ATTEMPTS,
    CONNECTIONS,
    CONTROL_FRAMES,
    MESSAGES,
    REQUEST_WEIGHT,
    STREAMS,
    ClientUsage,
    RateLimiter,
    Tally,
)
from tickerplant.queries.query import FUNDING_ALLOWANCE, STATISTICS_ALLOWANCE

SHOWN_ADDRESSES = 100
"""Addresses on one page; showing all that are remembered would delay the streams."""


class UseRow(Struct, frozen=True):
    """One limit of the page."""

    name: str
    """Its key."""
    field: str
    """The field of `Limits` with the number; empty if there is none."""
    doc: str
    """What `highest` counts."""


USE_ROWS = (
    UseRow(
        REQUEST_WEIGHT,
        "request_weight_per_minute",
        "Request weight in one clock minute, REST and WebSocket API together.",
    ),
    UseRow(FUNDING_ALLOWANCE, "funding_requests", "Funding requests in one window, USDⓈ-M."),
    UseRow(
        STATISTICS_ALLOWANCE,
        "statistics_requests",
        "Statistics requests in one window, USDⓈ-M.",
    ),
    UseRow(
        CONNECTION_ATTEMPTS, "connection_attempts", "WebSocket connection attempts in one window."
    ),
    UseRow(CONNECTIONS, "", "WebSocket connections open at once."),
    UseRow(STREAMS, "max_streams", "Streams that one connection requested."),
    UseRow(
        MESSAGES,
        "message_burst",
        "Messages of one stream connection beyond the steady rate.",
    ),
    UseRow(
        CONTROL_FRAMES,
        "api_control_rate_per_s",
        "Pings and pongs of one WebSocket API connection beyond the steady rate.",
    ),
)


class Use(Struct, frozen=True, kw_only=True, rename="camel"):
    """How close an address came to one limit."""

    limit: int | None
    """The limit; null without one."""
    window_ms: int | UnsetType = UNSET
    """The window of the clock in ms; missing for limits without windows."""
    used: int | UnsetType = UNSET
    """The current usage; missing for limits per connection."""
    highest: int
    """The peak usage."""
    exceeded: int
    """How often the limit was exceeded, whether refused or only counted."""


class Refused(Struct, frozen=True):
    """Requests refused, by HTTP status."""

    too_many: int = field(name="429")
    banned: int = field(name="418")


class AddressUse(Struct, frozen=True, kw_only=True, rename="camel"):
    """The usage of one address."""

    last_seen: int
    """When it last sent a request or connected, ms since 1970."""
    banned_until: int | None
    """The end of its ban, ms since 1970; null without one."""
    refused: Refused
    """Requests refused so far, by status: `429` and `418`."""
    limits: dict[str, Use]
    """The limits by name."""


class LimitsPage(Struct, frozen=True, kw_only=True, rename="camel"):
    """The page of limits."""

    venue: str
    """Whose port this is: `usdm` or `coinm`."""
    enforced: bool
    """Whether limits are enforced; false with `--limits off`."""
    shared_budget: bool
    """Whether both venues share the limits, so that both ports report the same."""
    server_time: int
    """Connection time, ms since 1970: the clock of the server, and in a test server market time."""
    remembered: int
    """Addresses that are remembered."""
    forgotten: int
    """Addresses forgotten to make room for others."""
    addresses: dict[str, AddressUse]
    """The usage of the latest addresses, by address, the latest first."""


def limits_page(
    rate_limiter: RateLimiter, venue: str, now_ms: int, *, shared_budget: bool
) -> LimitsPage:
    """Return how close the latest `SHOWN_ADDRESSES` addresses came to each limit."""
    latest = islice(reversed(rate_limiter.clients.items()), SHOWN_ADDRESSES)
    return LimitsPage(
        venue=venue,
        enforced=rate_limiter.limits.enforced,
        shared_budget=shared_budget,
        server_time=now_ms,
        remembered=len(rate_limiter.clients),
        forgotten=rate_limiter.forgotten,
        addresses={address: _address_use(rate_limiter, usage, now_ms) for address, usage in latest},
    )


def _address_use(rate_limiter: RateLimiter, usage: ClientUsage, now_ms: int) -> AddressUse:
    is_banned = usage.banned_until_ms > now_ms
    return AddressUse(
        last_seen=usage.seen_ms,
        banned_until=usage.banned_until_ms if is_banned else None,
        refused=Refused(usage.refused[429], usage.refused[418]),
        limits=dict(_uses(rate_limiter, usage, now_ms)),
    )


def _uses(rate_limiter: RateLimiter, usage: ClientUsage, now_ms: int) -> Iterator[tuple[str, Use]]:
    for row in USE_ROWS:
        tally, window_limit = (
            usage.tallies.get(row.name, Tally()),
            rate_limiter.window_limits.get(row.name),
        )
        use = Use(
            limit=_number(rate_limiter.limits, row.field),
            highest=tally.highest,
            exceeded=tally.exceeded,
        )
        if window_limit is not None:
            is_current = tally.window == window_limit.window(now_ms)
            use = replace(
                use, window_ms=window_limit.window_ms, used=tally.used if is_current else 0
            )
        elif row.name == CONNECTIONS:
            use = replace(use, used=tally.used)
        yield row.name, use


def _number(limits: Limits, name: str) -> int | None:
    return getattr(limits, name) or None if name else None
