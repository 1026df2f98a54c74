"""The network of a run: it leads nowhere, so that nothing leaves this machine.

The kernel counts what any program tried to send, and name servers of our own write down which names
were asked.
"""

from __future__ import annotations

import ctypes
import os
import re
import socket
import struct
import sys
import threading
from pathlib import Path

_NEW_USER = 0x10000000
_NEW_NETWORK = 0x40000000
_SET_ADDRESS, _SET_MASK, _SET_FLAGS = 0x8916, 0x891C, 0x8914
_UP = 1
_NAMESERVER = re.compile(r"^\s*nameserver\s+(\d+(?:\.\d+){3})\s*$", re.MULTILINE)
_NO_SUCH_NAME = 0x8183


def environment_of(*modules: Path) -> dict[str, str]:
    """Return the environment of a program without proxies, which may import from `modules`."""
    kept = {name: text for name, text in os.environ.items() if not name.lower().endswith("_proxy")}
    return kept | {"PYTHONPATH": os.pathsep.join(map(str, modules))}


class Network:
    """The network that this process and those that it starts are in."""

    def __init__(self) -> None:
        self.asked: set[str] = set()
        """The names that were asked of a name server."""
        self._counted = 0

    def isolate(self) -> None:
        """Leave the network of this machine for one that leads nowhere; call it before any thread.

        Raises:
            OSError: the system has no such network, or does not allow it.
        """
        if sys.platform != "linux":
            raise OSError("only Linux has networks of its own for a process")
        user, group = os.getuid(), os.getgid()
        flags = _NEW_NETWORK if user == 0 else _NEW_USER | _NEW_NETWORK
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.unshare(flags) != 0:
            reason = os.strerror(ctypes.get_errno())
            raise OSError(f"the system does not allow a network that leads nowhere: {reason}")
        if user:
            Path("/proc/self/setgroups").write_text("deny")
            Path("/proc/self/uid_map").write_text(f"{user} {user} 1")
            Path("/proc/self/gid_map").write_text(f"{group} {group} 1")
        _configure(_SET_FLAGS, struct.pack("16sh14x", b"lo", _UP))
        self._serve_names()

    def left(self) -> int:
        """Return how much was sent to other machines since the last call, and went nowhere."""
        before, self._counted = self._counted, _unroutable()
        return self._counted - before

    def _serve_names(self) -> None:
        """Be the name servers of this machine, so that lookups of any program are seen."""
        text = Path("/etc/resolv.conf")
        servers = _NAMESERVER.findall(text.read_text()) if text.exists() else []
        for number, address in enumerate(servers, 1):
            if not address.startswith("127."):
                _add_address(f"lo:{number}", address)
            sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            sock.bind((address, 53))
            threading.Thread(target=self._answer, args=(sock,), daemon=True).start()

    def _answer(self, sock: socket.socket) -> None:
        while True:
            question, client = sock.recvfrom(4096)
            name, end = _question(question)
            self.asked.add(name)
            head = question[:2] + struct.pack("!HHHHH", _NO_SUCH_NAME, 1, 0, 0, 0)
            sock.sendto(head + question[12:end], client)


def _question(packet: bytes) -> tuple[str, int]:
    """Return the name that is asked, and where the question ends."""
    labels, at = [], 12
    while at < len(packet) and packet[at]:
        labels.append(packet[at + 1 : at + 1 + packet[at]].decode("latin-1"))
        at += 1 + packet[at]
    return ".".join(labels), at + 5


def _add_address(interface: str, address: str) -> None:
    for request, value in ((_SET_ADDRESS, address), (_SET_MASK, "255.255.255.255")):
        name = interface.encode()
        inner = struct.pack("HH4s8x", socket.AF_INET, 0, socket.inet_aton(value))
        _configure(request, struct.pack("16s16s", name, inner))


def _configure(request: int, value: bytes) -> None:
    from fcntl import ioctl  # noqa: PLC0415  # not on every platform

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        ioctl(sock, request, value)


def _unroutable() -> int:
    """Return how many packets of this network had no way to go, since it exists."""
    rows = [line.split() for line in _kernel("snmp") if line.startswith("Ip:")]
    four = dict(zip(*rows, strict=True)).get("OutNoRoutes", "0") if len(rows) == 2 else "0"
    six = [line.split()[1] for line in _kernel("snmp6") if line.startswith("Ip6OutNoRoutes")]
    return int(four) + sum(map(int, six))


def _kernel(name: str) -> list[str]:
    path = Path("/proc/self/net") / name
    return path.read_text().splitlines() if path.exists() else []
