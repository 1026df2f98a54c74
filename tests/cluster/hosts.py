"""A host of its own for an edge: a network namespace, whose way to the bus can be cut."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest


class Host:
    """A namespace with two links: one to the bus, and one to the clients, which is never cut."""

    def __init__(self, number: int) -> None:
        self.name, self._bus_link, self._client_link = (f"t{number}{end}" for end in ("", "b", "c"))
        self.prefix = ("ip", "netns", "exec", self.name)
        """What to write before a command to run it there."""
        net = f"10.214.{number % 250}"
        self.bus_address, self.address = f"{net}.1", f"{net}.6"
        """Where it reaches the bus, and where clients reach it."""

    def make(self) -> None:
        net = self.address.rpartition(".")[0]
        _run("ip", "netns", "add", self.name)
        for link, ours, theirs in ((self._bus_link, 1, 2), (self._client_link, 5, 6)):
            peer = ("peer", "name", f"{link}x", "netns", self.name)
            _run("ip", "link", "add", link, "type", "veth", *peer)
            _run("ip", "addr", "add", f"{net}.{ours}/30", "dev", link)
            _run("ip", "link", "set", link, "up")
            _run("ip", "-n", self.name, "addr", "add", f"{net}.{theirs}/30", "dev", f"{link}x")
            _run("ip", "-n", self.name, "link", "set", f"{link}x", "up")
        _run("ip", "-n", self.name, "link", "set", "lo", "up")

    def cut(self) -> None:
        """Drop all packets between it and the bus, without a word to either."""
        _run("ip", "link", "set", self._bus_link, "down")

    def mend(self) -> None:
        """Undo `cut`."""
        _run("ip", "link", "set", self._bus_link, "up")

    def end(self) -> None:
        for command in (("netns", "del", self.name), ("link", "del", self._bus_link)):
            with suppress(subprocess.CalledProcessError):
                _run("ip", *command)


@contextmanager
def host_of_an_edge() -> Iterator[Host]:
    """Yield a host; skip the test where that is not allowed."""
    if shutil.which("ip") is None:
        pytest.skip("network namespaces need `ip` of iproute2, which is not installed")
    host = Host(os.getpid() % 100_000)
    try:
        host.make()
    except subprocess.CalledProcessError as error:
        host.end()
        why = error.stderr.strip().splitlines()
        pytest.skip(f"network namespaces may not be made here: {why[-1] if why else 'refused'}")
    try:
        yield host
    finally:
        host.end()


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True, text=True)  # noqa: S603  # `ip` alone
