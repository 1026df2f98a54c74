from __future__ import annotations

import os
from pathlib import Path

import pytest

from tickerplant.errors import ConfigError
from tickerplant.plotting.plot import PictureFile


def test_a_file_is_replaced_as_a_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.SVG"
    path.write_text("before")
    file = PictureFile(str(path))
    assert file.ending == ".svg"
    file.write("ü".encode())
    assert path.read_bytes() == "ü".encode()
    file.write(b"\x89PNG")
    assert path.read_bytes() == b"\x89PNG"
    assert list(tmp_path.iterdir()) == [path]


def test_what_fails_leaves_the_file_that_was_there(tmp_path: Path) -> None:
    path = tmp_path / "a.svg"
    path.write_text("before")
    file = PictureFile(str(path))
    unfinished = tmp_path / f".a.svg.{os.getpid()}.part"
    unfinished.mkdir()  # where it would be written first
    with pytest.raises(OSError, match="is a folder"):
        file.write(b"after")
    unfinished.rmdir()
    unfinished.symlink_to(path)
    with pytest.raises(OSError, match="is a link"):
        file.write(b"after")
    assert path.read_text() == "before"


def test_a_folder_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o500)
    if os.access(closed, os.W_OK):
        pytest.skip("this user may write everywhere")
    with pytest.raises(ConfigError, match="closed cannot"):
        PictureFile(str(closed / "a.svg"))
