"""What the steps of a port and of a connection ask of faults, where there are any."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Protocol

from msgspec import Struct

from tickerplant.protocol.actions import Action


class ConnectionFaultsHook(Protocol):
    """The faults that are on for one connection."""

    @property
    def is_silent(self) -> bool:
        """Whether its client receives nothing for now."""
        ...

    @property
    def is_held(self) -> bool:
        """Whether anything waits for a fault, so that the client cannot have taken it."""
        ...

    @property
    def is_lost(self) -> bool:
        """Whether a fault has ended the connection."""
        ...

    @property
    def is_in_the_way(self) -> bool:
        """Whether what is sent now, or its answer, would wait for a fault or be lost."""
        ...

    @property
    def held_bytes(self) -> int:
        """Bytes that wait for a fault, and were not written."""
        ...

    def received(self, data: bytes) -> bytes:
        """Take what the client has sent; return what of it is received now."""
        ...

    def requested(self, message: bytes) -> None:
        """Note a message of the client."""
        ...

    def revised(self, actions: Iterable[Action], message: bytes) -> Iterable[Action]:
        """Return what faults leave of `actions`, the answer to `message`."""
        ...

    def forget(self) -> None:
        """The connection is lost."""
        ...


class Refused(Struct, frozen=True):
    """How a fault answers a handshake or a request."""

    status: int
    """The HTTP status; 200 is an answer that is not JSON."""


class PortFaults(Protocol):
    """The faults of a server, as one of its ports sees them."""

    touches_requests: bool
    """Whether any fault that is on may change the answer to a request."""

    def next_number(self) -> int:
        """Return the number of a new connection that is not exempt."""
        ...

    def refusal(self, venue_name: str, target: str) -> Refused | None:
        """Return how a handshake is refused; None if no fault refuses it."""
        ...

    def opened(self, connection: object) -> None:
        """Let what acts on messages and subscriptions be on for a new connection."""
        ...

    def changed(self, connection: object) -> None:
        """Let what acts on connections be on, now that its subscriptions have changed."""
        ...

    async def request(self, venue_name: str, path: str) -> Refused | None:
        """Return how a request is answered, when it is time; None if no fault answers it."""
        ...

    def revised_answer(
        self, venue_name: str, path: str, params: Mapping[str, object], body: bytes
    ) -> bytes:
        """Return what faults make of the answer to a request."""
        ...
