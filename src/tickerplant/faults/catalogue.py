"""All kinds of faults."""

from __future__ import annotations

from tickerplant.faults.connection_faults import ConnectionFault, HandshakeFault
from tickerplant.faults.fault import Fault
from tickerplant.faults.message_faults import Clock, MessageFault
from tickerplant.faults.request_faults import ApiFault, RestFault, SubscriptionFault
from tickerplant.faults.snapshot_faults import SnapshotFault

_FAMILIES: tuple[type[Fault], ...] = (
    HandshakeFault,
    ConnectionFault,
    SubscriptionFault,
    ApiFault,
    RestFault,
    MessageFault,
    SnapshotFault,
)
_AIMED: tuple[type[Fault], ...] = (*_FAMILIES, Clock)
AIMS = {each.acts_on: each.aims for each in _AIMED}
"""What faults can be aimed at, by what they act on."""
FAULTS: dict[str, type[Fault]] = {
    each.kind: each for family in _FAMILIES for each in family.__subclasses__()
}
"""The classes of faults by what they are called."""
