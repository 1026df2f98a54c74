"""The program `tickerplant test-server`, and the service that it shares with hosted markets."""

from __future__ import annotations

import contextlib
import http.client
import json
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from typing import IO, Any

import pytest
from connecting import connect_blocking as connect
from programs import PATIENCE_S

from tickerplant.cli import main
from tickerplant.config.settings import TEST_SYMBOLS, TestServerSettings
from tickerplant.errors import ConfigError
from tickerplant.frames import text_frame
from tickerplant.serving import test_server as serving

STEP_PATH = "/plant/v1/clock"
SENT_PATH = "/plant/v1/truth/sent"
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


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        (TestServerSettings(workers=2), "--workers"),
        (TestServerSettings(bus=("nats://127.0.0.1:4222",)), "--bus"),
        (TestServerSettings(symbols=("NOPE",)), "symbols"),
    ],
)
def test_what_a_test_server_cannot_be_is_refused(settings: TestServerSettings, named: str) -> None:
    with pytest.raises(ConfigError) as caught:
        serving.test_service(settings)
    assert caught.value.setting == named


@contextlib.contextmanager
def program(
    *options: str, stdin: int | IO[bytes] | None = subprocess.PIPE
) -> Iterator[subprocess.Popen[bytes]]:
    """Run the command, and kill it if it is left over."""
    command = [sys.executable, "-m", "tickerplant", "test-server", *options]
    with subprocess.Popen(  # noqa: S603  # our own program
        command, stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def line_of(process: subprocess.Popen[bytes]) -> Any:
    """Return the next line of JSON that a program prints."""
    assert process.stdout is not None
    return json.loads(process.stdout.readline())


def ended(process: subprocess.Popen[bytes]) -> Any:
    """Return the last line of a program that ends by itself."""
    output, errors = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0, errors
    return json.loads(output)


def asked(ready: Any, path: str, body: Any = None) -> Any:
    """Ask the control plane of a test server."""
    address = ready["venues"]["usdm"]["rest"].removeprefix("http://")
    there = http.client.HTTPConnection(address, timeout=PATIENCE_S)
    headers = {"Authorization": f"Bearer {ready['token']}", "Content-Type": "application/json"}
    try:
        if body is None:
            there.request("GET", path, headers=headers)
        else:
            there.request("POST", path, json.dumps(body).encode(), headers)
        response = there.getresponse()
        assert response.status == 200, response.read()
        return json.loads(response.read())
    finally:
        there.close()


@pytest.mark.sockets
@pytest.mark.slow("a program is started")
def test_a_client_steps_a_test_server_and_learns_what_was() -> None:
    with program("--json") as process:
        ready = line_of(process)
        assert ready["event"] == "ready"
        assert ready["pid"] == process.pid
        assert ready["token"]
        usdm = ready["venues"]["usdm"]
        with pytest.raises(AssertionError, match="the token is not that of this server"):
            asked({**ready, "token": ""}, STEP_PATH, {"step": "3s"})
        assert usdm["control"] == f"{usdm['rest']}/plant/v1"
        names = "btcusdt@depth@100ms/btcusdt@trade"
        with connect(f"{usdm['streams']}/stream?streams={names}") as client:
            state = asked(ready, STEP_PATH, {"step": "3s"})
            assert (state["time"], state["paused"]) == ("2026-01-01T00:00:03.000Z", True)
            (row,) = asked(ready, SENT_PATH)["connections"]
            sent = asked(ready, f"{SENT_PATH}?connection={row['connection']}")["sent"]
            texts = [each for each in sent if each["kind"] == "text"]
            received = [str(client.recv(timeout=PATIENCE_S)) for _ in texts]
        assert received == [each["text"] for each in texts]
        assert row["written_bytes"] == len(sent[0]["text"].encode()) + sum(
            len(text_frame(each.encode())) for each in received
        )
        messages = [json.loads(each) for each in received]
        assert [each["stream"] for each in messages] == [each["stream"] for each in texts]
        diffs = [each["data"] for each in messages if "depth" in each["stream"]]
        assert len(diffs) > 5
        check_books(ready, diffs)
        trades = [each["data"] for each in messages if each["stream"].endswith("@trade")]
        truth = asked(ready, "/plant/v1/truth/trades?symbol=BTCUSDT&limit=10000")["trades"]
        assert [(each["t"], each["p"], each["q"]) for each in trades] == [
            (each["id"], each["price"], each["qty"]) for each in truth
        ]
        assert process.stdin is not None
        process.stdin.close()
        process.stdin = None
        totals = ended(process)
        assert (totals["event"], totals["connections"]) == ("totals", 1)
        assert totals["messages"] == len(messages)


def check_books(ready: Any, diffs: Any) -> None:
    """Check that the truth at each diff follows from the truth before it, and the diff."""
    path = "/plant/v1/truth/book?symbol=BTCUSDT&update_id="
    before = asked(ready, f"{path}{diffs[0]['pu']}")
    sides = {"b": dict(before["bids"]), "a": dict(before["asks"])}
    for diff in diffs[:10]:
        for name, side in sides.items():
            side.update(diff[name])
        book = asked(ready, f"{path}{diff['u']}")
        assert book["lastUpdateId"] == diff["u"]
        for name, levels in (("b", book["bids"]), ("a", book["asks"])):
            kept = {price: size for price, size in sides[name].items() if float(size)}
            assert kept == dict(levels)


@pytest.mark.sockets
@pytest.mark.slow("a program is started")
def test_a_signal_ends_a_test_server_whose_input_is_no_pipe() -> None:
    with program("--json", "--symbols", "BTCUSDT", stdin=subprocess.DEVNULL) as process:
        assert line_of(process)["venues"]["coinm"]["symbols"] == 0
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.5)  # the end of /dev/null does not count
        process.send_signal(signal.SIGTERM)
        assert ended(process)["ended"] == "interrupted"


