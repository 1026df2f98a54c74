"""How long a plant and its edges wait for each other, and the clock by which they do."""

from __future__ import annotations

import asyncio

from msgspec import Struct


class Timing(Struct, frozen=True, kw_only=True):
    """The times of one cluster; the same for all of its processes."""

    lease_s: float = 2.0
    """How long a plant has its name without renewing that."""
    renew_s: float = 0.5
    """How often the name is renewed; a request for it may take as long."""
    poll_s: float = 0.25
    """How often the name is asked for while nobody is heard."""
    start_s: float = 4.0
    """How long a plant that starts waits for the end of a lease whose holder is not heard."""
    tick_s: float = 0.25
    """How often an edge looks after the way to its plant."""
    hello_s: float = 2.0
    """How long a plant may take to answer an edge that greets it."""
    others_s: float = 0.5
    """How long plants may take to answer when all are asked for their names."""
    recovery_s: float = 2.0
    """How long the memory of the bus is read again for what is missing, before it is given up."""


TIMING = Timing()


def loop_ms() -> int:
    """Return the time of the running loop, in ms."""
    return int(asyncio.get_running_loop().time() * 1_000)
