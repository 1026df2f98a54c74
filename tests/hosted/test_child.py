from __future__ import annotations

from typing import Any

import pytest

from tickerplant.config.settings import TEST_SYMBOLS, TestServerSettings
from tickerplant.hosted.child import prepared
from tickerplant.hosted.protocol import TestServerRequest, line_of, read_request

FIXED = "fixed"


def sent(**settings: Any) -> TestServerRequest:
    """A request as it arrives in the child."""
    request = read_request(line_of(TestServerRequest(settings=settings)))
    assert isinstance(request, TestServerRequest)
    return request


def test_a_request_for_a_test_server_is_served_as_the_command_does() -> None:
    _, settings, service = prepared(sent())
    assert isinstance(settings, TestServerSettings)
    assert (settings.usdm_port, settings.coinm_port, settings.json) == (0, 0, True)
    assert set(service.plant.markets) == set(TEST_SYMBOLS)
    assert service.truth is not None
    assert service.control_token
    assert not service.ends_with_input  # the child itself watches its input
    assert service.limits.pong_timeout_ms == 600_000


@pytest.mark.parametrize("speed", ["step", 5, 0.5])
def test_a_request_sets_what_the_command_sets(speed: float | str) -> None:
    _, settings, service = prepared(
        sent(
            symbols=["ETHUSDT"], speed=speed, limit_numbers={"lifetime_ms": 9}, control_token=FIXED
        )
    )
    assert isinstance(settings, TestServerSettings)
    assert settings.speed == speed
    assert set(service.plant.markets) == {"ETHUSDT"}
    assert service.limits.lifetime_ms == 9
    assert service.control_token == FIXED
