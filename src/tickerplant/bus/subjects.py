"""The subjects of one plant on the bus, and how a stream's name becomes one token of a subject.

PREFIX.PLANT.s.VENUE.TOKEN   batches of one stream, from the plant
PREFIX.PLANT.ctl             control messages, from the plant to all edges
PREFIX.PLANT.beat            heartbeats of the plant
PREFIX.PLANT.interest        what edges want, and their heartbeats
PREFIX.PLANT.call            questions of edges
PREFIX.PLANT.e.EDGE          answers to one edge
PREFIX.PLANT.hello           asks the plant to describe itself
PREFIX.PLANT.lease           who publishes as this plant
PREFIX.hello                 asks all plants of the bus
"""

from __future__ import annotations

import re
from hashlib import blake2b

LONGEST_TOKEN = 128
"""Characters of a token; a longer one is replaced by a hash."""
DIGEST_BYTES = 16
KEY_BYTES = 7
EMPTY_TOKEN = "%"  # noqa: S105  # no secret; a percent sign alone encodes nothing else
HASHED = "%h"
"""What a hashed token begins with; `h` is no hexadecimal digit."""

_ENCODED = re.compile(rb"[^A-Za-z0-9_@!-]")


def token_of(name: str) -> str:
    """Return `name` as one token of a subject; different names have different tokens."""
    raw = name.encode("utf-8", "surrogatepass")
    token = _ENCODED.sub(lambda found: b"%%%02X" % found[0][0], raw).decode("ascii")
    if len(token) > LONGEST_TOKEN:
        return HASHED + blake2b(raw, digest_size=DIGEST_BYTES).hexdigest()
    return token or EMPTY_TOKEN


class Subjects:
    """The subjects of the plant `plant`.

    Args:
        prefix: What all subjects begin with; may consist of several tokens.
        plant: The plant's name.
    """

    def __init__(self, prefix: str, plant: str) -> None:
        base = f"{prefix}.{token_of(plant)}"
        self.plant = plant
        self.all_plants = f"{prefix}.hello"
        self.hello = f"{base}.hello"
        self.control = f"{base}.ctl"
        self.beat = f"{base}.beat"
        self.interest = f"{base}.interest"
        self.call = f"{base}.call"
        self.streams = f"{base}.s"
        """What the subjects of all streams begin with."""
        self.lease = f"{base}.lease"
        """Who publishes as the plant."""
        self.memory = base.replace(".", "=")
        """The name of the JetStream stream that keeps the recent past."""
        self.lease_memory = f"{self.memory}=lease"
        """The name of the JetStream stream that keeps the lease."""
        self.kept = (f"{self.streams}.>", self.control)
        """What that stream keeps."""
        self._edges = f"{base}.e"

    def stream(self, venue_name: str, name: str) -> str:
        """Return the subject of the stream `name` of a venue."""
        return f"{self.streams}.{venue_name}.{token_of(name)}"

    def edge(self, identity: str) -> str:
        """Return the subject on which an edge gets its answers."""
        return f"{self._edges}.{token_of(identity)}"


def key_of(subject: str) -> int:
    """Return a number for `subject` that another one hardly has; the same in every process."""
    return int.from_bytes(blake2b(subject.encode(), digest_size=KEY_BYTES).digest())
