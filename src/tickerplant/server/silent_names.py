"""Subscriptions that stay silent, in the log: each name once, with what is wrong with it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from tickerplant.hub.hub import Hub
from tickerplant.logs import Complaints, logger
from tickerplant.protocol.loggable import loggable
from tickerplant.streams.spelling import remedy

MOST_NAMES = 1_000
"""Names of one port that are logged; further ones are only counted, and one line says so."""
MOST_AT_ONCE = 3
"""Names of one message that are logged; one line says how many more there are.  To find out what
is wrong with a name takes up to half a millisecond."""


class SilentNames:
    """Logs the silent subscriptions of one port and counts them.

    Args:
        hub: Whose streams.
        complaints: Count every silent subscription, by the reason.
    """

    def __init__(self, hub: Hub, complaints: Complaints) -> None:
        self._hub = hub
        self._complaints = complaints
        self._logged: set[str] = set()

    def note(self, identity: str, silent: Mapping[str, str]) -> None:
        """Count the names in `silent`, and log those that are new.

        Args:
            identity: Whose subscriptions they are.
            silent: The names, each with the reason, as `Hub.subscribe` returns them.
        """
        for reason, number in Counter(silent.values()).items():
            self._complaints.count(f"silent: {reason}", number)
        new = [name for name in silent if name not in self._logged]
        left = MOST_NAMES - len(self._logged)
        for name in new[: min(MOST_AT_ONCE, left)]:
            self._logged.add(name)
            self._log(identity, name, silent[name])
        if 0 < left <= min(MOST_AT_ONCE, len(new)):
            logger().warning(f"! {MOST_NAMES} silent names are in the log; others are only counted")
        elif left > 0 and len(new) > MOST_AT_ONCE:
            others = len(new) - MOST_AT_ONCE
            logger().warning(f"{identity} ! {others} more subscriptions of the message are silent")

    def _log(self, identity: str, name: str, reason: str) -> None:
        stream = loggable(name)
        # What is wrong with a name repeats parts of it: not of one that may be a key.
        shown = {"why": remedy(self._hub.markets, name)} if stream == name else {}
        logger().warning(f"{identity} ! a subscription is silent: {reason}", stream=stream, **shown)
