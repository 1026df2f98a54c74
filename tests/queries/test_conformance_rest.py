"""Responses compared with documented examples and with golden responses.

Golden responses are complete responses of markets with every kind of event;
`WRITE_GOLDENS=1` writes them again.
"""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path
from typing import Any

import msgspec
import pytest
from golden_requests import BY_NAME, GOLDENS, REQUESTS, GoldenRequest, golden_path
from json_shape import shape
from sample_markets import sample_plant

from tickerplant.errors import RequestError
from tickerplant.market.markets import Markets
from tickerplant.profile import CURRENT, P2026Q1, PROFILES, Profile
from tickerplant.queries import find_method
from tickerplant.venue import USDM

EXAMPLES = Path(__file__).parents[2].parent / "shared" / "protocol" / "examples"
WRITES = "WRITE_GOLDENS" in os.environ

ELSEWHERE = {
    "rest.error.unknown_path_testnet": "who knows no path asks nothing; the server answers",
    "wsapi.session.status.request": "a session is a conversation",
    "wsapi.session.status.response": "a session is a conversation",
    "wsapi.error.rate_limited": "budgets are kept by conversations",
    "wsapi.error.banned": "budgets are kept by conversations",
    "wsapi.error.session_revoked": "a session is a conversation",
}
"""Example responses without a request, each with the reason."""

OF_REQUESTS = frozenset({"id", "method", "params"})


def manifest() -> list[dict[str, Any]]:
    """Return the rows about REST and the WebSocket API; none where there are no examples."""
    path = EXAMPLES / "manifest.json"
    if not path.exists():
        return []
    rows: list[dict[str, Any]] = msgspec.json.decode(path.read_bytes())["files"]
    return [row for row in rows if row["kind"] in {"rest", "ws-api"}]


EXAMPLE_ROWS = manifest()
needs_examples = pytest.mark.skipif(
    not EXAMPLE_ROWS, reason="the captures are not beside the repository"
)


def named(file: str) -> tuple[str, str]:
    """Return the venue and the name of an example."""
    venue, _, name = file.removesuffix(".json").partition("/")
    return venue, name.removesuffix(".current")


def example(row: dict[str, Any]) -> Any:
    return msgspec.json.decode((EXAMPLES / row["file"]).read_bytes())


@lru_cache(maxsize=len(PROFILES))
def markets_of(profile: Profile) -> dict[str, Markets]:
    return sample_plant(profile).venues


def response(golden_request: GoldenRequest, profile: Profile) -> bytes:
    markets = markets_of(profile)[golden_request.venue.name]
    return msgspec.json.encode(golden_request.query.respond(markets, golden_request.raw))


@needs_examples
@pytest.mark.parametrize(
    "row",
    [
        row
        for row in EXAMPLE_ROWS
        if named(row["file"]) in BY_NAME and not row["file"].endswith(".request.json")
    ],
    ids=lambda row: row["file"],
)
def test_a_response_has_the_shape_of_the_example(row: dict[str, Any]) -> None:
    golden_request = BY_NAME[named(row["file"])]
    profile = PROFILES[row.get("profile", P2026Q1.name)]
    theirs, ours = example(row), msgspec.json.decode(response(golden_request, profile))
    if row["kind"] == "ws-api":
        theirs = theirs["result"]
    if row["file"].endswith("fundingInfo.current.json"):
        ours = [each for each in ours if each["updateTime"]]  # the example begins with such a row
    assert shape(ours, golden_request.name) == shape(
        theirs, golden_request.name, row.get("wire_order")
    )


@needs_examples
@pytest.mark.parametrize("name", ["invalid_symbol", "missing_param", "bad_depth_limit"])
def test_a_refusal_is_that_of_the_example(name: str) -> None:
    raw: dict[str, dict[str, object]] = {
        "invalid_symbol": {"symbol": "NOPEUSDT"},
        "missing_param": {},
        "bad_depth_limit": {"symbol": "BTCUSDT", "limit": 7},
    }
    rows = [row for row in EXAMPLE_ROWS if named(row["file"])[1].endswith(f"error.{name}")]
    assert rows, "there is an example"
    for row in rows:
        venue, kind = named(row["file"])[0], row["kind"]
        with pytest.raises(RequestError) as refused:
            BY_NAME[venue, "rest.depth"].query.respond(markets_of(P2026Q1)[venue], raw[name])
        theirs = example(row) if kind == "rest" else example(row)["error"]
        assert {"code": refused.value.code, "msg": refused.value.message} == theirs
        assert refused.value.status == (
            row.get("http_status") if kind == "rest" else example(row)["status"]
        )


@needs_examples
def test_requests_name_methods_and_parameters_that_there_are() -> None:
    for row in EXAMPLE_ROWS:
        if row["file"].endswith(".request.json") and named(row["file"])[1] not in ELSEWHERE:
            request = example(row)
            assert set(request) <= OF_REQUESTS
            query = find_method(USDM, request["method"])
            assert query is not None, f"there is {request['method']}"
            of_query = {param.name for param in query.params}
            assert set(request.get("params", ())) <= of_query | {"returnRateLimits"}


@needs_examples
def test_every_example_is_requested_here_or_elsewhere() -> None:
    left = {
        row["file"]
        for row in EXAMPLE_ROWS
        if named(row["file"]) not in BY_NAME
        and named(row["file"])[1] not in ELSEWHERE
        and not row["file"].endswith(".request.json")
        and ".error." not in row["file"]
    }
    assert not left
    names = {named(row["file"])[1] for row in EXAMPLE_ROWS}
    assert set(ELSEWHERE) <= names, "no reason without an example"


@pytest.mark.parametrize("profile", PROFILES.values(), ids=lambda profile: profile.name)
@pytest.mark.parametrize(
    "golden_request", REQUESTS, ids=lambda each: f"{each.venue.name}-{each.name}"
)
def test_a_response_equals_the_golden_one(golden_request: GoldenRequest, profile: Profile) -> None:
    """A later profile has its own golden response only if it differs from the first."""
    text = msgspec.json.format(response(golden_request, profile), indent=1).decode() + "\n"
    first, own = golden_path(golden_request, P2026Q1), golden_path(golden_request, profile)
    if WRITES:
        own.unlink(missing_ok=True)
        if profile is P2026Q1 or text != first.read_text(encoding="utf-8"):
            own.parent.mkdir(parents=True, exist_ok=True)
            own.write_text(text, encoding="utf-8")
    golden = own if own.exists() else first
    assert text == golden.read_text(encoding="utf-8"), f"as {golden} says"


def test_every_golden_response_belongs_to_a_request() -> None:
    paths = {
        golden_path(golden_request, profile)
        for golden_request in REQUESTS
        for profile in PROFILES.values()
    }
    assert set(GOLDENS.rglob("*.json")) <= paths, "a golden that nobody asks for"
    later = GOLDENS / USDM.name / CURRENT.name
    assert (later / "rest.fundingRate.json").exists(), "profiles differ"
