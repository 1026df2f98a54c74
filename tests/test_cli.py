from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import signal
import socket
from pathlib import Path

import pytest
from programs import PATIENCE_S, started

from tickerplant.cli import main

FREE_PORTS = ("--usdm-port", "0", "--coinm-port", "0")
SMALL = ("simulate", *FREE_PORTS, "--symbols", "BTCUSDT,BTCUSD_PERP", "--quoting", "0.3")


def run(*arguments: str, capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    """Run the program in this process; return its status and what it printed."""
    with pytest.raises(SystemExit) as end:
        main(arguments)
    output = capsys.readouterr()
    return int(end.value.code or 0), output.out, output.err


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ((*SMALL, "--host", "\udcff"), "invalid value '\\udcff' for --host"),
        (("explain", "\udcff\udcfe@trade"), "'\\udcff\\udcfe@trade' is not valid Unicode text"),
        (("explain", "ws://\udcff/ws/a"), "is not valid Unicode text"),
        (("explain", "wss://fstream.binance.com/" + "w" * 8000), "at most 8000 are allowed"),
        (("watch", "\udcff@trade"), "expected valid Unicode"),
        (("ask", "depth", "symbol=\udcff"), "expected valid Unicode"),
    ],
)
def test_what_is_no_text_or_too_long_is_refused_in_one_line(
    arguments: tuple[str, ...], expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    status, out, err = run(*arguments, capsys=capsys)
    assert (status, out) == (2, "")
    assert expected in err
    assert re.fullmatch(r"tickerplant: [^\n]+\n", err)


@pytest.mark.sockets
def test_a_port_in_use_is_reported(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        status, _, err = run(*SMALL, "--usdm-port", port, capsys=capsys)
    assert status == 2
    assert f"invalid value {port} for --usdm-port: expected a free port" in err


def test_error_messages_contain_no_terminal_control_characters(
    capsys: pytest.CaptureFixture[str],
) -> None:
    status, _, err = run("replay", "no\x1b[2J\n\x9bsuch", *FREE_PORTS, capsys=capsys)
    assert status == 2
    assert "no·[2J··such" in err
    assert err.count("\n") == 1


@pytest.mark.slow("programs are run")
@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM])
def test_a_simulation_prints_its_addresses_serves_and_stops_cleanly(sign: signal.Signals) -> None:
    with started(*SMALL, "--log-format", "json") as process:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(5)]
        addresses = re.findall(r"http://(127\.0\.0\.1:\d+)$", "".join(lines[:2]), re.MULTILINE)
        assert len(addresses) == 2, lines
        assert "curl" in lines[3]
        assert f"watch btcusdt@miniTicker --url ws://{addresses[0]}\n" in lines[4]
        asked = http.client.HTTPConnection(addresses[0], timeout=PATIENCE_S)
        asked.request("GET", "/fapi/v1/ticker/bookTicker?symbol=BTCUSDT")
        assert float(json.loads(asked.getresponse().read())["bidPrice"]) > 0
        asked.close()
        process.send_signal(sign)
        out, err = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0, err
    assert re.fullmatch(
        r"Served 0 messages, 0 bytes, to 0 connections from [\d,]+ events in [\d.]+ s\.\n", out
    )
    assert "Traceback" not in err


@pytest.mark.slow("programs are run")
def test_a_relay_says_why_it_waits_for_its_upstream_and_can_be_stopped() -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # and does not listen
        url = f"ws://127.0.0.1:{nobody.getsockname()[1]}"
        with started("relay", "--usdm-url", url, *FREE_PORTS) as process:
            assert process.stderr is not None
            line = process.stderr.readline()
            assert "! the upstream does not respond" in line
            assert url.replace("ws", "http") in line
            process.send_signal(signal.SIGTERM)
            out, err = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0, err
    assert out == "Nothing was served: the upstream did not respond.\n"
    assert err == ""
    with started(*SMALL) as upstream:
        assert upstream.stdout is not None
        coinm = [upstream.stdout.readline() for _ in range(2)][1].split()[1]
        with started("relay", "--usdm-url", coinm, *FREE_PORTS) as process:
            assert process.stderr is not None
            assert "Path /fapi/v1/exchangeInfo" in process.stderr.readline(), "another venue"


