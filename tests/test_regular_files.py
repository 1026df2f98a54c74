"""Only files are read: what waits for ever, or never ends, is refused."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from tickerplant.config.resolve import read_file
from tickerplant.errors import ConfigError
from tickerplant.regular_files import check_regular, open_regular, read_regular
from tickerplant.watching.arguments import streams_of


def test_a_file_and_a_link_to_one_are_read(tmp_path: Path) -> None:
    path, link = tmp_path / "file", tmp_path / "link"
    path.write_bytes(b"text")
    link.symlink_to(path)
    assert [read_regular(path, 4), read_regular(str(link), 4)] == [b"text", b"text"]


def test_a_file_that_is_too_large_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(bytes(1_001))
    with pytest.raises(OSError, match="has more than 1,000 bytes"):
        read_regular(path, 1_000)


def test_anything_but_a_regular_file_is_rejected_by_name(tmp_path: Path) -> None:
    pipe, link = tmp_path / "pipe", tmp_path / "link"
    os.mkfifo(pipe)
    link.symlink_to("/dev/zero")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "socket"))
    kinds = {pipe: "named pipe", link: "device", tmp_path: "folder", tmp_path / "socket": "socket"}
    for path, kind in kinds.items():
        with pytest.raises(OSError, match=f"is a {kind}, expected a file"):
            open_regular(path)
    with pytest.raises(OSError, match="named pipe"):
        check_regular(pipe, pipes=True)


def test_an_open_pipe_is_read_where_pipes_are_accepted() -> None:
    reading, writing = os.pipe()
    os.write(writing, b"text")
    os.close(writing)
    with pytest.raises(OSError, match="named pipe"):
        read_regular(f"/dev/fd/{reading}", 100)
    assert read_regular(f"/dev/fd/{reading}", 100, pipes=True) == b"text"
    os.close(reading)


def test_settings_and_stream_lists_are_read_from_regular_files_only(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for path in (str(pipe), "/dev/zero"):
        with pytest.raises(ConfigError, match="expected a file"):
            read_file(path)
        with pytest.raises(ConfigError, match="expected a file"):
            streams_of([f"@{path}"])


def test_deeply_nested_settings_are_rejected(tmp_path: Path) -> None:
    path = tmp_path / "settings.toml"
    path.write_text(f"a = {'[' * 100_000}")
    with pytest.raises(ConfigError, match="nests too deeply"):
        read_file(str(path))
