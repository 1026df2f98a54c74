"""Certificates for the ports: the user's, or a generated one for this machine.

The generated one is issued by an authority whose key is discarded at once: a client that trusts the
authority trusts this one certificate, and nothing that could be issued later.
"""

from __future__ import annotations

import fcntl
import ipaddress
import os
import re
import socket
import ssl
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import TypeAlias

import trustme
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from msgspec import Struct

from tickerplant.errors import ConfigError
from tickerplant.logs import logger
from tickerplant.own_folder import OwnFolder
from tickerplant.regular_files import read_regular

VALID_DAYS = 397
"""Browsers reject longer validity."""
RENEWED_DAYS = 30
"""A certificate that expires sooner than this is replaced at the next start."""
MAX_PEM_BYTES = 1 << 20
"""The largest PEM file; a chain of certificates takes some thousand bytes."""
CHECKED_EVERY_S = 5.0
"""How often the files of a certificate are looked at."""
AUTHORITY = "ca.pem"
SERVER = "server.pem"

_DNS_NAME = re.compile(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?")
_Stamp: TypeAlias = tuple[int, ...]
_Stamps: TypeAlias = tuple[_Stamp, ...]
_CERT, _KEY, _SELF = "--tls-cert", "--tls-key", "--tls"


class OwnCertificate(Struct, frozen=True):
    """The generated certificate of this machine, on disk."""

    authority: Path
    """The certificate that clients must trust."""
    server: Path
    """The certificate and its key, readable only by the user."""


def context_of(cert: str, key: str | None = None) -> ssl.SSLContext:
    """Return the TLS context of ports with the certificate in `cert`.

    Args:
        cert: A PEM file: the certificate, then the intermediate ones.
        key: A PEM file with its key; None if `cert` contains it.

    Raises:
        ConfigError: a file cannot be read, the key does not fit, or the certificate is not valid now.
    """
    certificate = _first_of(cert)
    now = datetime.now(UTC)
    if now > certificate.not_valid_after_utc:
        until = certificate.not_valid_after_utc
        raise ConfigError(_CERT, cert, f"a certificate that is valid; it expired {until:%Y-%m-%d}")
    if now < certificate.not_valid_before_utc:
        since = certificate.not_valid_before_utc
        raise ConfigError(
            _CERT, cert, f"a certificate that is valid now, not from {since:%Y-%m-%d}"
        )
    place, path = (_KEY, key) if key else (_CERT, cert)
    text = _text_of(place, path)
    if "PRIVATE KEY-----" not in text:
        raise ConfigError(place, path, "a PEM file with a key" + ("" if key else f", or {_KEY}"))
    if "ENCRYPTED" in text:
        raise ConfigError(place, path, "a key without a passphrase")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_alpn_protocols(["http/1.1"])
    try:
        context.load_cert_chain(cert, path)
    except ssl.SSLError as error:
        expected = f"a key and a certificate that can be used ({error.reason or error})"
        if error.reason == "KEY_VALUES_MISMATCH":
            expected = f"the key of the certificate in {cert}"
        raise ConfigError(place, path, expected) from None
    return context


class ServedCertificate:
    """The certificate of ports, which is read again when its files change.

    Open connections keep the one with which they began.  A new one that cannot be used changes
    nothing: it is counted and logged, and looked at again when the files change once more.

    Raises:
        ConfigError: see `context_of`.
    """

    def __init__(self, cert: str, key: str | None = None, authority: str = "") -> None:
        self.context: ssl.SSLContext
        """Is used for new connections."""
        self.expires_s: float
        """Until when it is valid, seconds since 1970."""
        self.reloads = 0
        """How often it was replaced."""
        self.failures = 0
        """How often the files changed, or were to be read again, and could not be used."""
        self.path, self.key = cert, key
        """The file with the certificate, and that with its key, if it is another one."""
        self.authority = authority
        """The file that clients must trust, if the certificate is our own."""
        self._read: _Stamps = self._stamps()
        """The files as they were when they were last read."""
        self._seen = self._read
        """The files as they were when they were last looked at."""
        self._next_check_s = 0.0
        self._load()

    def look(self, now_s: float) -> None:
        """Read the files again if they have changed; at most once in some seconds.

        Files that are being replaced are left alone until they are the same twice.
        """
        if now_s < self._next_check_s:
            return
        self._next_check_s = now_s + CHECKED_EVERY_S
        seen, self._seen = self._seen, self._stamps()
        if self._seen != self._read and self._seen == seen:
            self.read_again()

    def read_again(self) -> None:
        """Use what the files have now, if that can be used."""
        self._read = self._stamps()
        try:
            self._load()
        except (ConfigError, OSError) as error:
            self.failures += 1
            logger().error(
                f"! the certificate in use stays, because the new one is no good: {error}"
            )
        else:
            self.reloads += 1
            until = datetime.fromtimestamp(self.expires_s, UTC)
            logger().info(f"= the certificate was read again; it is valid until {until:%Y-%m-%d}")

    def _load(self) -> None:
        context = context_of(self.path, self.key)
        self.expires_s = _first_of(self.path).not_valid_after_utc.timestamp()
        self.context = context

    def _stamps(self) -> _Stamps:
        """Return what differs when a file, or a link on the way to it, is replaced."""
        return tuple(_stamp(path) for path in (self.path, self.key) if path is not None)


def _stamp(path: str) -> _Stamp:
    try:
        found = Path(path).stat()
    except OSError:
        return ()
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


def own_certificate(folder: Path, names: Iterable[str]) -> OwnCertificate:
    """Return a certificate for this machine: the one in `folder`, or a new one.

    Args:
        folder: Where it is kept, so that clients must trust it only once; only this user may use it.
        names: Host names and addresses that it covers, besides those of loopback.

    Raises:
        ConfigError: `folder` cannot be written, or is that of another user.
    """
    own = OwnCertificate(folder / AUTHORITY, folder / SERVER)
    wanted = _names(names)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o700)
        with OwnFolder(folder).open("lock", "ab") as lock:
            os.fchmod(lock.fileno(), 0o600)
            fcntl.flock(lock, fcntl.LOCK_EX)  # servers that start at the same time share it
            kept = _kept_names(own)
            if not wanted <= kept:
                _issue(own, wanted | kept)
    except OSError as error:
        expected = f"a folder for the certificate, {folder}, that can be written ({error.strerror}): set XDG_CACHE_HOME"
        raise ConfigError(_SELF, "self", expected) from None
    return own


