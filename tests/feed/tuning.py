"""Settings of a client that differ in some fields, whatever their groups."""

from __future__ import annotations

from typing import Any

from msgspec import structs

from tickerplant.feed.settings import ClientSettings

GROUPS = ("connections", "retries", "staleness")


def tuned(settings: ClientSettings | None = None, **changes: Any) -> ClientSettings:
    """Return `settings`, by default the usual ones, with some fields changed."""
    base = ClientSettings() if settings is None else settings
    groups = {name: getattr(base, name) for name in GROUPS}
    for field, value in changes.items():
        (group,) = (name for name in GROUPS if hasattr(groups[name], field))
        groups[group] = structs.replace(groups[group], **{field: value})
    return ClientSettings(**groups)
