"""Serves a simulated market for tests: `tickerplant test-server`."""

from __future__ import annotations

import secrets

from msgspec import structs

from tickerplant import logs
from tickerplant.config.kinds import STEP
from tickerplant.config.settings import TEST_SYMBOLS, SimulateSettings, TestServerSettings
from tickerplant.errors import ConfigError
from tickerplant.server import event_loop
from tickerplant.serving.run import Echo, serve
from tickerplant.serving.service import Service
from tickerplant.serving.simulate import simulate_service
from tickerplant.truth.truth import Truth

TEST_START_MS = 1_767_225_600_000
"""Market time at the start, unless told otherwise: 2026-01-01."""
TOKEN_BYTES = 16
"""Random bytes of a token."""
HOUR_MS = 3_600_000
PATIENCE = {
    "max_unsent_bytes": 1 << 28,
    "max_unread_ms": HOUR_MS,
    "stall_timeout_ms": HOUR_MS,
}
"""Limits of ours that a test, which reads only after a step or is stopped in a debugger, would reach.
Those of the exchange are enforced."""


def test_server(settings: TestServerSettings, echo: Echo) -> int:
    """Serve a market for tests until interrupted; return the exit status.

    Raises:
        ConfigError: a setting cannot be used.
        RecordingError: the recording cannot be written.
    """
    logs.configure(settings.log_format, settings.log_level)
    service = structs.replace(test_service(settings), ends_with_input=True)
    return event_loop.run(serve(settings, service, echo))


def test_service(settings: TestServerSettings) -> Service:
    """Return a service that simulates a market for tests, and keeps what was.

    Raises:
        ConfigError: a setting cannot be used.
    """
    if settings.workers or settings.bus:
        option, value = ("workers", settings.workers) if settings.workers else ("bus", settings.bus)
        expected = "none: a test server is one process, so that a step is the same every time"
        raise ConfigError(f"--{option}", value, expected)
    fields = {name: getattr(settings, name) for name in SimulateSettings.__struct_fields__}
    is_stepped = settings.speed == STEP
    changed = {
        "start_ms": TEST_START_MS if settings.start_ms is None else settings.start_ms,
        "symbols": settings.symbols or (() if settings.symbol_count else TEST_SYMBOLS),
        "speed": 1.0 if is_stepped else settings.speed,
        "paused": settings.paused or is_stepped,
        "limit_numbers": PATIENCE | settings.limit_numbers,
    }
    service = simulate_service(SimulateSettings(**fields | changed), Truth())
    token = settings.control_token or secrets.token_urlsafe(TOKEN_BYTES)
    return structs.replace(service, control_token=token, follows_market=True)