def own_folder() -> Path:
    """Return the folder of the generated certificate.

    Raises:
        ConfigError: the user has no folder.
    """
    cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    try:
        return Path(cache).expanduser() / "tickerplant" / "tls"
    except RuntimeError:
        expected = "a folder for the certificate, but this user has none: set XDG_CACHE_HOME"
        raise ConfigError(_SELF, "self", expected) from None


def _names(others: Iterable[str]) -> frozenset[str]:
    names = {"localhost", "127.0.0.1", "::1"}
    for name in (socket.gethostname(), *others):
        try:
            address = ipaddress.ip_address(name)
        except ValueError:
            if _DNS_NAME.fullmatch(name.lower()):
                names.add(name.lower())
        else:
            if not address.is_unspecified:
                names.add(str(address))
    return frozenset(names)


def _kept_names(own: OwnCertificate) -> frozenset[str]:
    """Return the names that the certificate on disk covers; none if it must be replaced."""
    try:
        certificate = _first_of(str(own.server))
        certificate.verify_directly_issued_by(_first_of(str(own.authority)))
        context_of(str(own.server))
        value = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (ConfigError, InvalidSignature, TypeError, ValueError, x509.ExtensionNotFound):
        return frozenset()
    if certificate.not_valid_after_utc < datetime.now(UTC) + timedelta(days=RENEWED_DAYS):
        return frozenset()
    hosts = value.get_values_for_type(x509.DNSName)
    return frozenset([*hosts, *map(str, value.get_values_for_type(x509.IPAddress))])


def _issue(own: OwnCertificate, names: Iterable[str]) -> None:
    authority = trustme.CA(organization_name="Tickerplant on this machine")
    until = datetime.now(UTC) + timedelta(days=VALID_DAYS)
    server = authority.issue_cert(*sorted(names), not_after=until)
    _write(own.server, server.private_key_and_cert_chain_pem.bytes())
    _write(own.authority, authority.cert_pem.bytes())


def _write(path: Path, data: bytes) -> None:
    """Replace a file atomically by one that only the user can read."""
    with NamedTemporaryFile(dir=path.parent, delete=False) as file:
        file.write(data)
    Path(file.name).replace(path)


def _first_of(path: str) -> x509.Certificate:
    """Return the first certificate in a PEM file."""
    text = _text_of(_CERT, path)
    try:
        return x509.load_pem_x509_certificates(text.encode())[0]
    except ValueError:
        raise ConfigError(_CERT, path, "a PEM file with a certificate") from None


def _text_of(option: str, path: str) -> str:
    try:
        return read_regular(path, MAX_PEM_BYTES).decode("ascii")
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not text"
        raise ConfigError(option, path, f"a PEM file that can be read ({why})") from None
