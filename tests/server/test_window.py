from __future__ import annotations

from gzip import compress
from pathlib import Path

import pytest
from loopback import loopback, looped
from simulated_house import simulated_house

from tickerplant.server.window import (
    CONTENT_SECURITY_POLICY,
    Window,
    read_window,
    wants_page,
    window,
)
from tickerplant.venue import VENUES

BROWSER = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8", "Accept-Encoding": "gzip, br"}
SCRIPT = "app-0123456789ab.js"


@pytest.fixture
def built(tmp_path: Path) -> Window:
    for name, content in {"index.html": b"<html>", SCRIPT: b"start()", "notes.md": b"no"}.items():
        (tmp_path / name).write_bytes(content)
    (tmp_path / f"{SCRIPT}.gz").write_bytes(compress(b"start()"))
    return read_window(tmp_path)


def test_only_files_of_known_types_are_served(built: Window) -> None:
    assert set(built.files) == {"index.html", SCRIPT}
    assert built.response("notes.md", {}) is None
    assert built.response("../window.py", {}) is None
    assert built.build == "0123456789ab"


def test_a_window_that_is_not_built_has_no_files(tmp_path: Path) -> None:
    missing = read_window(tmp_path / "nowhere")
    assert (missing.files, missing.build) == ({}, "")
    assert missing.response("index.html", {}) is None


def test_a_file_is_compressed_for_those_who_accept_it(built: Window) -> None:
    plain, small = built.response(SCRIPT, {}), built.response(SCRIPT, {b"accept-encoding": b"GZIP"})
    assert plain is not None
    assert small is not None
    assert (plain.body, small.body) == (b"start()", compress(b"start()"))
    assert ("Content-Encoding", "gzip") in small.headers
    assert "Content-Encoding" not in dict(plain.headers)
    assert built.response(SCRIPT, {b"accept-encoding": b"gzip;q=0"}) == plain
    assert "Accept-Encoding" in dict(plain.headers)["Vary"]


def test_bundles_are_kept_by_browsers_and_the_page_is_asked_for_again(built: Window) -> None:
    caching = {
        name: dict(response.headers)["Cache-Control"]
        for name in built.files
        if (response := built.response(name, {})) is not None
    }
    assert caching["index.html"] == "no-cache"
    assert "immutable" in caching[SCRIPT]


def test_every_file_forbids_foreign_and_inline_scripts(built: Window) -> None:
    for name in built.files:
        response = built.response(name, {})
        assert response is not None
        headers = dict(response.headers)
        assert headers["Content-Security-Policy"] == CONTENT_SECURITY_POLICY
        assert headers["X-Content-Type-Options"] == "nosniff"
    assert "unsafe" not in CONTENT_SECURITY_POLICY
    assert "default-src 'none'" in CONTENT_SECURITY_POLICY


@pytest.mark.parametrize(
    ("accept", "expected"),
    [(b"text/html", True), (b"*/*", False), (b"", False), (b"application/json", False)],
)
def test_only_who_asks_for_html_gets_the_page(accept: bytes, *, expected: bool) -> None:
    assert wants_page({b"accept": accept}) == expected


@looped
async def test_a_browser_gets_the_window_and_curl_the_addresses() -> None:
    assert window().build, "the window is not built: run `make window`"
    async with loopback() as house:
        for venue in VENUES:
            page = await house.get("/", venue, headers=BROWSER)
            assert page.headers["content-type"] == "text/html; charset=utf-8"
            assert page.headers["content-encoding"] == "gzip"
            text = await house.get("/", venue)
            assert text.headers["content-type"].startswith("text/plain")
            assert "Accept" in text.headers["vary"]
            script = await house.get(f"/window/app-{window().build}.js", venue)
            assert (script.status, script.headers["content-type"]) == (
                200,
                "text/javascript; charset=utf-8",
            )
            missing = await house.get("/window/nothing.js", venue)
            assert missing.status == 404
            assert missing.json == {"error": "the window has no file nothing.js"}


@looped
async def test_a_server_tells_what_it_is() -> None:
    async with simulated_house() as house:
        usdm, coinm = [(await house.get("/plant/v1/server", each)).json for each in VENUES]
        assert (usdm["venue"], usdm["rest_prefix"]) == ("usdm", "/fapi")
        assert (coinm["venue"], coinm["api_path"]) == ("coinm", "/ws-dapi/v1")
        assert usdm["addresses"] == house.server.urls
        assert usdm["controls"] == {
            "clock": True,
            "seek_back": False,
            "faults": True,
            "scenarios": True,
            "levers": True,
        }
        assert usdm["build"] == window().build
    async with loopback() as bare:
        page = (await bare.get("/plant/v1/server")).json
        assert not page["controls"]["clock"]
        assert not page["controls"]["levers"]