@pytest.mark.slow("programs are run")
def test_the_suggested_stream_delivers_with_strict_routing_and_disabled_limits_are_announced(
    capsys: pytest.CaptureFixture[str],
) -> None:
    options = ("--profile", "current", "--routing", "strict")
    short = ("--limits", "off", "--start", "2026-01-01", "--duration", "1s", "--speed", "0")
    with started(*SMALL, *options, *short) as process:
        out, err = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0, err
    assert "Limits are off" in out
    assert out.splitlines()[-1].startswith("Served 0 messages"), "it ends after its duration"
    ((stream, url),) = re.findall(r"tickerplant watch (\S+) --url (\S+)$", out, re.MULTILINE)
    assert re.fullmatch(r"ws://127\.0\.0\.1:\d+", url)
    _, explained, _ = run("explain", stream, "--venue", "usdm", *options, capsys=capsys)
    assert explained.startswith("ok  ")


@pytest.mark.slow("programs are run")
def test_characters_that_the_terminal_lacks_become_ascii() -> None:
    options = ("--duration", "1s", "--speed", "0")
    for command, encoding in (("queries",), "latin-1"), ((*SMALL, *options), "cp1252"):
        with started(*command, encoding=encoding) as process:
            out, err = process.communicate(timeout=PATIENCE_S)
        assert process.returncode == 0, err
        assert "USDS-M" in out


@pytest.mark.slow("programs are run")
def test_json_is_utf_8_on_any_terminal() -> None:
    with started("explain", "Ⓢ@trade", "--json", encoding="latin-1") as process:
        out, err = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 1, err
    explanation = json.loads(out.encode("latin-1"))
    assert explanation["verdicts"][0]["given"] == "Ⓢ@trade"


@pytest.mark.parametrize("name", ["CONTROL_TOKEN", "RELAY_CONTROL_TOKEN", "BUS_PASSWORD"])
def test_a_secret_of_the_environment_is_not_left_to_children(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(f"TICKERPLANT_{name}", "open sesame")
    assert run("explain", "/ws/btcusdt@trade", capsys=capsys)[0] == 0
    assert "open sesame" not in os.environ.values()


@pytest.mark.slow("programs are run")
def test_streams_rest_and_websocket_api_may_have_hosts_of_their_own(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """What a command needs from a role that it was not given fails at a closed port."""
    with contextlib.ExitStack() as stack:
        plant = stack.enter_context(started(*SMALL, "--seed", "7", "--limits", "off"))
        assert plant.stdout is not None
        open_url = plant.stdout.readline().split()[1]

        def hosts(*roles: str, prefix: str = "") -> list[str]:
            given = dict.fromkeys(("stream", "rest", "api"), "ws://127.0.0.1:9")
            given |= dict.fromkeys(roles, open_url)
            return [part for role, url in given.items() for part in (f"--{prefix}{role}-url", url)]

        def done(*arguments: str) -> str:
            status, out, err = run(*arguments, "--venue", "usdm", capsys=capfd)
            assert status == 0, err
            return out

        name = "btcusdt@bookTicker"
        watched = done("watch", name, *hosts("stream"), "--duration", "1s", "--json")
        assert json.loads(watched.splitlines()[0])["stream"] == name
        asked = done("ask", "/fapi/v1/depth", "symbol=BTCUSDT", "limit=5", *hosts("rest"))
        assert json.loads(asked)["bids"]
        asked = done("ask", "ticker.price", "symbol=BTCUSDT", *hosts("api"))
        assert json.loads(asked)["symbol"] == "BTCUSDT"
        out = ("--out", str(tmp_path / "tape"), "--duration", "1s", "--json")
        report = json.loads(done("record", name, *hosts("stream", "rest"), *out))
        assert report["messages"] > 0
        assert report["silent_streams"] == []
        relaying = ("relay", *hosts("stream", "rest", "api", prefix="usdm-"), *FREE_PORTS)
        relay = stack.enter_context(started(*relaying))
        assert relay.stdout is not None
        relayed = relay.stdout.readline().split()[1]
        watched = done("watch", name, "--url", relayed, "--duration", "2s", "--json")
        assert json.loads(watched.splitlines()[0])["stream"] == name
