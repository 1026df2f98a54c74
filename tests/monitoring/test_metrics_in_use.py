from __future__ import annotations

import contextlib
import json
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from alert_rules import alerts
from connecting import connect_blocking as connect
from exposition import Families, exposed, fill_in, get, joined, wrong_in
from programs import COINM, PATIENCE_S, USDM, run, serving
from test_alerts import cases
from test_dashboard import BOARD, targets
from websockets.exceptions import InvalidStatus

pytestmark = pytest.mark.slow("five programs are run, and tell their metrics a moment later")
MARKET = ("simulate", "--seed", "7", "--symbols", "BTCUSDT,BTCUSD_PERP", "--quoting", "0.1")
TROUBLED = (
    *("connections_closed_total{", "handshakes_refused_total{"),
    *("control_errors_total{", "complaints_total{"),
)
"""What `trouble` leaves behind."""


@pytest.fixture(scope="module")
def families(tmp_path_factory: pytest.TempPathFactory) -> Families:
    """What `/metrics` has: of a simulation, a relay of it, a replay, and a market with workers."""
    folder = tmp_path_factory.mktemp("metrics")
    with contextlib.ExitStack() as servers:
        near = servers.enter_context(serving(*MARKET))
        url = f"ws://{near[USDM]}"
        run(record(folder / "tape"), folder)
        relay = servers.enter_context(
            serving("relay", "--usdm-url", url, "--coinm-url", f"ws://{near[COINM]}")
        )
        replay = servers.enter_context(serving("replay", str(folder / "tape"), "--speed", "0.1"))
        workers = servers.enter_context(serving(*MARKET, "--workers", "2"))
        servers.enter_context(trouble(near[USDM]))
        servers.enter_context(trouble(workers[USDM]))
        with connect(f"ws://{replay[USDM]}/ws/btcusdt@trade"):  # it waits for one
            pages = [
                printed(near[USDM], "source_speed_held", *TROUBLED),
                printed(relay[USDM], "upstream_streams{"),
                printed(replay[USDM], "replay_paced_total"),
                printed(workers[USDM], "connections_by_delivery{", *TROUBLED),
            ]
    families = joined(*map(exposed, pages))
    fill_in(families)
    return families


def record(tape: Path) -> list[str]:
    ports = ("--usdm-port", "0", "--coinm-port", "0", "--log-level", "error")
    options = ("--record", str(tape), "--duration", "3s", "--speed", "0")
    return ["-m", "tickerplant", *MARKET, *options, *ports]


@contextlib.contextmanager
def trouble(address: str) -> Iterator[None]:
    """Do what is counted with a label only once it happened; stay connected in the meantime."""
    get(address, "/fapi/v1/depth?symbol=NOPE")
    with pytest.raises(InvalidStatus):
        connect(f"ws://{address}/nowhere")
    with connect(f"ws://{address}/ws") as client:
        for method, params in (("SUBSCRIBE", ["btcusdt@typo"]), ("GET_PROPERTY", [1])):
            client.send(json.dumps({"method": method, "params": params, "id": 1}))
            client.recv()
    with connect(f"ws://{address}/ws/btcusdt@trade"):
        yield


def printed(address: str, *samples: str) -> str:
    """Return the metrics of a server once they have samples; workers tell theirs a moment later."""
    deadline_s = time.monotonic() + PATIENCE_S
    while True:
        page = get(address, "/metrics")
        missing = [each for each in samples if f"\ntickerplant_{each}" not in page]
        if not missing:
            return page
        assert time.monotonic() < deadline_s, f"{address} has no {missing}:\n{page}"
        time.sleep(0.1)


def test_every_expression_uses_metrics_and_labels_that_servers_have(families: Families) -> None:
    expressions = [expression for _, expression, _ in targets()]
    queries = [each["definition"] for each in BOARD["templating"]["list"] if "definition" in each]
    assert len(expressions) > 90
    assert not [wrong for each in (*expressions, *queries) for wrong in wrong_in(each, families)]


def test_the_worker_is_chosen_exactly_where_workers_have_numbers_of_their_own(
    families: Families,
) -> None:
    own = {"tickerplant_connections_open", "tickerplant_publish_to_write_seconds_bucket"}
    plants = {"tickerplant_source_ready", "tickerplant_books_live", "tickerplant_bus_edges"}
    for name in (*own, *plants):
        assert "worker" in families[name].labels
        chosen = {"$worker" in each for _, each, _ in targets() if f"{name}{{" in each}
        assert chosen == {name in own}, name


def test_rules_and_their_cases_use_metrics_and_labels_that_servers_have(families: Families) -> None:
    wrong = [each for rule in alerts() for each in wrong_in(rule.expr, families)]
    for case in cases():
        for each in case.input_series:
            name, _, labels = each.series.partition("{")
            if name != "up":
                given = set(re.findall(r"(\w+)=", labels)) - {"job", "instance"}
                wrong += [f"{name} has no {label}" for label in given - families[name].labels]
    assert not wrong
