"""The nursery: children that are there at once, and end with whoever asked for them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import msgspec
import pytest
from loopback import looped_on_sockets
from one_loop import tape
from programs import PATIENCE_S

import tickerplant
from tickerplant.hosted import nursery
from tickerplant.hosted.nursery import Child, ForkedChild, end_nursery, prepare, spawn
from tickerplant.hosted.protocol import SimulateRequest, line_of

pytestmark = [
    pytest.mark.slow("processes are started and killed"),
    pytest.mark.skipif(not nursery.FORKS, reason="only Linux has a nursery"),
]

REQUEST = line_of(
    SimulateRequest(
        venue="usdm",
        settings={"symbols": ["BTCUSDT"], "start_ms": 1_795_305_600_000, "paused": True},
    )
)


@pytest.fixture
def children() -> Iterator[list[Child]]:
    """Children to kill after the test."""
    started: list[Child] = []
    yield started
    for each in started:
        each.kill()
        each.wait()
        for pipe in (each.stdin, each.stdout, each.stderr):
            if pipe is not None:
                pipe.close()


def is_running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def test_it_is_told_no_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TICKERPLANT_CONTROL_TOKEN", "open sesame")
    end_nursery()
    assert "open sesame" not in Path(f"/proc/{prepare()}/environ").read_text()


def wait_until(condition: Callable[[], bool], timeout_s: float = PATIENCE_S) -> None:
    until_s = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < until_s, "it has not happened"
        time.sleep(0.01)


def parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def lines_of(child: Child, count: int) -> list[dict[str, object]]:
    assert child.stdout is not None
    return [msgspec.json.decode(child.stdout.readline()) for _ in range(count)]


def test_children_are_forked_by_one_process_and_serve(children: list[Child]) -> None:
    children += [spawn(REQUEST), spawn(REQUEST)]
    for child in children:
        serving, ready = lines_of(child, 2)
        assert (serving["event"], ready["event"]) == ("serving", "ready")
        assert parent_of(child.pid) == prepare()
        assert os.getsid(child.pid) == child.pid
        assert child.poll() is None


def test_the_nursery_has_one_thread_and_a_child_only_its_own_descriptors(
    children: list[Child],
) -> None:
    children += [spawn(b""), spawn(b"")]
    assert "Threads:\t1\n" in Path(f"/proc/{prepare()}/status").read_text()
    for child in children:
        wait_until(partial(has_open, child.pid, {0, 1, 2, 3}))


def has_open(pid: int, descriptors: set[int]) -> bool:
    return {int(each.name) for each in Path(f"/proc/{pid}/fd").iterdir()} == descriptors


def test_the_exit_status_of_a_child_is_reported(children: list[Child]) -> None:
    children += [spawn(b""), spawn(b"{}\n"), spawn(b"")]
    ended, failed, killed = children
    with pytest.raises(subprocess.TimeoutExpired):
        ended.wait(0.01)
    assert ended.stdin is not None
    ended.stdin.close()
    assert ended.wait(5) == 0
    assert failed.wait(5) == 1
    assert failed.stderr is not None
    assert b"ValidationError" in failed.stderr.read()
    os.kill(killed.pid, signal.SIGTERM)
    assert killed.wait(5) == killed.poll() == killed.returncode == -signal.SIGTERM
    killed.kill()


def test_the_standard_error_of_a_child_may_be_a_file(children: list[Child], tmp_path: Path) -> None:
    with (tmp_path / "log").open("wb") as log:
        children.append(spawn(b"{}\n", stderr=log.fileno()))
        assert children[0].stderr is None
        assert children[0].wait(5) == 1
    assert "ValidationError" in (tmp_path / "log").read_text()


def test_a_child_that_is_killed_or_forgotten_is_gone(children: list[Child]) -> None:
    children.append(spawn(b""))
    children[0].pid  # noqa: B018  # it is there
    children[0].kill()
    assert children[0].wait(5) == -signal.SIGKILL
    children.append(spawn(b""))
    children[1].kill()
    assert children[1].wait(5) == -signal.SIGKILL, "whether it was there or not"


@looped_on_sockets
async def test_relative_paths_are_those_of_the_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    prepare()
    folder = Path(tape())
    monkeypatch.chdir(folder.parent)
    async with tickerplant.replay(folder.name) as market:
        assert market.venue == "usdm"


def test_a_nursery_that_has_died_is_replaced_and_its_children_end(children: list[Child]) -> None:
    children.append(spawn(b""))
    first, pid = prepare(), children[0].pid
    assert first is not None
    os.kill(first, signal.SIGKILL)
    wait_until(lambda: not is_running(pid))
    assert children[0].wait(5) == -signal.SIGKILL
    children.append(spawn(REQUEST))
    assert len(lines_of(children[1], 2)) == 2
    assert prepare() != first


def test_a_nursery_ends_when_it_is_told_to() -> None:
    pid = prepare()
    assert pid is not None
    end_nursery()
    assert not is_running(pid)


def test_a_forked_child_serves_the_same_as_a_new_process(
    children: list[Child], monkeypatch: pytest.MonkeyPatch
) -> None:
    children += [spawn(REQUEST), spawn(REQUEST)]
    assert all(isinstance(child, ForkedChild) for child in children)
    monkeypatch.setattr(nursery, "FORKS", False)
    children.append(spawn(REQUEST))
    assert isinstance(children[-1], subprocess.Popen)
    served = [after_a_step(child) for child in children]
    assert served[0] == served[1] == served[2]


def after_a_step(child: Child) -> object:
    assert child.stdin is not None
    lines_of(child, 2)
    child.stdin.write(b'{"number":1,"fields":{"step":"5s"}}\n')
    child.stdin.flush()
    (answer,) = lines_of(child, 1)
    assert answer["problem"] is None
    return answer["state"]


FORKING = """
import os, sys
from tickerplant.hosted.nursery import prepare, spawn
child = spawn(b"")
print(os.getpid(), prepare(), child.pid, flush=True)
pid = os.fork()
if pid == 0:
    other = spawn(b"")
    print(os.getpid(), prepare(), other.pid, flush=True)
    other.kill()
    sys.exit(other.wait() + 9)
