"""Text that others choose, which the window shows and never runs."""

from __future__ import annotations

from urllib.parse import quote

import msgspec
import pytest
from browsing import Plant, Visits, attribute, eventually
from playwright.sync_api import Page, Route, expect
from programs import PATIENCE_S
from websockets.sync.client import connect

from tickerplant.server.window import CONTENT_SECURITY_POLICY

pytest_plugins = ["visiting"]
pytestmark = [pytest.mark.sockets, pytest.mark.heavy]

HOSTILE = "<img src=x onerror=window.pwned=1>"
INLINE = """() => new Promise((resolve) => {
  addEventListener("securitypolicyviolation", (event) => resolve(event.effectiveDirective));
  const script = document.createElement("script");
  script.textContent = "window.pwned = 1";
  document.body.append(script);
  setTimeout(() => resolve("nothing was refused"), 5_000);
})"""


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
