"""Which settings of a bus go together; imports nothing that only a bus needs."""

from __future__ import annotations

from pathlib import Path

from tickerplant.config.settings import ListenSettings
from tickerplant.errors import ConfigError

_OPTIONS = (
    *("bus_user", "bus_password", "bus_token", "bus_credentials"),
    *("bus_ca", "bus_cert", "bus_key"),
)
_FILES = ("bus_credentials", "bus_ca", "bus_cert", "bus_key")


def uses_bus(settings: ListenSettings) -> bool:
    """Return whether several processes are to serve, joined by a bus.

    Raises:
        ConfigError: a setting of the bus needs another, excludes another, or names a file that
            cannot be read.
    """
    given = {name: value for name in _OPTIONS if (value := getattr(settings, name)) is not None}
    if not settings.bus:
        for name in given:
            expected = f"the NATS server that {_option(name)} is for, such as nats://127.0.0.1:4222"
            raise ConfigError("--bus", None, expected)
        return bool(settings.workers)
    _refuse_half("bus_user", "bus_password", given)
    _refuse_half("bus_password", "bus_user", given)
    _refuse_half("bus_key", "bus_cert", given)
    proofs = [name for name in ("bus_user", "bus_token", "bus_credentials") if name in given]
    if len(proofs) > 1:
        others = " and ".join(map(_option, proofs[1:]))
        raise ConfigError(_option(proofs[0]), "…", f"one proof of identity, not {others} as well")
    for name in _FILES:
        if name in given:
            _refuse_unreadable(_option(name), given[name])
    return True


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _refuse_half(name: str, other: str, given: dict[str, str]) -> None:
    if name in given and other not in given:
        raise ConfigError(_option(other), None, f"what belongs to {_option(name)}")


def _refuse_unreadable(option: str, path: str) -> None:
    try:
        with Path(path).open("rb") as file:
            file.read(1)
    except OSError as error:
        expected = f"a file that can be read ({error.strerror or error})"
        raise ConfigError(option, path, expected) from None
