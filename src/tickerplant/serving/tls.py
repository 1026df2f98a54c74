"""The certificate of the ports of a program."""

from __future__ import annotations

import ssl

from msgspec import Struct

from tickerplant.config.settings import ListenSettings
from tickerplant.errors import ConfigError


class Tls(Struct, frozen=True):
    """The certificate of a server."""

    context: ssl.SSLContext
    certificate: str
    """The file with the certificate."""
    key: str | None = None
    """The file with its key, if it is another one."""
    authority: str = ""
    """The file that clients must trust, if the certificate is our own."""


def tls_of(settings: ListenSettings) -> Tls | None:
    """Return the certificate to serve with; None to serve without TLS.

    Raises:
        ConfigError: a certificate or a key cannot be used.
    """
    cert, key, wants_own = settings.tls_cert, settings.tls_key, settings.tls == "self"
    if cert is None and not wants_own:
        if key is not None:
            raise ConfigError("--tls-cert", None, "the certificate of the key in --tls-key")
        return None
    if wants_own and (cert or key):
        raise ConfigError("--tls", "self", "not to be combined with --tls-cert and --tls-key")
    from tickerplant.server import certificate  # noqa: PLC0415  # loads cryptography, only when needed

    if cert is not None:
        return Tls(certificate.context_of(cert, key), cert, key)
    own = certificate.own_certificate(certificate.own_folder(), [settings.host])
    return Tls(
        certificate.context_of(str(own.server)), str(own.server), authority=str(own.authority)
    )
