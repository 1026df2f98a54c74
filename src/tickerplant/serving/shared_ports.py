"""The ports that the workers of a program share."""

from __future__ import annotations

import itertools
import socket
from collections.abc import Mapping, Sequence

from tickerplant.server.listener import main_address
from tickerplant.server.ports import (
    Hosts,
    Sockets,
    address_text,
    listening_sockets,
    refuse_equal,
)
from tickerplant.venue import Venue


class SharedPorts:
    """Ports that several processes listen on: the system shares new connections among them.

    Args:
        host: The address to listen on, or several; `::` is all of IPv4 too.
        numbers: The port by venue name; 0 picks a free one; a missing venue has its default.
        venues: The venues that are served.
    """

    def __init__(self, host: Hosts, numbers: Mapping[str, int], venues: Sequence[Venue]) -> None:
        self.urls: dict[str, str] = {}
        """The address of each venue, `host:port`, by venue name; empty before `open`."""
        self._host = host
        self._venues = venues
        self._numbers = {each.name: numbers.get(each.name, each.default_port) for each in venues}

    def open(self, *, listens: bool = True) -> Sockets:
        """Open one more socket for each address of each port.

        Args:
            listens: Whether they listen.  If not, they get no connections before they do.

        Raises:
            ConfigError: the address or a port cannot be used.
            OSError: the system has no socket.
        """
        if not self.urls:
            refuse_equal(list(self._numbers.values()))
        sockets: dict[str, list[socket.socket]] = {}
        try:
            for venue in self._venues:
                number = self._numbers[venue.name]
                if number and venue.name not in self.urls:
                    # Sharing would hide another program of this user that shares its port too.
                    close_all({venue.name: listening_sockets(venue, self._host, number)})
                opened = listening_sockets(
                    venue, self._host, number, is_shared=True, listens=listens
                )
                sockets[venue.name] = opened
                host, self._numbers[venue.name] = main_address(opened)
                self.urls[venue.name] = address_text(host, self._numbers[venue.name])
        except BaseException:
            close_all(sockets)
            raise
        return sockets


def close_all(sockets: Sockets) -> None:
    """Close the sockets of one worker."""
    for sock in itertools.chain(*sockets.values()):
        sock.close()
