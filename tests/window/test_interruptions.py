"""What the window does when the server, the network, or the browser does not do its part."""

from __future__ import annotations

import pytest
from browsing import MARKET, Plant, Visits, attribute, eventually, is_live
from playwright.sync_api import Page, Route, expect
from reverse_proxy import ReverseProxy

pytest_plugins = ["visiting"]
pytestmark = pytest.mark.slow("a browser with a running market")

WITHOUT_WEBSOCKET = "delete window.WebSocket"
HIDE = """(isHidden) => {
  Object.defineProperty(document, "hidden", { value: isHidden, configurable: true });
  document.dispatchEvent(new Event("visibilitychange"));
}"""
SLOW = """
  const parse = JSON.parse;
  window.costMs = 0;
  JSON.parse = (text) => {
    const until = performance.now() + window.costMs;
    while (performance.now() < until);
    return parse(text);
  };
"""
"""A machine to which each message is a burden."""


LONGEST_PAUSE_MS = 11_000
"""Longer than a page waits before it connects again, and asks the server what it is."""


def exceptions(visits: Visits) -> list[str]:
    return [each for each in visits.problems if each.startswith("exception")]


def expect_phase(page: Page, phase: str) -> None:
    expect(page.get_by_test_id("feed-state")).to_have_attribute("data-phase", phase)


def windows(plant: Plant) -> list[str]:
    """Return the paths of connections of pages."""
    return [path for path in plant.paths if "window=" in path]


def test_a_killed_server_is_said_and_recovered_from_also_with_other_symbols(
    visits: Visits,
) -> None:
    with Plant(*MARKET) as plant:
        plant.control.step("1m")
        ports = plant.ports
        page = visits()
        page.clock.install()
        page.goto(f"{plant.url}/#/market/BTCUSDT")
        eventually(page, lambda: is_live(page), "the chart is shown")
    expect_phase(page, "waiting")
    banner = page.get_by_test_id("banner")
    expect(banner).to_contain_text("Disconnected")
    assert attribute(page, "chart", "data-last") != ""
    others = (*MARKET[:-1], "SOLUSDT,BTCUSD_PERP")
    with Plant(*others, ports=ports) as plant:
        plant.control.step("1m")
        page.clock.fast_forward(LONGEST_PAUSE_MS)
        expect_phase(page, "open")
        expect(banner).to_contain_text("This server has no contract BTCUSDT")
        expect(banner).not_to_contain_text("Disconnected")
        eventually(page, lambda: attribute(page, "chart", "data-symbol") == "SOLUSDT", "SOLUSDT")
        eventually(page, lambda: is_live(page), "its chart is shown")
        rows = page.get_by_test_id("watch-row")
        expect(rows).to_have_count(1)
        expect(rows).to_have_attribute("data-symbol", "SOLUSDT")
    assert exceptions(visits) == []


def test_a_browser_without_websocket_is_told_so_and_sees_the_past(
    market: Plant, visit: Visits
) -> None:
    page = visit(market.url, script=WITHOUT_WEBSOCKET)
    expect_phase(page, "unsupported")
    expect(page.get_by_test_id("banner")).to_contain_text("This browser has no WebSocket")
    eventually(page, lambda: attribute(page, "chart", "data-last") != "", "past candles are shown")


def test_all_works_behind_a_proxy_at_a_path(market: Plant, visit: Visits) -> None:
    with ReverseProxy(market.url, "/plant/") as proxy:
        page = visit(proxy.url)
        eventually(page, lambda: is_live(page), "the chart is shown")
        page.keyboard.press("3")
        page.get_by_test_id("pause").click()
        expect(page.get_by_test_id("clock-state")).to_contain_text("playing")
        page.get_by_test_id("pause").click()
        expect(page.get_by_test_id("clock-state")).to_contain_text("paused")
        page.keyboard.press("2")
        page.get_by_test_id("client-row").first.wait_for()
        page.goto("about:blank")


def test_a_path_without_its_slash_is_said(market: Plant, visits: Visits) -> None:
    with ReverseProxy(market.url, "/plant/") as proxy:
        page = visits()
        page.goto(proxy.url.removesuffix("/"))
        expect(page.locator("body")).to_contain_text("open the address with a slash at its end")


def test_a_proxy_that_passes_no_websocket_on_is_said(market: Plant, visits: Visits) -> None:
    with ReverseProxy(market.url, "/plant/", refuses_upgrades=True) as proxy:
        page = visits(proxy.url)
        expect_phase(page, "waiting")
        expect(page.get_by_test_id("banner")).to_contain_text("a proxy does not pass WebSocket on")
        eventually(page, lambda: attribute(page, "chart", "data-last") != "", "past candles")
        page.goto("about:blank")
    assert exceptions(visits) == []


def test_another_build_of_the_page_is_said(market: Plant, visit: Visits) -> None:
    page = visit()
    server = page.request.get(f"{market.url}/plant/v1/server").json()

    def newer(route: Route) -> None:
        route.fulfill(json={**server, "build": "0123456789ab"})

    page.route("**/plant/v1/server", newer)
    page.goto(f"{market.url}/#/market/BTCUSDT")
    banner = page.get_by_test_id("banner")
    expect(banner).to_contain_text("another version of this page")
    page.unroute("**/plant/v1/server")
    banner.get_by_role("button", name="Reload").click()
    eventually(page, lambda: is_live(page), "the page is loaded again")
    expect(banner).not_to_contain_text("another version of this page")


def test_a_slow_page_asks_for_the_latest_only_and_says_so(visits: Visits) -> None:
    with Plant("simulate", "--paused", "--seed", "7", "--symbols", "BTCUSDT") as plant:
        plant.control.step("2s")
        page = visits(plant.url, script=SLOW)
        eventually(page, lambda: is_live(page), "the chart is shown")
        assert attribute(page, "feed-state", "data-conflated") == "false"
        plant.control.set_clock(paused=False)
        page.evaluate("window.costMs = 100")
        state = page.get_by_test_id("feed-state")
        expect(state).to_have_attribute("data-conflated", "true", timeout=30_000)
        page.evaluate("window.costMs = 0")
        expect(state).to_contain_text("latest only")
        eventually(
            page,
            lambda: ["delivery=latest" in path for path in windows(plant)] == [True],
            "one connection, which asks for the latest",
        )
    assert exceptions(visits) == []


def test_a_hidden_page_costs_the_server_nothing_until_it_is_shown(
    market: Plant, visit: Visits
) -> None:
    page = visit()
    page.clock.install()
    page.goto(f"{market.url}/#/market/BTCUSDT")
    expect_phase(page, "open")
    eventually(page, lambda: len(windows(market)) == 1, "the page is connected")
    page.evaluate(HIDE, True)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.clock.fast_forward(LONGEST_PAUSE_MS)
    expect_phase(page, "hidden")
    eventually(page, lambda: windows(market) == [], "the page has left")
    asked.clear()
    page.clock.run_for(30_000)
    assert asked == []
    page.evaluate(HIDE, False)
    expect_phase(page, "open")
    eventually(page, lambda: len(windows(market)) == 1, "the page is connected again")
