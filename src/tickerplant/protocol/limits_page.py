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
"""Addresses on one page; all that are remembered would hold up the streams meanwhile."""


class UseRow(Struct, frozen=True):
    """One limit of the page."""

    name: str
    """Its key."""
    field: str
    """The limit that holds the number; empty if there is none."""
    doc: str
    """What `highest` is the highest of."""


USE_ROWS = (
    UseRow(
        REQUEST_WEIGHT,
        "request_weight_per_minute",
        "Request weight in one clock minute, REST and WebSocket API together.",
    ),
    UseRow(FUNDING_ALLOWANCE, "funding_requests", "Questions about funding in one window, USDⓈ-M."),
    UseRow(
        STATISTICS_ALLOWANCE,
        "statistics_requests",
        "Questions about statistics in one window, USDⓈ-M.",
    ),
    UseRow(
        CONNECTION_ATTEMPTS, "connection_attempts", "WebSocket connections tried in one window."
    ),
    UseRow(CONNECTIONS, "", "WebSocket connections open at once."),
    UseRow(STREAMS, "max_streams", "Streams that one connection wanted to hold."),
    UseRow(
        MESSAGES,
        "message_burst",
        "Messages that one stream connection had sent beyond the steady rate.",
    ),
    UseRow(
        CONTROL_FRAMES,
        "api_control_rate_per_s",
        "Pings and pongs that one WebSocket API connection had sent beyond the steady rate.",
    ),
)


class Use(Struct, frozen=True, kw_only=True, rename="camel"):
    """How near an address came to one limit."""

    limit: int | None
    """What there is, null without a limit."""
    window_ms: int | UnsetType = UNSET
    """The window of the clock in which is counted, ms; missing for what is not counted by time."""
    used: int | UnsetType = UNSET
    """What is used now; missing for what each connection has for itself."""
    highest: int
    """The most that was ever used."""
    exceeded: int
    """How often more was wanted than there is, refused or only counted."""


class Refused(Struct, frozen=True):
    """Requests refused, by HTTP status."""

    too_many: int = field(name="429")
    banned: int = field(name="418")


class AddressUse(Struct, frozen=True, kw_only=True, rename="camel"):
    """What one address did."""

    last_seen: int
    """When it last asked or connected, ms since 1970."""
    banned_until: int | None
    """The end of its ban, ms since 1970; null without one."""
    refused: Refused
    """Requests refused so far, by status: `429` and `418`."""
    limits: dict[str, Use]
    """The limits by name."""


class LimitsPage(Struct, frozen=True, kw_only=True, rename="camel"):
    """The whole page."""

    venue: str
    """Whose port this is: `usdm` or `coinm`."""
    enforced: bool
    """Whether who goes beyond a limit is refused; false with `--limits off`."""
    shared_budget: bool
    """Whether both venues charge one budget, so that both ports tell the same."""
    server_time: int
    """The clock of the server, ms since 1970."""
    remembered: int
    """Addresses whose use is known."""
    forgotten: int
    """Addresses forgotten to make room for others."""
    addresses: dict[str, AddressUse]
    """What each of the latest addresses did, by address, the latest first."""


def limits_page(
    rate_limiter: RateLimiter, venue: str, now_ms: int, *, shared_budget: bool
) -> LimitsPage:
    """Return how near the latest `SHOWN_ADDRESSES` addresses came to every limit."""
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
