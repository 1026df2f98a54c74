"""Captures in several files side by side: joined by their names, in order of time, once."""

from __future__ import annotations

import gzip
from itertools import chain
from pathlib import Path

import pytest

from tickerplant.errors import RecordingError
from tickerplant.recording.capture import Capture
from tickerplant.recording.line import Damage
from tickerplant.recording.line_file import LineFile
from tickerplant.recording.opening import named_paths, recorded_files

SECOND = 1_626_992_740
NS = 1_000_000_000
LISTED = b"https://h/fapi/v1/exchangeInfo -> %d.0: {}\nconfiguration: {}\n"
ASKED = b"https://h/fapi/v1/depth?symbol=A -> %d.5: {}\n"
HEARD = b"wss://h/stream?streams=a@depth <-> 1.5\n" + b"".join(
    b'%d.25: {"n":%d}\n' % (SECOND + second, second) for second in range(4)
)


def capture(folder: Path, name: str = "BINANCE_FUTURES", end: str = ".gz") -> str:
    """Write a capture, and return its file of a connection."""
    folder.mkdir(exist_ok=True)
    texts = {
        f"{name}.0": LISTED % SECOND,
        f"{name}.http.0.0": ASKED % (SECOND + 1) + ASKED % (SECOND + 2),
        f"{name}.ws.1.0": HEARD,
    }
    for file, text in texts.items():
        packed = gzip.compress(text) if end == ".gz" else text
        (folder / f"{file}{end}").write_bytes(packed)
    return str(folder / f"{name}.ws.1.0{end}")


def times(path: str | Path, start_ns: int = 0) -> list[float]:
    """Seconds since the first, of all that is recorded."""
    files = recorded_files([str(path)])
    lines = chain.from_iterable(chain.from_iterable(file.batches(start_ns) for file in files))
    return [time_ns / NS - SECOND for time_ns, _ in lines]


@pytest.mark.parametrize("end", ["", ".gz"])
def test_a_connection_file_is_read_with_its_companions(tmp_path: Path, end: str) -> None:
    received = capture(tmp_path / "c", end=end)
    together = [0, 0.25, 1.25, 1.5, 2.25, 2.5, 3.25]
    assert times(received) == together
    assert times(tmp_path / "c") == together, "its folder is the same"
    assert times(received, (SECOND + 2) * NS) == [2.25, 2.5, 3.25]
    everything = sorted(str(path) for path in (tmp_path / "c").iterdir())
    assert named_paths(everything) == [received], "what comes with it is not read once more"
    assert times(everything[0]) == [0], "by itself a companion is a file of lines"


def test_every_line_has_its_place_in_its_file(tmp_path: Path) -> None:
    (recorded,) = recorded_files([capture(tmp_path / "c", end="")])
    for start_ns in (0, (SECOND + 1) * NS):
        found = []
        for lines in recorded.batches(start_ns):
            found += [(raw, recorded.place_of(raw)) for _, raw in lines]
        for raw, place in found:
            text = Path(place.path).read_bytes()[place.offset_bytes :].partition(b"\n")[0]
            assert text.endswith(raw.partition(b" ")[2] or raw)
            assert (
                Path(place.path).read_bytes().count(b"\n", 0, place.offset_bytes) + 1 == place.line
            )
        assert {Path(place.path).name for _, place in found} >= {
            "BINANCE_FUTURES.http.0.0",
            "BINANCE_FUTURES.ws.1.0",
        }


def test_of_several_connections_the_first_has_the_companions(tmp_path: Path) -> None:
    first = capture(tmp_path / "c", end="")
    for name in ("BINANCE_FUTURES.ws.1.1", "BINANCE_FUTURES.ws.10.0", "BINANCE_FUTURES.ws.2.0"):
        (tmp_path / "c" / name).write_bytes(HEARD)
    found = recorded_files([str(tmp_path / "c")])
    assert [Path(file.path).name for file in found] == [
        "BINANCE_FUTURES.ws.1.0",
        "BINANCE_FUTURES.ws.1.1",
        "BINANCE_FUTURES.ws.2.0",
        "BINANCE_FUTURES.ws.10.0",
    ]
    assert [type(file) for file in found] == [Capture, LineFile, LineFile, LineFile]
    assert found[0].path == first


def test_each_venue_has_companions_of_its_own(tmp_path: Path) -> None:
    one = capture(tmp_path / "c", "BINANCE_FUTURES")
    other = capture(tmp_path / "c", "BINANCE_DELIVERY")
    found = recorded_files([str(tmp_path / "c")])
    assert [file.path for file in found] == [other, one]
    names = [
        [Path(each).name for each in file.companions] for file in found if isinstance(file, Capture)
    ]
    assert names == [
        [f"{name}.0.gz", f"{name}.http.0.0.gz"] for name in ("BINANCE_DELIVERY", "BINANCE_FUTURES")
    ]


@pytest.mark.parametrize(
    ("received", "beside"),
    [
        (b'1626992740000000000 {"n":1}\n', "BINANCE_FUTURES.http.0.0"),
        (HEARD, "BINANCE_FUTURES.http.x.0"),
        (HEARD, "OTHER.http.0.0"),
        (HEARD, "BINANCE_FUTURES.http.0.0.bak"),
    ],
    ids=["another form", "no number", "another name", "another ending"],
)
def test_nothing_else_is_joined(tmp_path: Path, received: bytes, beside: str) -> None:
    path = tmp_path / "BINANCE_FUTURES.ws.1.0"
    path.write_bytes(received)
    (tmp_path / beside).write_bytes(ASKED % SECOND)
    (found,) = recorded_files([str(path)])
    assert isinstance(found, LineFile)


def test_an_invalid_companion_is_reported_and_skipped(tmp_path: Path) -> None:
    received = capture(tmp_path / "c", end="")
    broken = tmp_path / "c" / "BINANCE_FUTURES.http.0.0"
    broken.write_bytes(b"nothing of this kind\n")
    reports: list[Damage] = []
    (found,) = recorded_files([received], reports.append)
    assert len(list(chain.from_iterable(found.batches()))) == 5
    assert [reported.path for reported in reports] == [str(broken)]


def test_a_folder_without_a_capture_is_refused_as_before(tmp_path: Path) -> None:
    (tmp_path / "BINANCE_FUTURES.ws.1.0").write_bytes(HEARD)
    with pytest.raises(RecordingError, match="no recording in it"):
        recorded_files([str(tmp_path)])