@pytest.mark.sockets
@pytest.mark.slow("a program is started")
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_that_follows_the_first_line_at_once_ends_it_properly(how: signal.Signals) -> None:
    with program("--json", "--symbols", "BTCUSDT") as process:
        line_of(process)
        process.send_signal(how)
        assert ended(process)["ended"] == "interrupted"


@pytest.mark.sockets
@pytest.mark.slow("a program is started")
def test_a_socket_as_input_counts_as_a_pipe() -> None:
    ours, theirs = socket.socketpair()
    with ours, program("--json", "--symbols", "BTCUSDT", stdin=theirs.makefile("rb")) as process:
        theirs.close()
        line_of(process)
        ours.sendall(b"ignored\n")
        ours.shutdown(socket.SHUT_WR)
        assert ended(process)["event"] == "totals"


def refusal(*options: str, capsys: pytest.CaptureFixture[str]) -> str:
    """Return the sentence with which the command ends at once."""
    with pytest.raises(SystemExit) as ended:
        main(("test-server", *options))
    output, errors = capsys.readouterr()
    assert (ended.value.code, output) == (2, "")
    (line,) = errors.splitlines()
    return str(line)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--symbols", "BTCUSTD"), "did you mean BTCUSDT or BTCUSDC?"),
        (("--speed", "quick"), "expected step, or a number"),
        (("--workers", "2"), "a test server is one process"),
        (("--scenario", "flash-crsh"), "did you mean flash-crash?"),
    ],
)
def test_bad_options_end_with_one_sentence(
    options: tuple[str, ...], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert words in refusal(*options, capsys=capsys)


@pytest.mark.sockets
@pytest.mark.slow("a program is started")
def test_a_port_that_is_taken_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with program("--coinm-port", str(port), "--symbols", "BTCUSDT") as process:
            output, errors = process.communicate(timeout=PATIENCE_S)
    assert (process.returncode, output) == (2, b"")
    assert str(port) in errors.decode()
