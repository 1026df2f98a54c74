"""The program `tickerplant test-server`, and the service that it shares with hosted markets."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys

import pytest
from programs import PATIENCE_S, refusal

from tickerplant.config.settings import TEST_SYMBOLS, TestServerSettings
from tickerplant.serving import test_server as serving

FIXED = "fixed"


def test_a_test_server_is_the_same_market_every_time() -> None:
    first, second = (serving.test_service(TestServerSettings()) for _ in range(2))
    assert set(first.plant.markets) == set(TEST_SYMBOLS)
    assert first.plant.now_ms == serving.TEST_START_MS
    assert first.limits.enforced
    assert first.truth is not None
    assert set(first.truth.market.symbols) == set(TEST_SYMBOLS)
    assert first.control_token != second.control_token
    for symbol in TEST_SYMBOLS:
        books = [each.plant.markets[symbol].book.top(9) for each in (first, second)]
        assert books[0] == books[1]


def test_settings_replace_what_is_usual_for_tests() -> None:
    settings = TestServerSettings(
        symbols=("ADAUSDT",), start_ms=serving.TEST_START_MS + 1, control_token=FIXED
    )
    service = serving.test_service(settings)
    assert set(service.plant.markets) == {"ADAUSDT"}
    assert service.plant.now_ms == serving.TEST_START_MS + 1
    assert service.control_token == FIXED
    counted = serving.test_service(TestServerSettings(symbol_count=3))
    assert len(counted.plant.markets) == 3
    patient = serving.test_service(TestServerSettings(limit_numbers={"max_unread_ms": 5})).limits
    assert patient.max_unread_ms == 5
    assert patient.stall_timeout_ms == serving.HOUR_MS


@pytest.mark.sockets
@pytest.mark.slow("a program is ended")
@pytest.mark.parametrize("how", [signal.SIGTERM, None])
def test_who_reads_its_first_line_may_end_it_at_once_by_a_signal_or_the_end_of_its_input(
    how: signal.Signals | None,
) -> None:
    command = (sys.executable, "-m", "tickerplant", "test-server", "--symbols", "BTCUSDT", "--json")
    with subprocess.Popen(  # noqa: S603  # our own program
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        ready = json.loads(process.stdout.readline())
        assert (ready["event"], ready["pid"], bool(ready["token"])) == ("ready", process.pid, True)
        if how is None:
            output, _ = process.communicate(timeout=PATIENCE_S)
        else:
            process.send_signal(how)
            output = process.stdout.read()
            process.wait(PATIENCE_S)
        totals = json.loads(output)
        assert (totals["event"], totals["ended"]) == ("totals", "interrupted")
        assert process.returncode == 0


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--symbols", "BTCUSTD"), "did you mean BTCUSDT or BTCUSDC?"),
        (("--speed", "quick"), "expected step, or a number"),
        (("--workers", "2"), "2 for --workers: expected none: a test server is one process"),
        (("--bus", "nats://127.0.0.1:4222"), "for --bus: expected none: a test server is one"),
        (("--scenario", "flash-crsh"), "did you mean flash-crash?"),
    ],
)
def test_bad_options_end_with_one_sentence(
    options: tuple[str, ...], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert words in refusal(capsys, "test-server", *options)


@pytest.mark.sockets
def test_a_port_that_is_taken_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        options = ("--usdm-port", "0", "--coinm-port", port, "--symbols", "BTCUSDT")
        assert port in refusal(capsys, "test-server", *options)
