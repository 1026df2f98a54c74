"""`explain` against a real hub and real queries; `goldens/commands/explain.txt` has its words."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tickerplant.errors import RequestError
from tickerplant.explain.catalogue import weight_range, weight_text
from tickerplant.explain.verdict import Verdict, explain
from tickerplant.hub.hub import UNKNOWN_SYMBOL
from tickerplant.plant import Plant
from tickerplant.profile import CURRENT, P2026Q1, PROFILES, Profile
from tickerplant.protocol.target import ROUTES
from tickerplant.queries import QUERIES, find_path
from tickerplant.simulation.instruments import instruments
from tickerplant.streams import CATALOGUE
from tickerplant.venue import VENUES, Venue

START_MS = 1_767_225_600_000
SYMBOLS = ("btcusdt", "btcusd_perp", "btcusd", "BTCUSDT", "btcusdt_perpetual", "")


def verdict(text: str, profile: Profile = P2026Q1, venue: Venue | None = None) -> Verdict:
    (found,) = explain([text], profile, venue=venue).verdicts
    return found


def plant(profile: Profile, *, strict: bool = False) -> Plant:
    listed = instruments(START_MS, ["BTCUSDT", "BTCUSD_PERP"])
    return Plant(listed, start_ms=START_MS, profile=profile, strict_routing=strict)


class Client:
    """A subscriber that never receives anything."""

    def write(self, data: bytes) -> None:
        """Ignore `data`."""


@st.composite
def names(draw: st.DrawFn) -> str:
    """Names of the catalogue, with symbols of either venue, and such that nearly are."""
    row = draw(st.sampled_from(CATALOGUE))
    parts = row.pattern.parts.items()
    name = row.pattern.name(
        **{part: draw(st.sampled_from(choices or SYMBOLS)) for part, choices in parts}
    )
    return draw(st.sampled_from([name, name, name, name.upper(), f"{name}x", name[1:]]))


@pytest.mark.heavy
@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize("profile", PROFILES.values(), ids=lambda profile: profile.name)
def test_the_verdict_on_a_stream_is_what_a_real_hub_does(profile: Profile, strict: bool) -> None:
    real = plant(profile, strict=strict)
    later = "listed later: indices of assets, contracts on an index, dated contracts"

    @given(names(), st.sampled_from(VENUES), st.sampled_from(["", *ROUTES]))
    def check(name: str, venue: Venue, route: str) -> None:
        path = f"{route and '/'}{route}/stream?streams={name}"
        (found,) = explain([path], profile, strict=strict, venue=venue).verdicts
        if not found.streams:
            return
        (stream,) = found.streams
        hub = real.hubs[venue.name]
        silent = hub.subscribe(Client(), [stream.given], route).get(stream.given, "")
        if silent == UNKNOWN_SYMBOL and stream.outcome == "ok":
            assert any(word in name for word in ("assetIndex", "compositeIndex", "_")), later
            return
        assert stream.reason.partition(":")[0] * (stream.outcome == "silent") == silent
        assert (stream.speed_ms is None) == silent.startswith("unknown stream")

    check()


@pytest.mark.heavy
@pytest.mark.parametrize("profile", PROFILES.values(), ids=lambda profile: profile.name)
def test_the_verdict_on_a_request_is_what_a_real_query_does(profile: Profile) -> None:
    real = plant(profile)
    values = st.sampled_from(["BTCUSDT", "BTCUSD_PERP", "5", "7", "1m", "0", "-1", "x", ""])
    keys = sorted({param.name for query in QUERIES for param in query.params})

    @given(
        st.sampled_from(VENUES),
        st.sampled_from(QUERIES),
        st.dictionaries(st.sampled_from(keys), values, max_size=3),
    )
    def check(venue: Venue, query: object, params: dict[str, str]) -> None:
        assert isinstance(query, type(QUERIES[0]))
        if not (path := query.path_on(venue)):
            return
        text = "&".join(f"{key}={value}" for key, value in params.items())
        found = verdict(f"{path}?{text}", profile, venue)
        row = find_path(venue, path)
        assert row is not None
        assert found.weight == row.weigh_over_rest(params, profile)
        errors = list(refusals(real, venue, row.params, params))
        assert (found.outcome == "refused") == bool(errors), errors

    check()


def refusals(
    real: Plant, venue: Venue, rows: tuple[object, ...], params: dict[str, str]
) -> Iterator[str]:
    for param in rows:
        try:
            param.value(real.venues[venue.name], params)  # type: ignore[attr-defined]
        except RequestError as error:
            if error.code not in {-1121, -4144, -1122}:  # the symbol or pair is not listed
                yield str(error)


@pytest.mark.parametrize(
    "text",
    [
        "ftp://a/ws",
        "wss://",
        "wss://[::1/ws",
        "ws://a:99999/ws",
        "/nowhere",
        "POST /ws",
        "\udcff@trade",
    ],
)
def test_what_is_nothing_is_said_in_one_line(text: str) -> None:
    found = explain([text, "btcusdt@trade"], P2026Q1)
    assert [each.kind for each in found.verdicts] == ["nothing", "stream"]
    assert (found.is_ok, found.is_nothing) == (False, False)
    assert explain([text], P2026Q1).is_nothing
    assert len(list(found.lines())) == 4


@given(st.text(max_size=30))
def test_there_is_a_verdict_on_any_text(text: str) -> None:
    assert list(explain([text], CURRENT).lines())


@pytest.mark.heavy
def test_too_many_streams_in_a_url_are_refused() -> None:
    found = verdict("/stream?streams=" + "/".join(f"s{n}" for n in range(1025)))
    assert (found.outcome, len(found.streams)) == ("refused", 1025)
    assert "error 4" in found.reason


@pytest.mark.parametrize("query", QUERIES, ids=lambda query: query.method or query.path)
def test_every_query_has_a_verdict_on_its_venues(query: object) -> None:
    assert isinstance(query, type(QUERIES[0]))
    assert weight_text(query.weight)
    assert weight_range(query.weight)
    for venue in query.venues:
        path, method = query.path_on(venue), query.method if query.has_method(venue) else None
        for name in filter(None, (path, method)):
            assert verdict(name, CURRENT, venue).sends == query.doc
