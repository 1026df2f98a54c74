"""Recordings that are changed anyhow: whoever reads them ends, and says what is wrong.

`FUZZ_EXAMPLES=100000` looks longer.
"""

from __future__ import annotations

import gzip
import os
import shutil
import tempfile
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from itertools import chain
from pathlib import Path

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from tickerplant.archive.recording import open_recording
from tickerplant.config.settings import VerifySettings
from tickerplant.errors import TickerplantError
from tickerplant.recorder.writer import RecordingWriter
from tickerplant.recording.line import Line
from tickerplant.recording.manifest import TAIL
from tickerplant.recording.manifest_entries import Connected
from tickerplant.recording.opening import recorded_files
from tickerplant.recording.timestamps import LATEST_NS
from tickerplant.replaying.scan import scan
from tickerplant.venue import USDM
from tickerplant.verifying.formatting import lines_of
from tickerplant.verifying.verify import found_in

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "30"))
START_NS = 1_772_323_200_000_000_000
MAX_LINES = 10_000
"""Far more than are in any of these recordings."""


def message(n: int) -> bytes:
    return (
        b'{"stream":"btcusdt@trade","data":{"e":"trade","E":1772323200000,"T":1772323200000,'
        b'"s":"BTCUSDT","t":%d,"p":"60000.10","q":"0.001","X":"MARKET","m":true}}' % n
    )


LINES: list[Line] = [(START_NS + n * 1_000_000, message(n)) for n in range(1, 41)]
ODD = [
    b"\n", b"\n\n\n", b"\0", b"\xff\xfe", b"[" * 5_000, b'{"a":' * 2_000, b"1e-999999999",
    b'"1e-999999999"', b"9" * 5_000, b"-1", b"9223372036854775807", b"4102444800000", b"NaN",
    b"\r", b" ", b"1772323200000000000 ", b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b'"', b"}", b"null",
]  # fmt: skip
"""What is put anywhere."""


def mutated(draw: st.DrawFn, content: bytes) -> bytes:
    """Return `content` with something changed in it."""
    at = draw(st.integers(0, len(content)), "at")
    length = draw(st.sampled_from([0, 1, 4, 20, 300]), "length")
    kind = draw(st.sampled_from(["insert", "replace", "cut", "repeat", "flip", "end"]), "kind")
    if kind == "insert":
        return content[:at] + draw(st.sampled_from(ODD)) + content[at:]
    if kind == "replace":
        return content[:at] + draw(st.sampled_from(ODD)) + content[at + length :]
    if kind == "cut":
        return content[:at] + content[at + max(length, 1) :]
    if kind == "repeat":
        return content[:at] + content[max(at - length, 0) : at] * 3 + content[at:]
    if kind == "flip" and at < len(content):
        flipped = bytes([content[at] ^ 1 << draw(st.integers(0, 7))])
        return content[:at] + flipped + content[at + 1 :]
    return content[:at]


@st.composite
def mutations(draw: st.DrawFn) -> Callable[[bytes], bytes]:
    """How a file is changed, one to three times."""
    count = draw(st.integers(1, 3))

    def change(content: bytes) -> bytes:
        for _ in range(count):
            content = mutated(draw, content)
        return content

    return change


@cache
def recorded() -> dict[str, bytes]:
    """The files of a recording of two segments, as a recorder writes it."""
    with tempfile.TemporaryDirectory() as name:
        for lines in (LINES[:20], LINES[20:]):
            writer = RecordingWriter(
                name,
                venue=USDM,
                url="ws://127.0.0.1:9001",
                profile="2026Q1",
                streams=["btcusdt@trade"],
                clock_ns=lambda time_ns=lines[0][0]: time_ns,  # type: ignore[misc]
            )
            streams = ("btcusdt@trade",)
            writer.note(Connected(time_ns=lines[0][0], streams=streams, connection=1))
            for time_ns, raw in lines:
                writer.keeper(streams[0])(time_ns, raw, None)
            writer.close("done")
            assert writer.failure is None
        return {each.name: each.read_bytes() for each in Path(name).iterdir()}


def write_folder(folder: Path) -> None:
    for name, content in recorded().items():
        (folder / name).write_bytes(content)


def read_all(path: str) -> bool:
    """Read a recording in every way; return whether `verify` says that it is complete."""
    with suppress(TickerplantError):
        files = recorded_files([path])
        lines = list(chain.from_iterable(chain.from_iterable(each.batches() for each in files)))
        assert len(lines) < MAX_LINES
        assert all(time_ns <= LATEST_NS for time_ns, _ in lines)
    with suppress(TickerplantError):
        for count, _ in enumerate(open_recording(path)):
            assert count < MAX_LINES
    with suppress(TickerplantError):
        scan([path])
    findings = found_in(VerifySettings(), [path])
    assert "\n".join([*lines_of(findings, 10), findings.summary])
    return findings.complete


def in_order(path: str) -> list[bytes]:
    """Return the messages as they are read."""
    return [raw for file in recorded_files([path]) for batch in file.batches() for _, raw in batch]


COMPRESSIONS: list[Callable[[bytes], bytes]] = [bytes, gzip.compress, zstandard.compress]


@pytest.mark.slow("fuzz")
@settings(max_examples=EXAMPLES)
@given(st.data())
def test_a_file_of_lines_that_was_changed_is_read_to_its_end(data: st.DataObject) -> None:
    compress = data.draw(st.sampled_from(COMPRESSIONS))
    text = b"".join(b"%d %b\n" % line for line in LINES)
    change = data.draw(mutations())
    is_inside = data.draw(st.booleans())
    content = compress(change(text)) if is_inside else change(compress(text))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "lines")
        path.write_bytes(content)
        read_all(str(path))


@pytest.mark.slow("fuzz")
@settings(max_examples=EXAMPLES)
@given(st.data())
def test_a_changed_folder_is_read_and_never_reported_as_complete(
    data: st.DataObject,
) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_folder(folder)
        names = sorted(each.name for each in folder.iterdir())
        path = folder / data.draw(st.sampled_from(names))
        before = path.read_bytes()
        what = data.draw(st.sampled_from(["content", "content", "gone", "copy", "renamed"]))
        if what == "content":
            path.write_bytes(data.draw(mutations())(before))
        elif what == "gone":
            path.unlink()
        else:
            odd = [b"000003-20260301T000001Z.zst", b"x\xff.zst", b"a\nb.zst", b"000001-x.zst"]
            other = folder / os.fsdecode(data.draw(st.sampled_from(odd)))
            if what == "copy":
                shutil.copyfile(path, other)
            else:
                path.rename(other)
        is_as_it_was = path.exists() and path.read_bytes() == before and what == "content"
        is_complete = read_all(name)
        if is_as_it_was or path.name == TAIL:
            return
        assert not is_complete, f"{path.name}: {what}"


def test_what_was_not_changed_is_complete(tmp_path: Path) -> None:
    write_folder(tmp_path)
    assert read_all(str(tmp_path))
    assert in_order(str(tmp_path)) == [raw for _, raw in LINES]
