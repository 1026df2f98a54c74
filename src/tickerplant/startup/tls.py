"""The certificate of the ports of a program."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tickerplant.config.settings import ListenSettings
from tickerplant.errors import ConfigError
from tickerplant.startup.process import on_hangup

if TYPE_CHECKING:  # loads cryptography, only where TLS is served
    from tickerplant.server.certificate import ServedCertificate


def follow_hangups(tls: ServedCertificate | None, settings: ListenSettings) -> None:
    """Let a SIGHUP read the certificate again, if this process has ports of TLS."""
    if tls is not None and not settings.workers:
        on_hangup(tls.read_again)


def tls_of(settings: ListenSettings) -> ServedCertificate | None:
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
        return certificate.ServedCertificate(cert, key)
    own = certificate.own_certificate(certificate.own_folder(), settings.host)
    return certificate.ServedCertificate(str(own.server), authority=str(own.authority))
