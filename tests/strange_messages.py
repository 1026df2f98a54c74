"""Messages on a bus that are not ours, and a connection to a bus that hears them."""

from __future__ import annotations

import os

import msgspec
from hypothesis import settings
from hypothesis import strategies as st
from nats.aio.client import Client
from nats.aio.msg import Msg

from tickerplant.cluster.connection import BusConnection, BusSettings
from tickerplant.logs import Complaints

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "0")) or settings().max_examples // 2


def strange(*real: bytes) -> st.SearchStrategy[bytes]:
    """Bytes that are no message of ours, or one that was cut off or changed."""
    whole = st.sampled_from(real)
    cut = st.builds(lambda data, share: data[: int(len(data) * share)], whole, st.floats(0, 1))
    changed = st.builds(
        lambda data, place, byte: (
            b"%b%c%b" % (data[: place % len(data)], byte, data[place % len(data) + 1 :])
        ),
        whole,
        st.integers(0, 1 << 16),
        st.integers(0, 255),
    )
    other = st.recursive(
        st.none()
        | st.booleans()
        | st.integers(-(1 << 63), (1 << 64) - 1)
        | st.text()
        | st.binary(),
        lambda inner: (
            st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner, max_size=4)
        ),
        max_leaves=6,
    ).map(msgspec.msgpack.encode)
    return st.binary(max_size=60) | cut | changed | other | whole


class Fed(BusConnection):
    """A connection that is never made: it hears what a test feeds it."""

    def __init__(self) -> None:
        super().__init__(BusSettings(servers=("nats://127.0.0.1:1",)), "", Complaints())

    def hear(self, subject: str, data: bytes) -> None:
        message = Msg(_client=Client(), subject=subject, reply="_INBOX.1", data=data)
        for each in tuple(self._subscriptions):
            if each.subject == subject:
                each.receive(message)

    @property
    def faults(self) -> list[str]:
        """What escaped from a handler."""
        return [kind for kind in self.complaints.counts if kind.startswith("fault")]
