"""The hosts of other tests: they reach each other, until a link is cut."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from contextlib import suppress

import pytest
from hosts import Host, hosts
from programs import PATIENCE_S

pytestmark = [pytest.mark.sockets, pytest.mark.heavy]

_SERVE = "import socket; s = socket.create_server(('0.0.0.0', 7000)); exec('while 1: s.accept()')"
_DIAL = "import socket, sys; socket.create_connection((sys.argv[1], 7000), timeout=0.5)"


def reaches(one: Host, other: str) -> bool:
    command = [*one.prefix, sys.executable, "-c", _DIAL, other]
    ended = subprocess.run(command, check=False, capture_output=True, timeout=PATIENCE_S)  # noqa: S603  # our own
    return not ended.returncode


def test_hosts_reach_each_other_until_a_link_is_cut_and_the_test_reaches_them_always() -> None:
    with hosts("one", "two") as (one, two):
        command = [*two.prefix, sys.executable, "-c", _SERVE]
        with subprocess.Popen(command) as server:  # noqa: S603  # our own
            try:
                until_s = time.monotonic() + PATIENCE_S
                while not reaches(one, two.address):
                    assert time.monotonic() < until_s
                two.cut()
                assert not reaches(one, two.address)
                socket.create_connection((two.local_address, 7000), timeout=1).close()
                two.mend()
                while not reaches(one, two.address):
                    assert time.monotonic() < until_s
            finally:
                with suppress(ProcessLookupError):
                    server.kill()
