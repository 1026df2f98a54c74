"""What a feed tells of its connections to somebody who keeps a record of them.

Consumers are told what they cannot hear (`messages/notice.py`).  Of what costs them nothing, such as
connections that were renewed in time, only an observer hears; and it hears of what cannot be read.
"""

from __future__ import annotations

from collections.abc import Iterable


class Observer:
    """Takes note of nothing; whoever wants to know something overrides it.  Nothing may be raised.

    Connections are told by their numbers, which no other connection of the feed ever has.
    """

    def carried(self, connection: int, names: Iterable[str]) -> None:
        """Take note that `names` are heard on a connection from now on: its server said so.

        It is told before consumers are told that they hear `names` again.
        """

    def renewed(self, connection: int, names: Iterable[str]) -> None:
        """Take note that a connection took the place of another in time, and nothing is lost."""

    def spared(self, connection: int, names: Iterable[str], reason: str) -> None:
        """Take note that a connection was lost, and others told all of `names` that it did."""

    def unread(self, stream: str, payload: bytes, received_ns: int) -> None:
        """Take a message that is not in the form of its stream; others are not handed out it."""

    def doubted(self, stream: str, reason: str) -> None:
        """Take note that nothing is expected of a stream, and why.

        Of a name that no stream has that is known when it is subscribed to; of a symbol that is not
        listed, or a server of the other venue, after some silence.
        """
