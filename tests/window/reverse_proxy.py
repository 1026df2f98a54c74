"""A reverse proxy on loopback, as it may stand before a server."""

from __future__ import annotations

import contextlib
import re
import socket
from threading import Thread
from typing import Self

REFUSAL = b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
NOT_FOUND = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


class ReverseProxy:
    """Passes what is asked for below a path on to a server, as long as `with` lasts.

    Args:
        server_url: The server, such as `http://127.0.0.1:9001`.
        path: Where it is to be found, with a slash at both ends; without the last one, `/` of the
            server is there too.
        refuses_upgrades: Whether it passes no WebSocket on.
    """

    def __init__(self, server_url: str, path: str, *, refuses_upgrades: bool = False) -> None:
        host, _, port = server_url.removeprefix("http://").partition(":")
        self._server = (host, int(port))
        self._path = path.encode()
        self._refuses_upgrades = refuses_upgrades
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}{path}"
        self._lines: list[socket.socket] = []

    def __enter__(self) -> Self:
        Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        for each in (self._listener, *self._lines):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                line, _ = self._listener.accept()
                self._lines.append(line)
                Thread(target=self._pass_on, args=(line,), daemon=True).start()

    def _pass_on(self, line: socket.socket) -> None:
        """Answer one request; what follows an upgrade goes both ways."""
        with line, contextlib.suppress(OSError):
            text = b""
            while b"\r\n\r\n" not in text:
                read = line.recv(1 << 16)
                if not read:
                    return
                text += read
            is_upgrade = re.search(rb"\r\nupgrade: *websocket", text, re.IGNORECASE) is not None
            verb, _, rest = text.partition(b" ")
            path, _, rest = rest.partition(b" ")
            if is_upgrade and self._refuses_upgrades:
                line.sendall(REFUSAL)
                return
            if not f"{path.decode()}/".encode().startswith(self._path):
                line.sendall(NOT_FOUND)
                return
            path = b"/" + path[len(self._path) :]
            if not is_upgrade:
                rest = re.sub(rb"\r\nconnection: [^\r]*", b"", rest, flags=re.IGNORECASE)
                rest = rest.replace(b"\r\n", b"\r\nConnection: close\r\n", 1)
            with socket.create_connection(self._server) as server:
                self._lines.append(server)
                server.sendall(b"%s %s %s" % (verb, path, rest))
                Thread(target=_copy, args=(line, server), daemon=True).start()
                _copy(server, line)


def _copy(source: socket.socket, target: socket.socket) -> None:
    """Pass on what comes until there is no more."""
    with contextlib.suppress(OSError):
        while read := source.recv(1 << 16):
            target.sendall(read)
        target.shutdown(socket.SHUT_WR)
