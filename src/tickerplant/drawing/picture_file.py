"""The file that a picture is written to: all of it, or nothing."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from tickerplant.errors import ConfigError
from tickerplant.own_folder import OwnFolder
from tickerplant.suggestions import suggestion

PICTURE_ENDINGS = (".svg", ".png")


class PictureFile:
    """A file that is to be written.

    Args:
        option: The option that names it, for errors.
        path: Its path.
        endings: The endings that it may have, such as `.svg`.

    Raises:
        ConfigError: It has another ending, its folder does not exist, or it cannot be written.
    """

    def __init__(self, option: str, path: str, endings: Sequence[str]) -> None:
        self.path = Path(path)
        self.ending = self.path.suffix.lower()
        if self.ending not in endings:
            expected = f"a file whose name ends with {' or '.join(endings)}"
            similar = suggestion(self.ending, endings)
            raise ConfigError(option, path, expected + similar)
        folder = self.path.parent
        if not folder.is_dir():
            raise ConfigError(option, path, f"a file in a folder that exists; {folder} does not")
        if self.path.exists() and not self.path.is_file():
            raise ConfigError(option, path, "a file; that is something else")
        if not os.access(folder, os.W_OK | os.X_OK):
            raise ConfigError(
                option, path, f"a file in a folder that can be written; {folder} cannot"
            )

    def write(self, content: str | bytes) -> None:
        """Write the file; a file that was there is replaced when everything is written.

        Raises:
            OSError: It cannot be written; nothing of it is left.
        """
        data = content.encode() if isinstance(content, str) else content
        folder = OwnFolder(self.path.parent)
        unfinished = f".{self.path.name}.{os.getpid()}.part"
        with folder.open(unfinished, "wb") as file:
            try:
                file.write(data)
                file.flush()
                self.path.with_name(unfinished).replace(self.path)
            except BaseException:
                folder.remove(unfinished)
                raise
