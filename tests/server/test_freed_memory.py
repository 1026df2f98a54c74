from __future__ import annotations

import subprocess
import sys

import pytest
from programs import PATIENCE_S

from tickerplant.server.freed_memory import QUIET_S, FreedMemory


def test_memory_is_given_back_once_when_the_last_client_has_been_gone_for_a_while() -> None:
    now_s = 100.0
    given: list[float] = []
    memory = FreedMemory(lambda: given.append(now_s))
    for second, connections in (
        (100, 0),
        (200, 0),  # nobody was there
        (201, 3),
        (202, 0),
        (202 + QUIET_S / 2, 0),
        (203, 1),  # somebody came back in time
        (203 + QUIET_S, 0),
        (300, 0),
    ):
        now_s = second
        memory.tick(connections, now_s)
    assert given == [203 + QUIET_S]


FREES = """
from tickerplant.server.freed_memory import trim

def resident_mb():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096 >> 20

# As the frames of slow clients: between things that stay.
frames, others = [], []
for number in range(20_000):
    frames.append(bytes(1_000 + number % 9_000))
    if number % 20 == 0:
        others.append(bytes(600))
full = resident_mb()
frames.clear()
kept = resident_mb()
trim()
print(full, kept, resident_mb())
"""


@pytest.mark.sockets
@pytest.mark.heavy
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_freed_memory_leaves_the_process() -> None:
    found = subprocess.run(  # noqa: S603  # this interpreter
        [sys.executable, "-c", FREES],
        capture_output=True,
        text=True,
        check=True,
        timeout=PATIENCE_S,
    )
    full, kept, left = map(int, found.stdout.split())
    if kept < full / 2:
        pytest.skip("this C library gives memory back by itself")
    assert left < full / 2, f"{full} MB were used, {left} MB stayed after they were freed"
