"""Hosts as network namespaces, each with an address of its own, whose links can be cut."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import count

import pytest

_networks = count(1)


class Host:
    """A network namespace.

    Args:
        name: That of the namespace.
        address: On the network of all hosts, whose link can be cut.
        local_address: On a link to the test alone, which is never cut.
        port: The end of its link at the switch.
        switch: The namespace of the switch.
    """

    def __init__(self, name: str, address: str, local_address: str, port: str, switch: str) -> None:
        self.name = name
        self.address = address
        self.local_address = local_address
        self._port = port
        self._switch = switch

    @property
    def prefix(self) -> tuple[str, ...]:
        """What to write before a command to run it on this host."""
        return ("ip", "netns", "exec", self.name)

    def cut(self) -> None:
        """Drop all packets between this host and the others, without a word to either."""
        _run("ip", "-n", self._switch, "link", "set", self._port, "down")

    def mend(self) -> None:
        """Undo `cut`."""
        _run("ip", "-n", self._switch, "link", "set", self._port, "up")


@contextmanager
def hosts(*names: str) -> Iterator[list[Host]]:
    """Yield hosts on a network of their own; skip the test where that is not allowed."""
    made: list[Host] = []
    count_here = next(_networks)
    network = f"t{os.getpid() % 100_000}n{count_here}"
    switch = f"{network}sw"
    namespaces = [switch, *(f"{network}{name}" for name in names)]
    _skip_where_impossible(switch)
    subnet = _claim()
    try:
        _run("ip", "-n", switch, "link", "add", "br0", "type", "bridge")
        _run("ip", "-n", switch, "link", "set", "br0", "up")
        for number, name in enumerate(names, 2):
            link = f"{network}x{number}"
            made.append(_add(f"{network}{name}", switch, subnet, number, link))
        yield made
    finally:
        for number, _ in enumerate(names, 2):  # their ends in namespaces would go some time later
            with suppress(subprocess.CalledProcessError):
                _run("ip", "link", "del", f"{network}x{number}")
        for namespace in namespaces:
            with suppress(subprocess.CalledProcessError):
                _run("ip", "netns", "del", namespace)
        _run("ip", "route", "del", *_whole(subnet))


def _claim() -> int:
    """Return the number of a subnet that no other test has, also none that was killed.

    Its claim is a route, of which there can be only one; those of the links go before it.
    """
    for subnet in range(250):
        taken = _run("ip", "route", "list", "root", f"10.214.{subnet}.0/24")
        with suppress(subprocess.CalledProcessError):
            if not taken:
                _run("ip", "route", "add", *_whole(subnet))
                return subnet
    raise AssertionError("no subnet of 10.214.0.0/16 is free: see `ip route` and `ip netns list`")


def _whole(subnet: int) -> tuple[str, str]:
    return "unreachable", f"10.214.{subnet}.0/24"


def _add(namespace: str, switch: str, subnet: int, number: int, link: str) -> Host:
    """Add a host to the switch, and `link` from it to the test."""
    address, port = f"10.213.{subnet}.{number}", f"p{number}"
    ours, theirs = f"10.214.{subnet}.{4 * number + 1}", f"10.214.{subnet}.{4 * number + 2}"
    _run("ip", "netns", "add", namespace)
    _run("ip", "-n", namespace, "link", "set", "lo", "up")
    end = ("peer", "name", "eth0", "netns", namespace)
    _run("ip", "-n", switch, "link", "add", port, "type", "veth", *end)
    _run("ip", "-n", switch, "link", "set", port, "master", "br0", "up")
    _run("ip", "-n", namespace, "addr", "add", f"{address}/24", "dev", "eth0")
    _run("ip", "-n", namespace, "link", "set", "eth0", "up")
    end = ("peer", "name", "test0", "netns", namespace)
    _run("ip", "link", "add", link, "type", "veth", *end)
    _run("ip", "addr", "add", f"{ours}/30", "dev", link)
    _run("ip", "link", "set", link, "up")
    _run("ip", "-n", namespace, "addr", "add", f"{theirs}/30", "dev", "test0")
    _run("ip", "-n", namespace, "link", "set", "test0", "up")
    return Host(namespace, address, theirs, port, switch)


def _skip_where_impossible(switch: str) -> None:
    """Make the namespace of the switch; skip the test if that is refused."""
    if shutil.which("ip") is None:
        pytest.skip("network namespaces need `ip` of iproute2, which is not installed")
    try:
        _run("ip", "netns", "add", switch)
        _run("ip", "-n", switch, "link", "add", "try", "type", "veth", "peer", "name", "try2")
        _run("ip", "-n", switch, "link", "del", "try")
    except subprocess.CalledProcessError as error:
        with suppress(subprocess.CalledProcessError):
            _run("ip", "netns", "del", switch)
        why = str(error.stderr).strip().splitlines()
        pytest.skip(f"network namespaces may not be made here: {why[-1] if why else 'refused'}")


def _run(*command: str) -> str:
    done = subprocess.run(command, check=True, capture_output=True, text=True)  # noqa: S603  # `ip` alone
    return done.stdout
