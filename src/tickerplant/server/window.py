"""The files of the window, the web page of a server: made by `make window`, part of the wheel."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable

from msgspec import Struct

from tickerplant.server.compression import ACCEPTED, ENCODED, accepts_gzip
from tickerplant.server.response import TEXT, Headers, Response

FOLDER = "window_files"
PAGE = "index.html"
COMPRESSED = ".gz"
CONTENT_TYPES = {
    "css": "text/css; charset=utf-8",
    "html": "text/html; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
    "txt": TEXT,
}
"""The types of the files, by the end of their names; no other files are served."""
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""Only scripts and styles that are files of the server; requests only to the server itself."""
_PROTECTION: Headers = (
    ("Content-Security-Policy", CONTENT_SECURITY_POLICY),
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "no-referrer"),
    ("Vary", "Accept, Accept-Encoding"),
)
_MAY_CHANGE: Headers = (("Cache-Control", "no-cache"),)
_STAYS: Headers = (("Cache-Control", "public, max-age=31536000, immutable"),)
"""The names of bundles have a digest of their content."""


class WindowFile(Struct, frozen=True):
    """A file of the window."""

    content: bytes
    content_type: str
    compressed: bytes
    """The content as gzip; empty if there is none."""


class Window(Struct, frozen=True):
    """The files of a build of the window."""

    files: Mapping[str, WindowFile]
    """By name; none if the window is not built."""

    @property
    def build(self) -> str:
        """The digest in the names of the bundles; empty if the window is not built."""
        bundles = [name for name in self.files if name.endswith(".js")]
        return bundles[0].removesuffix(".js").rpartition("-")[2] if bundles else ""

    def response(self, name: str, headers: Mapping[bytes, bytes]) -> Response | None:
        """Return the response with a file; None if there is no such file."""
        file = self.files.get(name)
        if file is None:
            return None
        fields = (*_PROTECTION, *(_STAYS if self.build in name else _MAY_CHANGE))
        if file.compressed and accepts_gzip(headers.get(ACCEPTED, b"")):
            return Response(file.compressed, 200, file.content_type, (*fields, ENCODED))
        return Response(file.content, 200, file.content_type, fields)


def read_window(folder: Traversable) -> Window:
    """Return the window whose files are in a folder; without files if there is no such folder."""
    names = [each.name for each in folder.iterdir()] if folder.is_dir() else []
    contents = {name: folder.joinpath(name).read_bytes() for name in names}
    return Window(
        {
            name: WindowFile(content, CONTENT_TYPES[kind], contents.get(name + COMPRESSED, b""))
            for name, content in contents.items()
            if (kind := name.rpartition(".")[2]) in CONTENT_TYPES
        }
    )


@cache
def window() -> Window:
    """Return the window of this installation."""
    return read_window(files("tickerplant.server").joinpath(FOLDER))


def wants_page(headers: Mapping[bytes, bytes]) -> bool:
    """Return whether a request asks for HTML, as browsers do and other programs do not."""
    return b"text/html" in headers.get(b"accept", b"").lower()
