"""What the steps of a port ask of faults, where there are any."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol


class PortFaults(Protocol):
    """The faults of a server, as one of its ports sees them."""

    touches_requests: bool
    """Whether any fault that is on may change the answer to a request."""

    def next_number(self) -> int:
        """Return the number of a new connection that is not exempt."""

    def refusal(self, venue_name: str, target: str) -> int:
        """Return the status with which a handshake is refused; 0 if no fault refuses it."""

    def opened(self, connection: object) -> None:
        """Let what acts on messages, subscriptions and requests be on for a new connection."""

    def changed(self, connection: object) -> None:
        """Let what is aimed at streams be on, now that its subscriptions have changed."""

    async def request(self, venue_name: str, path: str) -> int:
        """Return the status with which a request is refused, when it is time; 0 if none refuses it.

        The status 200 is an answer that is not JSON.
        """

    def revised_answer(
        self, venue_name: str, name: str, params: Mapping[str, object], body: bytes
    ) -> bytes:
        """Return what faults make of the answer to a request, of REST or the WebSocket API."""
