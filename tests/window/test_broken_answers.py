"""Answers and messages that are not what they should be: the page says so, and stays."""

from __future__ import annotations

import pytest
from browsing import MARKET, Plant, Visits, eventually, is_live
from playwright.sync_api import Page, Route, expect

pytest_plugins = ["visiting"]
pytestmark = [pytest.mark.sockets, pytest.mark.heavy]

PROXY_PAGE = "<html><b>Please log in</b>"
CONTENT_FAULTS = ("missing_field", "words", "numbers", "fields")


def answered(page: Page, path: str, body: str, content_type: str) -> None:
    """Let requests of a path be answered with 200 and a body."""

    def answer(route: Route) -> None:
        route.fulfill(status=200, content_type=content_type, body=body)

    page.route(path, answer)


def test_a_page_of_a_proxy_in_place_of_every_answer_is_said(
    market: Plant, visits: Visits, visit: Visits
) -> None:
    page = visits()
    for path in ("**/plant/v1/*", "**/fapi/v1/*"):
        answered(page, path, PROXY_PAGE, "text/html")
    page.goto(f"{market.url}/#/market/BTCUSDT")
    expect(page.get_by_test_id("banner")).to_contain_text("is not JSON")
    for key in "23":
        page.keyboard.press(key)
    expect(page.get_by_text("The server has not said yet what can be controlled.")).to_be_visible()
    assert visit.problems == [], "nothing is thrown"


def test_a_part_that_cannot_be_drawn_leaves_the_others(market: Plant, visit: Visits) -> None:
    page = visit()
    answered(page, "**/plant/v1/nodes", '{"nodes": 5}', "application/json")
    page.goto(f"{market.url}/#/plant")
    expect(page.get_by_text("This part cannot be shown")).to_be_visible()
    expect(page.get_by_test_id("client-row")).to_be_visible()
    page.unroute("**/plant/v1/nodes")
    eventually(page, lambda: tried_again(page), "the part is shown")


def tried_again(page: Page) -> bool:
    """Press what draws a part again; return whether all parts are shown."""
    retry = page.get_by_role("button", name="Try again")
    if retry.count() == 0:
        return True
    retry.first.click()
    page.wait_for_timeout(300)
    return False


def test_wrong_messages_are_left_out_and_the_page_goes_on(visit: Visits) -> None:
    with Plant(*MARKET) as plant:
        plant.control.step("60s")
        page = visit(plant.url)
        eventually(page, lambda: is_live(page), "a chart is shown")
        plant.control.add_fault({"kind": "garbage", "mean": "1s"})
        for kind in CONTENT_FAULTS:
            plant.control.add_fault({"kind": kind, "share": 0.3})
        plant.control.set_clock(paused=False)
        expect(page.get_by_test_id("banner")).to_contain_text("no JSON object")
        plant.control.remove_fault()
        expect(page.get_by_test_id("banner")).to_be_empty(timeout=30_000)
        eventually(page, lambda: is_live(page), "the chart goes on")
