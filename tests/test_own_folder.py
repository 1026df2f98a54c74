"""What is changed in a folder that came from elsewhere is in it: no link leads out."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from tickerplant.own_folder import OwnFolder

LINK = "is a link, expected a file or folder of its own"


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    """A folder with a file, elsewhere."""
    (tmp_path / "home").mkdir()
    (tmp_path / "home/file").write_bytes(b"mine")
    (tmp_path / "out").mkdir()
    return tmp_path / "home"


CHANGES = {
    "append": lambda own, name: own.open(name, "ab"),
    "overwrite": lambda own, name: own.open(name, "r+b"),
    "empty": lambda own, name: own.open(name, "wb"),
    "remove": lambda own, name: own.remove(name),
    "replace": lambda own, name: own.replace(name.replace("file", "other"), "file"),
}
CHANGE = pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
Change = Callable[[OwnFolder, str], object]


@CHANGE
def test_a_link_is_not_followed(mine: Path, change: Change) -> None:
    out = mine.with_name("out")
    (out / "file").symlink_to(mine / "file")
    (out / "other").write_bytes(b"new")
    (out / "folder").symlink_to(mine)
    for name, at in (("file", "file"), ("folder/file", "folder")):
        with pytest.raises(OSError, match=LINK) as refused:
            change(OwnFolder(out), name)
        assert refused.value.filename == str(out / at)
    assert [path.name for path in mine.iterdir()] == ["file"]
    assert (mine / "file").read_bytes() == b"mine"


def test_a_link_to_nothing_creates_nothing(mine: Path) -> None:
    out = mine.with_name("out")
    (out / "file").symlink_to(mine / "new")
    (out / "folder").symlink_to(mine / "new")
    for name in ("file", "folder/file"):
        with pytest.raises(OSError, match=LINK):
            OwnFolder(out).open(name, "wb")
    assert [path.name for path in mine.iterdir()] == ["file"]


def test_another_name_of_a_file_is_not_changed(mine: Path) -> None:
    out = mine.with_name("out")
    (out / "file").hardlink_to(mine / "file")
    for mode in ("wb", "ab", "r+b"):
        with pytest.raises(OSError, match="is a hard link, and its other names would change too"):
            OwnFolder(out).open("file", mode)
    OwnFolder(out).remove("file")
    assert (mine / "file").read_bytes() == b"mine"


def test_what_is_no_file_is_named_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "named pipe")
    (tmp_path / "folder").mkdir()
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "socket"))
    for kind in ("named pipe", "folder", "socket"):
        with pytest.raises(OSError, match=f"is a {kind}, expected a file"):
            OwnFolder(tmp_path).open(kind, "wb")


def test_files_are_changed_and_the_path_of_the_folder_may_be_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "out").symlink_to("real")
    own = OwnFolder(tmp_path / "out")
    for mode, text in (("wb", b"first"), ("wb", b"a"), ("ab", b"b")):
        with own.open("in/a/file", mode) as file:
            file.write(text)
    own.replace("in/a/file", "kept")
    own.remove("in/a/file")
    own.remove("nowhere/file")
    assert (tmp_path / "real/in/a/kept").read_bytes() == b"ab"
