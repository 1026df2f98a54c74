"""What the market room shows, beside the truth."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import msgspec
import pytest
from browsing import MARKET, Plant, Visits, attribute, eventually, is_live, record
from playwright.sync_api import Page, WebSocket, expect
from programs import PATIENCE_S

pytest_plugins = ["visiting"]
pytestmark = pytest.mark.slow("a browser with a running market")


@pytest.fixture(scope="module")
def exchange() -> Iterator[Plant]:
    """A market that stands still, and tells what was true."""
    with Plant("test-server", *MARKET[2:]) as plant:
        plant.control.step("90s")
        yield plant


@pytest.fixture(scope="module")
def tape(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recording of some minutes."""
    return record(tmp_path_factory.mktemp("window") / "tape")


@pytest.fixture
def replay(tape: Path) -> Iterator[Plant]:
    """A replay that stands still near its end."""
    with Plant("replay", str(tape), "--pace", "event", "--paused") as plant:
        plant.control.set_clock(seek=plant.control.clock()["to_ns"] // 1_000_000 - 200)
        yield plant


def opening(plant: Plant) -> str:
    """Return a script that gives a page the token of a server."""
    return f'sessionStorage.setItem("tickerplant-token", "{plant.ready.token}")'


def rest(plant: Plant, path: str) -> Any:
    line = HTTPConnection(plant.url.removeprefix("http://"), timeout=PATIENCE_S)
    try:
        line.request("GET", path)
        return msgspec.json.decode(line.getresponse().read())
    finally:
        line.close()


def levels(page: Page, side: str) -> list[tuple[float, float]]:
    """Return the prices and quantities of a side of the ladder, the best first."""
    rows = page.evaluate(
        """(side) => [...document.querySelectorAll(`[data-testid=ladder-row][data-side=${side}]`)]
            .map(({ dataset }) => [Number(dataset.price), Number(dataset.quantity)])""",
        side,
    )
    return sorted(((price, quantity) for price, quantity in rows), reverse=side == "bid")


def has_gone_on(page: Page, update_id: str) -> bool:
    """Return whether the ladder is live, and past an update."""
    is_live = attribute(page, "ladder", "data-state") == "live"
    return is_live and attribute(page, "ladder", "data-u") not in {"", update_id}


def test_the_last_candle_ends_at_the_price_of_the_stream_and_of_the_exchange(
    exchange: Plant, visits: Visits
) -> None:
    page = visits(script=opening(exchange))
    candles: list[dict[str, Any]] = []

    def heard(frame: str | bytes) -> None:
        message = msgspec.json.decode(frame)
        if "btcusdt@kline_1m" in message.get("stream", ""):
            candles.append(message["data"]["k"])

    def opened(line: WebSocket) -> None:
        line.on("framereceived", heard)

    page.on("websocket", opened)
    page.goto(f"{exchange.url}/#/market/BTCUSDT")
    eventually(page, lambda: is_live(page), "the chart is shown")
    before = len(candles)
    exchange.control.step("5s")
    [true] = rest(exchange, "/fapi/v1/klines?symbol=BTCUSDT&interval=1m&limit=1")
    last = exchange.control.truth_trades("BTCUSDT")["trades"][-1]
    eventually(
        page,
        lambda: (
            len(candles) > before
            and float(attribute(page, "chart", "data-last")) == float(candles[-1]["c"])
        ),
        "the chart has the price of the stream",
    )
    assert float(candles[-1]["c"]) == float(true[4])
    assert attribute(page, "chart", "data-last-ms") == str(true[0])
    eventually(
        page,
        lambda: float(attribute(page, "last-price", "data-value")) == float(last["price"]),
        "the last price is that of the last trade",
    )
    assert visits.problems == []


def test_the_ladder_is_the_book_of_the_exchange_at_the_same_update(
    exchange: Plant, visit: Visits
) -> None:
    page = visit(exchange.url, script=opening(exchange))
    eventually(page, lambda: is_live(page), "the chart is shown")
    seen = set()
    for _ in range(3):
        before = attribute(page, "ladder", "data-u")
        exchange.control.step("2s")
        eventually(
            page,
            partial(has_gone_on, page, before),
            "the book goes on",
        )
        page.wait_for_load_state("networkidle")
        update_id = int(attribute(page, "ladder", "data-u"))
        seen.add(update_id)
        true = exchange.control.truth_book("BTCUSDT", update_id)
        for side, wanted in (("bid", true["bids"]), ("ask", true["asks"])):
            shown = levels(page, side)
            assert len(shown) >= 5
            assert shown == [(float(p), float(q)) for p, q in wanted[: len(shown)]]
    assert len(seen) == 3


def test_a_seek_moves_the_chart_the_book_and_the_clock(replay: Plant, visits: Visits) -> None:
    page = visits(replay.url)
    eventually(page, lambda: is_live(page), "the chart is shown")
    late_ms = int(attribute(page, "chart", "data-last-ms"))
    box = page.get_by_test_id("seek").bounding_box()
    assert box is not None
    page.get_by_test_id("seek").click(position={"x": box["width"] / 3, "y": box["height"] / 2})
    eventually(
        page,
        lambda: int(attribute(page, "chart", "data-last-ms") or late_ms) < late_ms,
        "the chart goes back",
    )
    [true] = rest(replay, "/fapi/v1/klines?symbol=BTCUSDT&interval=1m&limit=1")
    eventually(
        page,
        lambda: float(attribute(page, "chart", "data-last") or 0) == float(true[4]),
        "it has the price of the exchange",
    )
    assert attribute(page, "chart", "data-last-ms") == str(true[0])
    position = int(attribute(page, "clock-time", "data-time-ms"))
    assert position < late_ms
    page.get_by_test_id("seek").press("End")
    eventually(
        page,
        lambda: int(attribute(page, "chart", "data-last-ms") or 0) >= late_ms,
        "the chart goes forward",
    )


def test_the_end_of_a_replay_is_said_and_it_can_be_played_again(tape: Path, visits: Visits) -> None:
    with Plant("replay", str(tape), "--pace", "event", "--from", "-200ms") as plant:
        page = visits(plant.url)
        state = page.get_by_test_id("clock-state")
        expect(state).to_have_text("over")
        expect(page.get_by_test_id("pause")).to_have_attribute("aria-label", "Play again")
        eventually(page, lambda: is_live(page), "the chart is shown")
        page.keyboard.press("3")
        expect(page.get_by_role("button", name="+1m")).to_be_disabled()
        expect(page.get_by_role("button", name="\N{MINUS SIGN}1m")).to_be_enabled()
        page.keyboard.press("1")
        page.get_by_test_id("pause").click()
        expect(state).not_to_have_text("over")
        expect(state).to_have_text("over")


def test_a_server_that_ends_with_its_replay_is_said(tape: Path, visits: Visits) -> None:
    with Plant(
        "replay", str(tape), "--pace", "event", "--from", "-200ms", "--exit-at-end"
    ) as plant:
        page = visits(plant.url)
        expect(page.get_by_test_id("feed-state")).to_have_attribute("data-phase", "over")
        expect(page.get_by_test_id("banner")).to_contain_text("The streams are over")
        expect(page.get_by_test_id("chart")).to_be_visible()
