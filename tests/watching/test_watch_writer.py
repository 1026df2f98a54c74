from __future__ import annotations

import asyncio
import errno
import threading

import pytest
from loopback import looped_on_sockets

from tickerplant.watching.lines import ERRORS, OUTPUT, Writer


@looped_on_sockets
async def test_what_is_written_in_part_is_written_to_its_end_and_in_order() -> None:
    written: list[tuple[int, bytes]] = []

    def write(place: int, data: bytes) -> int:
        written.append((place, data[:2]))
        return 2

    await Writer(write).write([(OUTPUT, b"abc"), (ERRORS, b"d")])
    assert written == [(OUTPUT, b"ab"), (OUTPUT, b"c"), (ERRORS, b"d")]


@looped_on_sockets
async def test_who_does_not_read_holds_nobody_up() -> None:
    over = threading.Event()

    def write(_: int, data: bytes) -> int:
        over.wait()
        return len(data)

    writing = asyncio.ensure_future(Writer(write).write([(OUTPUT, b"a")]))
    await asyncio.sleep(0.01)
    assert not writing.done()
    writing.cancel()
    over.set()


@pytest.mark.parametrize(
    ("place", "number", "raises"),
    [
        (OUTPUT, errno.EPIPE, BrokenPipeError),
        (ERRORS, errno.EPIPE, BrokenPipeError),
        (OUTPUT, errno.ENOSPC, OSError),
        (ERRORS, errno.ENOSPC, None),
    ],
)
def test_what_cannot_be_written_is_reported_unless_it_was_only_a_notice(
    place: int, number: int, raises: type[OSError] | None
) -> None:
    def write(_: int, data: bytes) -> int:
        raise OSError(number, "no")

    @looped_on_sockets
    async def test() -> None:
        writing = Writer(write).write([(place, b"a")])
        if raises is None:
            await writing
        else:
            with pytest.raises(raises):
                await writing

    test()


@looped_on_sockets
async def test_nothing_is_written_to_a_place_that_is_closed() -> None:
    written: list[int] = []

    def write(place: int, data: bytes) -> int:
        written.append(place)
        return len(data)

    await Writer(write, closed={ERRORS}).write([(ERRORS, b"a"), (OUTPUT, b"b")])
    assert written == [OUTPUT]
