"""What a program and its workers say to each other: lines of JSON over pipes.

    program  ──▶  WorkerTask, then Moved and Stop         standard input
    program  ◀──  Listening or Refused, then Progress     standard output

The end of standard input without `Stop` means that the program was killed.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import msgspec
from msgspec import Struct

from tickerplant.cluster.connection import BusSettings


class WorkerTask(Struct, frozen=True, kw_only=True):
    """What a worker does."""

    number: int
    """Which of the workers it is, from 1."""
    name: str
    """What it is called in metrics and pages."""
    settings: dict[str, Any]
    """Fields of `EdgeSettings`, without those of the bus."""
    bus: BusSettings
    """How the plant is reached; secrets reach the worker in no other way."""
    is_beside_plant: bool
    """Whether it certainly runs on the machine of its plant."""
    sockets: dict[str, list[int]]
    """The descriptors of the sockets of each venue, by name: bound, and to be listened on."""


class Moved(Struct, frozen=True, tag="moved", tag_field="order"):
    """The bus was started again, and is reached in another way."""

    bus: BusSettings


class Stop(Struct, frozen=True, tag="stop", tag_field="order"):
    """Close all connections and end."""


class Listening(Struct, frozen=True, tag="listening", tag_field="event"):
    """The worker accepts connections."""


class Refused(Struct, frozen=True, tag="refused", tag_field="event"):
    """The worker cannot serve, and ends."""

    reason: str


class Progress(Struct, frozen=True, kw_only=True, tag="progress", tag_field="event"):
    """What the worker has served so far; sent every second, and at its end."""

    messages: int = 0
    sent_bytes: int = 0
    connections: int = 0


Event: TypeAlias = Listening | Refused | Progress

_tasks = msgspec.json.Decoder(WorkerTask)
_events: msgspec.json.Decoder[Event] = msgspec.json.Decoder(Event)
_orders: msgspec.json.Decoder[Moved | Stop] = msgspec.json.Decoder(Moved | Stop)
read_task, read_event, read_order = _tasks.decode, _events.decode, _orders.decode


def line_of(item: Struct) -> bytes:
    """Return `item` as a line."""
    return msgspec.json.encode(item) + b"\n"
