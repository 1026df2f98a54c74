"""Reports about the connections of a feed, for keeping a record of them.

Consumers get notices of what they may miss (`notices.py`).  An observer also gets
reports of events that cost consumers nothing, such as renewed connections, and of unreadable messages.
"""

from __future__ import annotations

from collections.abc import Iterable

from tickerplant.notices import Notice


class Observer:
    """Ignores all reports; subclasses override what they need, and must not raise.

    A connection is identified by its number, which is unique in the feed.
    """

    def delivering(self, connection: int, names: Iterable[str]) -> None:
        """Take the report that a connection delivers `names` from now on: its server acknowledged it.

        It precedes the notices of their recovery.
        """

    def renewed(self, connection: int, names: Iterable[str]) -> None:
        """Take the report that a connection replaced another in time, and nothing is lost."""

    def covered(self, connection: int, names: Iterable[str], reason: str) -> None:
        """Take the report that a connection was lost, and others delivered all of `names` that it did."""

    def noticed(self, notice: Notice) -> None:
        """Take a notice about outages, gaps and silence, once for all of its streams."""

    def unreadable(self, stream: str, payload: bytes, received_ns: int) -> None:
        """Take a message that cannot be decoded as one of its stream; consumers do not get it."""

    def unknown(self, stream: str, reason: str) -> None:
        """Take the report that no message of a stream is expected, and why.

        It comes at once if no stream has such a name, and after some silence if the server does not
        list the symbol or serves the other venue.
        """
