"""Handshakes of clients, on sockets without a library."""

from __future__ import annotations

import socket

BUFFER_BYTES = 1 << 18
SEGMENT_BYTES = 1_448
"""Segments of who does not keep up: those of Ethernet, or the loopback's would hide megabytes."""
SMALL_BUFFER_BYTES = 8_192
PATIENCE_S = 30.0
"""Longest time that anything may take."""


def shake_hands(port: int, path: str) -> socket.socket:
    """Return a WebSocket connection on which only frames will follow.

    Raises:
        ConnectionError: the server answers anything but 101.
    """
    sock = ask_for_frames(port, path)
    finish_handshake(sock)
    return sock


def ask_for_frames(
    port: int, path: str, host: str = "127.0.0.1", *, is_small: bool = False
) -> socket.socket:
    """Return a connection whose upgrade is asked for.

    Args:
        port: The port of the server.
        path: What is asked for.
        host: The address from which it is made.
        is_small: Whether little fits into its buffers, as for who does not read.
    """
    sock = socket.socket()
    sock.settimeout(PATIENCE_S)
    if is_small:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, SEGMENT_BYTES)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL_BUFFER_BYTES)
    sock.bind((host, 0))
    sock.connect(("127.0.0.1", port))
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.sendall(
        f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\n"
        "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n".encode()
    )
    return sock


def finish_handshake(sock: socket.socket) -> None:
    """Read the answer to an upgrade.

    Raises:
        ConnectionError: the server answers anything but 101.
    """
    answer = b""
    while not answer.endswith(b"\r\n\r\n"):
        # Byte by byte: what follows the answer belongs to whoever reads the frames.
        byte = sock.recv(1)
        if not byte:
            break
        answer += byte
    if not answer.startswith(b"HTTP/1.1 101 "):
        raise ConnectionError(f"answered {answer[:80]!r}")
