"""The greeting of a server of the bus: whether it is one, whose it is, and whether its TLS works.

`nats-py` follows what the server offers, in plain text too, and waits without end for some handshakes
that fail.  So each server is met once before it is handed over to the library.
"""

from __future__ import annotations

import asyncio
import os
import ssl
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

import msgspec
from msgspec import Struct

from tickerplant.cluster.options import BusSettings, shown
from tickerplant.errors import BusError
from tickerplant.formatting import printable
from tickerplant.received import next_line

OPEN_TIMEOUT_S = 5.0


class _Info(Struct):
    """What a server says first."""

    tls_required: bool = False
    tls_available: bool = False


async def meet(server: str, tls: ssl.SSLContext | None) -> None:
    """Do nothing if a server is one of the bus, and its TLS is as asked for; None follows the server.

    Raises:
        BusError: it cannot be reached, is something else, or its TLS cannot be used.
    """
    parts, where = urlsplit(server), f"the bus at {shown(server)}"
    writer: asyncio.StreamWriter | None = None
    try:
        async with asyncio.timeout(OPEN_TIMEOUT_S):
            reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
            if _uses_tls(await next_line(reader), tls, shown(server)):
                context = tls or ssl.create_default_context()
                await writer.start_tls(context, server_hostname=parts.hostname)
                writer.write(b"PING\r\n")  # any answer means that our certificate is accepted
                await reader.readexactly(1)
    except BusError:
        raise
    except asyncio.IncompleteReadError:
        raise BusError(f"no TLS to {where}: it closes the connection") from None
    except ssl.SSLError as error:
        reason = getattr(error, "verify_message", "") or error.reason or str(error)
        raise BusError(f"no TLS to {where}: {printable(str(reason))}") from None
    except OSError as error:  # also TimeoutError
        raise BusError(f"no connection to {where}: {_reason(error)}", may_pass=True) from None
    finally:
        if writer is not None:
            writer.transport.abort()
            with suppress(OSError):
                await writer.wait_closed()


def _uses_tls(greeting: bytes, tls: ssl.SSLContext | None, where: str) -> bool:
    """Return whether a server that greets so is spoken to with TLS.

    Raises:
        BusError: it is something else, or does not use TLS although that is asked for.
    """
    try:
        info = msgspec.json.decode(greeting.removeprefix(b"INFO "), type=_Info)
    except msgspec.DecodeError:
        raise BusError(f"what listens at {where} is not a NATS server") from None
    if tls is not None and not (info.tls_required or info.tls_available):
        raise BusError(f"the bus at {where} does not use TLS, which is asked for")
    return tls is not None or info.tls_required


def refuse_successors(process: int) -> None:
    """Do nothing while the process that is the server runs; 0 stands for one that is not known.

    Raises:
        BusError: it has ended, so whoever has its port now is another.
    """
    state = ""
    try:
        os.kill(process, 0)  # also finds one that nobody has waited for
        state = Path(f"/proc/{process}/stat").read_text(errors="replace").rpartition(") ")[2]
    except (ProcessLookupError, PermissionError):
        state = "X"
    except OSError:
        pass  # only Linux has this file
    if state.startswith(("X", "Z")):
        raise BusError("the server of the bus has ended, and is not yet replaced", may_pass=True)


def tls_of(settings: BusSettings) -> ssl.SSLContext | None:
    """Return the context for TLS; None where the library's own is enough.

    Raises:
        BusError: a file cannot be used.
    """
    is_tls = any(server.startswith(("tls://", "wss://")) for server in settings.servers)
    if not (settings.ca or settings.cert or is_tls):
        return None
    file = settings.ca
    try:
        context = ssl.create_default_context(cafile=settings.ca or None)
        if settings.cert:
            file = settings.cert
            context.load_cert_chain(settings.cert, settings.key or None)
    except OSError as error:  # also ssl.SSLError
        raise BusError(f"{file} cannot be used for TLS to the bus: {error_text(error)}") from None
    return context


def _reason(error: OSError) -> str:
    if isinstance(error, ConnectionRefusedError):
        return "nothing listens there"
    if isinstance(error, TimeoutError):
        return f"no answer within {OPEN_TIMEOUT_S:.0f} s"
    return printable(error.strerror or str(error) or type(error).__name__)


def error_text(error: BaseException) -> str:
    """Return what went wrong, as one line."""
    text = str(error).removeprefix("nats: ").strip("'\" \n") or type(error).__name__
    return printable(text).rstrip(".")