print(os.waitpid(pid, 0)[1], child.poll(), flush=True)
sys.stdin.read()
"""


def program(text: str) -> subprocess.Popen[str]:
    return subprocess.Popen(  # noqa: S603  # a program of this test
        [sys.executable, "-W", "error::DeprecationWarning", "-c", text],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_a_forked_process_has_a_nursery_of_its_own() -> None:
    with program(FORKING) as parent:
        output, errors = parent.communicate(timeout=PATIENCE_S)
    first, second, ended = (line.split() for line in output.splitlines())
    assert len({*first, *second}) == 6
    assert ended == ["0", "None"], "the first child goes on"
    assert errors == ""
    wait_until(lambda: not any(is_running(int(pid)) for pid in (*first, *second)))


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_nothing_is_left_of_a_program_that_is_killed(number: int) -> None:
    text = (
        "import os, time\n"
        "from tickerplant.hosted.nursery import prepare, spawn\n"
        "children = [spawn(b''), spawn(b'')]\n"
        "print(prepare(), *(each.pid for each in children), flush=True)\n"
        "time.sleep(60)\n"
    )
    with program(text) as parent:
        assert parent.stdout is not None
        pids = [int(word) for word in parent.stdout.readline().split()]
        assert all(map(is_running, pids))
        parent.send_signal(number)
        wait_until(lambda: not any(map(is_running, pids)))


IGNORING = """
import signal
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
from tickerplant.hosted.nursery import prepare, spawn
killed, other = spawn(b""), spawn(b"")
other.pid
first = prepare()
killed.kill()
print(killed.wait(5), prepare() == first, other.poll())
"""


def test_a_program_may_ignore_the_ends_of_its_children() -> None:
    with program(IGNORING) as parent:
        output, errors = parent.communicate(timeout=PATIENCE_S)
    assert (output.split(), errors) == (["-9", "True", "None"], "")


INTERRUPTED = """
import random, signal
from tickerplant.hosted.nursery import prepare, spawn

class Interruption(BaseException):
    pass

def interrupt(*_):
    raise Interruption

first = prepare()
spawn(b"").pid
signal.signal(signal.SIGALRM, interrupt)
draws = random.Random(1)
interrupted = 0
for _ in range(200):
    try:
        signal.setitimer(signal.ITIMER_REAL, draws.uniform(1e-6, 1e-3))
        spawn(b"").pid
        signal.setitimer(signal.ITIMER_REAL, 0)
    except Interruption:
        interrupted += 1
signal.setitimer(signal.ITIMER_REAL, 0)
print(interrupted > 20, spawn(b"").pid > 0, prepare() == first)
"""


def test_a_request_that_is_interrupted_does_not_spoil_the_next_one() -> None:
    with program(INTERRUPTED) as parent:
        output, _ = parent.communicate(timeout=PATIENCE_S)
    assert output.split() == ["True", "True", "True"]
