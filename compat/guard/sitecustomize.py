"""Keeps a Python program on this machine; Python imports this module at its start.

Every connection to another machine, and every lookup of its name, is written to the file that
`COMPAT_GUARD` names, and refused before anything is sent.  What a library does without Python's
sockets is not seen here, but by `compat.network`.
"""

from __future__ import annotations

import errno
import ipaddress
import os
import sys
from typing import Any

LOG = os.environ.get("COMPAT_GUARD", "")
LOOKUPS = {"socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr"}
SENDS = {"socket.connect", "socket.sendto", "socket.sendmsg"}
NAMES = {"", "localhost", "localhost.localdomain"}
_said: set[str] = set()


def is_here(host: object) -> bool:
    """Return whether a host, as a program names it, is this machine."""
    if host is None:
        return True
    text = host.decode("utf-8", "replace") if isinstance(host, bytes) else str(host)
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return text.lower().rstrip(".") in NAMES
    address = getattr(address, "ipv4_mapped", None) or address
    return address.is_loopback or address.is_unspecified


def record(text: str) -> None:
    """Write a line, once for each process."""
    if LOG and text not in _said:
        _said.add(text)
        line = os.open(LOG, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.write(line, f"{text}\n".encode())
        os.close(line)


def guard(event: str, args: tuple[Any, ...]) -> None:
    """Refuse what leaves this machine."""
    if event in LOOKUPS:
        host = args[0]
    elif event in SENDS and isinstance(args[1], tuple):  # the address of a Unix socket is a string
        host = args[1][0]
    else:
        return
    if not is_here(host):
        shown = host.decode("utf-8", "replace") if isinstance(host, bytes) else host
        port = args[1][1] if event in SENDS else ""
        record(f"{event} {shown}:{port}".rstrip(":"))
        raise OSError(errno.ENETUNREACH, f"{shown} is not this machine, and compat stays on it")


if LOG:
    record("guarded")
    sys.addaudithook(guard)
