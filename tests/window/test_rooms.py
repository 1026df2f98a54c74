"""The rooms of the window, as whoever opens them finds them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from browsing import Plant, Visits, attribute, eventually, is_live
from playwright.sync_api import expect

pytest_plugins = ["visiting"]
pytestmark = pytest.mark.slow("a browser with a running market")

ROOMS = {
    "market": '[data-testid="chart"][data-last]:not([data-last=""])',
    "plant": '[data-testid="client-row"]',
    "control": '[data-testid="start-flash-crash"]',
}
"""What is in each room when it has loaded."""
PHONE = 390
CONTRAST = Path(__file__).with_name("contrast.js").read_text(encoding="utf-8")


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_loads_without_errors_can_be_read_and_fits_on_a_phone(
    market: Plant, visit: Visits, room: str
) -> None:
    page = visit(market.url, room=f"#/{room}/BTCUSDT")
    page.locator(ROOMS[room]).first.wait_for()
    expect(page.get_by_test_id("feed-state")).to_have_attribute("data-phase", "open")
    assert page.evaluate(CONTRAST) == []
    page.emulate_media(color_scheme="dark")
    eventually(page, lambda: page.evaluate(CONTRAST) == [], "all text can be read in the dark")
    page.set_viewport_size({"width": PHONE, "height": 900})
    eventually(
        page,
        lambda: page.evaluate("document.documentElement.scrollWidth") == PHONE,
        "nothing is wider than a phone",
    )


def test_a_market_at_twice_its_size_scrolls_and_hides_nothing(market: Plant, visit: Visits) -> None:
    page = visit(market.url)
    # What is left of a screen of 1440 by 900 pixels.
    page.set_viewport_size({"width": 720, "height": 450})
    page.locator(ROOMS["market"]).first.wait_for()
    root, facts = page.locator(":root"), page.get_by_role("region", name="Figures")
    for each in (root, facts):
        assert each.evaluate("each => each.scrollWidth - each.clientWidth") == 0
    assert facts.evaluate("each => each.scrollHeight - each.clientHeight") == 0
    assert root.evaluate("each => each.scrollHeight > each.clientHeight")


def test_the_address_of_a_view_opens_the_same_view(market: Plant, visit: Visits) -> None:
    page = visit(market.url, room="#/market/ETHUSDT?interval=5m&sort=symbol")
    eventually(page, lambda: is_live(page), "the chart is shown")
    assert attribute(page, "chart", "data-symbol") == "ETHUSDT"
    assert attribute(page, "chart", "data-interval") == "5m"
    rows = page.get_by_test_id("watch-row")
    assert [row.get_attribute("data-symbol") for row in rows.all()] == ["BTCUSDT", "ETHUSDT"]
    expect(page.locator('[data-symbol="ETHUSDT"][aria-selected="true"]')).to_be_visible()


def test_all_can_be_done_with_keys(market: Plant, visit: Visits) -> None:
    page = visit(market.url)
    eventually(page, lambda: is_live(page), "the chart is shown")
    keys = page.keyboard
    for key, room in (("2", "plant"), ("3", "control"), ("1", "market")):
        keys.press(key)
        page.locator(ROOMS[room]).first.wait_for()
        assert page.evaluate("location.hash").startswith(f"#/{room}/")
    keys.press("/")
    keys.type("eth")
    keys.press("Enter")
    expect(page.get_by_test_id("chart")).to_have_attribute("data-symbol", "ETHUSDT")
    keys.press("]")
    expect(page.get_by_test_id("chart")).to_have_attribute("data-interval", "3m")
    keys.press("[")
    expect(page.get_by_test_id("chart")).to_have_attribute("data-interval", "1m")
    newest = page.get_by_role("button", name="Newest")
    eventually(page, lambda: is_live(page), "the chart is shown")
    keys.press("<")
    expect(newest).to_be_visible()
    keys.press(">")
    expect(newest).to_be_hidden()
    keys.press("?")
    expect(page.get_by_role("dialog", name="Keys")).to_contain_text("Search symbols")
    keys.press("Escape")
    expect(page.get_by_role("dialog", name="Keys")).to_be_hidden()
    assert market.control.clock()["paused"]
    keys.press(" ")
    expect(page.get_by_test_id("clock-state")).not_to_have_text("paused")
    keys.press(" ")
    expect(page.get_by_test_id("clock-state")).to_have_text("paused")
    assert market.control.clock()["paused"]


def test_each_port_shows_its_own_venue_and_links_to_the_other(market: Plant, visit: Visits) -> None:
    page = visit(market.coinm_url, room="")
    eventually(page, lambda: is_live(page), "the chart is shown")
    assert attribute(page, "chart", "data-symbol") == "BTCUSD_PERP"
    link = page.get_by_role("link", name="USDⓈ-M")
    assert link.get_attribute("href") == f"{market.url}/"
    link.click()
    eventually(page, lambda: attribute(page, "chart", "data-symbol") == "BTCUSDT", "USDⓈ-M")


def test_the_rooms_of_operators_ask_for_the_token(visits: Visits) -> None:
    env = {"TICKERPLANT_CONTROL_TOKEN": "sesame"}
    with Plant("simulate", "--seed", "7", "--symbols", "BTCUSDT", "--paused", env=env) as plant:
        page = visits(plant.url, room="#/market/BTCUSDT")
        expect(page.get_by_test_id("feed-state")).to_have_attribute("data-phase", "open")
        expect(page.get_by_label("Token")).to_have_count(0)
        page.keyboard.press("2")
        page.get_by_label("Token").fill("wrong")
        page.get_by_role("button", name="Use it").click()
        expect(page.get_by_label("Token")).to_be_visible()
        page.get_by_label("Token").fill("sesame")
        page.get_by_role("button", name="Use it").click()
        page.get_by_test_id("client-row").first.wait_for()
        expect(page.get_by_label("Token")).to_have_count(0)
        refused = [each for each in visits.problems if "status 401" not in each]
        assert [each for each in refused if not re.search(r"\b401\b", each)] == []
