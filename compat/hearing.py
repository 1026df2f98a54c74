"""What was heard of the streams that a program subscribed to."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

from compat.channels import complaint, group_of
from compat.trial import STREAM, Report


class Hearing:
    """The first message of each stream, or group of streams; threads may hand messages in."""

    def __init__(self, streams: Iterable[str]) -> None:
        self.groups = list(dict.fromkeys(map(group_of, streams)))
        self.heard: dict[str, tuple[str, Any]] = {}

    def take(self, message: Any) -> None:
        """Keep a message of a combined connection, if it is the first of its stream."""
        if isinstance(message, dict) and "stream" in message:
            stream = message["stream"]
            self.heard.setdefault(group_of(stream), (stream, message.get("data")))

    def complete(self) -> bool:
        """Return whether every stream has spoken."""
        return self.heard.keys() >= set(self.groups)

    def wait(self, patience_s: float) -> None:
        """Wait until every stream has spoken, or for as long as the patience lasts."""
        end = time.monotonic() + patience_s
        while not self.complete() and time.monotonic() < end:
            time.sleep(0.1)

    def problem(self, group: str) -> str:
        """Return what is wrong with a stream; empty if nothing is."""
        if group not in self.heard:
            return "nothing arrived"
        return complaint(*self.heard[group])

    def tell(self, report: Report, library: str, venue: str) -> None:
        """Report every stream, or group of streams."""
        for group in self.groups:
            report.tell(library, venue, STREAM, group, self.problem(group))
