from __future__ import annotations

from typing import Any

import pytest

from tickerplant.cluster.options import uses_bus
from tickerplant.config.settings import EdgeSettings
from tickerplant.errors import ConfigError

BUS: dict[str, Any] = {"bus": ("nats://127.0.0.1:4222",)}


def test_a_bus_is_used_if_it_is_given_or_workers_are_wanted() -> None:
    assert not uses_bus(EdgeSettings())
    assert uses_bus(EdgeSettings(workers=2))
    assert uses_bus(EdgeSettings(**BUS))
    assert uses_bus(EdgeSettings(**BUS, bus_token="t"))  # noqa: S106


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"bus_user": "a"}, "--bus is missing: expected the NATS server that --bus-user is for"),
        (BUS | {"bus_user": "a"}, "--bus-password is missing: expected what belongs to --bus-user"),
        (BUS | {"bus_password": "a"}, "--bus-user is missing: expected what belongs to --bus-pass"),
        (BUS | {"bus_key": "a"}, "--bus-cert is missing: expected what belongs to --bus-key"),
        (
            BUS | {"bus_user": "a", "bus_password": "b", "bus_token": "c"},
            "for --bus-user: expected one proof of identity, not --bus-token as well",
        ),
        (
            BUS | {"bus_credentials": "/none"},
            "invalid value '/none' for --bus-credentials: expected a file that can be read (No such",
        ),
        (BUS | {"bus_ca": "/"}, "for --bus-ca: expected a file that can be read (Is a"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as raised:
        uses_bus(EdgeSettings(**given))
    assert message in str(raised.value)
