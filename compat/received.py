"""The messages received for the streams that a program subscribed to."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

from compat.channels import complaint, group_of
from compat.trial import STREAM, Report


class ReceivedStreams:
    """The first message of each stream, or group of streams; thread-safe."""

    def __init__(self, streams: Iterable[str]) -> None:
        self.groups = list(dict.fromkeys(map(group_of, streams)))
        self.first: dict[str, tuple[str, Any]] = {}

    def take(self, message: Any) -> None:
        """Keep the message if it is the first of its stream."""
        if isinstance(message, dict) and "stream" in message:
            stream = message["stream"]
            self.first.setdefault(group_of(stream), (stream, message.get("data")))

    def complete(self) -> bool:
        """Return whether every stream has delivered a message."""
        return self.first.keys() >= set(self.groups)

    def wait(self, timeout_s: float) -> None:
        """Wait until every stream has delivered a message, or for as long as the timeout allows."""
        end = time.monotonic() + timeout_s
        while not self.complete() and time.monotonic() < end:
            time.sleep(0.1)

    def problem(self, group: str) -> str:
        """Return what is wrong with a stream; empty if nothing is."""
        if group not in self.first:
            return "nothing arrived"
        return complaint(*self.first[group])

    def report(self, report: Report, library: str, venue: str) -> None:
        """Report every stream, or group of streams."""
        for group in self.groups:
            report.add(library, venue, STREAM, group, self.problem(group))
