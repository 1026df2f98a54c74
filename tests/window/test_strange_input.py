"""What others send and choose: answers, messages and text that are not what they should be.

The page says so and stays; it shows text, and never runs it.
"""

from __future__ import annotations

from urllib.parse import quote

import msgspec
import pytest
from browsing import MARKET, Plant, Visits, attribute, eventually, is_live
from connecting import connect_blocking as connect
from playwright.sync_api import Error, Page, Route, expect
from programs import PATIENCE_S

from tickerplant.server.window import CONTENT_SECURITY_POLICY

pytest_plugins = ["visiting"]
pytestmark = pytest.mark.slow("a browser with a running market")

PROXY_PAGE = "<html><b>Please log in</b>"
SAID_FOR_MS = 16_000
"""Longer than a page says that a message was wrong."""
CONTENT_FAULTS = ("missing_field", "words", "numbers", "fields")
HOSTILE = "<img src=x onerror=window.pwned=1>"
INLINE = """() => new Promise((resolve) => {
  addEventListener("securitypolicyviolation", (event) => resolve(event.effectiveDirective));
  const script = document.createElement("script");
  script.textContent = "window.pwned = 1";
  document.body.append(script);
  setTimeout(() => resolve("nothing was refused"), 5_000);
})"""


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
        page = visit()
        page.clock.install()
        page.goto(f"{plant.url}/#/market/BTCUSDT")
        eventually(page, lambda: is_live(page), "a chart is shown")
        plant.control.add_fault({"kind": "garbage", "mean": "1s"})
        for kind in CONTENT_FAULTS:
            plant.control.add_fault({"kind": kind, "share": 0.3})
        plant.control.set_clock(paused=False)
        expect(page.get_by_test_id("banner")).to_contain_text("no JSON object")
        plant.control.remove_fault()
        page.clock.fast_forward(SAID_FOR_MS)
        expect(page.get_by_test_id("banner")).to_be_empty()
        eventually(page, lambda: is_live(page), "the chart goes on")


def assert_nothing_ran(page: Page) -> None:
    assert page.evaluate("window.pwned") is None
    assert page.locator("img").count() == 0


def test_what_a_client_says_of_itself_is_shown_as_text(market: Plant, visit: Visits) -> None:
    url = f"{market.url.replace('http', 'ws')}/ws/btcusdt@trade?name={quote(HOSTILE)}"
    request = {"method": "SUBSCRIBE", "params": [f"{HOSTILE}@trade"], "id": 1}
    with connect(url, user_agent_header=HOSTILE) as line:
        line.send(msgspec.json.encode(request).decode())
        line.recv(timeout=PATIENCE_S)
        page = visit(market.url, room="#/plant")
        row = page.get_by_test_id("client-row").filter(has_text=HOSTILE)
        expect(row).to_be_visible()
        assert_nothing_ran(page)


def test_a_contract_that_the_address_names_is_shown_as_text(market: Plant, visits: Visits) -> None:
    page = visits(market.url, room=f"#/market/{quote(HOSTILE, safe='')}?interval={quote(HOSTILE)}")
    expect(page.get_by_test_id("banner")).to_contain_text(f"no contract {HOSTILE}")
    expect(page.get_by_label("Chart", exact=True)).to_contain_text(f"no interval “{HOSTILE}”")
    eventually(page, lambda: attribute(page, "chart", "data-last") != "", "a chart is shown")
    assert_nothing_ran(page)


def test_an_error_of_the_server_is_shown_as_text(market: Plant, visits: Visits) -> None:
    page = visits()

    def refuse(route: Route) -> None:
        route.fulfill(status=400, json={"code": -1121, "msg": HOSTILE})

    page.route("**/fapi/v1/klines?*", refuse)
    page.goto(f"{market.url}/#/market/BTCUSDT")
    expect(page.get_by_label("Chart", exact=True)).to_contain_text(HOSTILE)
    assert_nothing_ran(page)


def test_a_script_that_gets_into_the_page_does_not_run(market: Plant, visits: Visits) -> None:
    page = visits()
    response = page.goto(f"{market.url}/#/market/BTCUSDT")
    assert response is not None
    assert response.headers["content-security-policy"] == CONTENT_SECURITY_POLICY
    assert page.evaluate(INLINE) == "script-src-elem"
    assert_nothing_ran(page)


def test_a_page_of_another_origin_reads_the_market_and_nothing_of_the_server(
    market: Plant, visits: Visits
) -> None:
    page = visits()
    page.goto(f"{market.coinm_url}/dapi/v1/time")
    ask = """async ([url, headers]) => {
      const answer = await fetch(url, { headers });
      return [answer.status, answer.headers.get("x-mbx-used-weight-1m") !== null];
    }"""
    for path, status in (("exchangeInfo", 200), ("trades?symbol=NONESUCH", 400), ("nothing", 404)):
        seen = page.evaluate(ask, [f"{market.url}/fapi/v1/{path}", {"X-MBX-APIKEY": "any"}])
        assert seen == [status, status != 404]
    with pytest.raises(Error, match="Failed to fetch"):
        page.evaluate(ask, [f"{market.url}/plant/v1/server", {}])
