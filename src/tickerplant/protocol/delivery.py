"""What a client may ask of the delivery of its streams: parameters of our own, beside the exchange's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple, TypeAlias

Policy: TypeAlias = Literal["every", "latest"]
"""What happens to the messages of a client that reads more slowly than they are made."""
EVERY: Policy = "every"
LATEST: Policy = "latest"
POLICIES: Mapping[Policy, str] = {
    EVERY: "Every message is sent; a client that is too far behind is disconnected.",
    LATEST: "While the client is behind, newer messages replace those that wait or are merged with "
    "them, as the stream says; those that cannot be are kept up to a bound, then the oldest are "
    "dropped.",
}
"""Every policy, with what it does."""


class Delivery(NamedTuple):
    """How messages reach a client: what it asked for, and whether the server changes them."""

    policy: Policy = EVERY
    is_stamped: bool = False
    """Whether messages in the combined envelope tell when they were made and written."""
    is_filtered: bool = False
    """Whether the server changes or withholds messages, for example by a fault."""

    @property
    def is_plain(self) -> bool:
        """Whether finished frames can be shared with everybody else."""
        return self.policy == EVERY and not (self.is_stamped or self.is_filtered)


def policy_named(name: str) -> Policy | None:
    """Return the policy with this name; None if there is none."""
    return next((policy for policy in POLICIES if policy == name), None)


PLAIN = Delivery()
