from __future__ import annotations

import itertools
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stage import WORLD, open_plant

from tickerplant.profile import PROFILES, Profile
from tickerplant.streams import CATALOGUE, find, resolve
from tickerplant.streams.pattern import Pattern
from tickerplant.streams.stream import Stream
from tickerplant.venue import COINM, USDM, VENUES, Venue

SYMBOLS = st.from_regex(r"[a-z0-9一-龥]{2,12}(_perp|_260626)?", fullmatch=True)
ROWS = pytest.mark.parametrize("stream", CATALOGUE, ids=lambda row: row.pattern.text)


WORLD_SYMBOLS = [each.symbol.lower() for each in WORLD]


def names(stream: Stream, free: Sequence[str] = ("btcusdt", "ethusd_perp")) -> list[str]:
    """A name of the stream for every choice its pattern leaves."""
    parts = stream.pattern.parts
    chosen = itertools.product(*(choices or free for choices in parts.values()))
    return [stream.pattern.name(**dict(zip(parts, args, strict=True))) for args in chosen]


@ROWS
@given(data=st.data())
def test_a_name_is_read_back_to_the_parts_it_was_made_of(
    stream: Stream, data: st.DataObject
) -> None:
    args = {
        part: data.draw(st.sampled_from(choices) if choices else SYMBOLS)
        for part, choices in stream.pattern.parts.items()
    }
    name = stream.pattern.name(**args)
    assert stream.pattern.match(name) == args
    for venue in stream.venues:
        found = resolve(venue, name)
        assert found is not None, f"{name} must be found on {venue.name}"
        assert found == (stream, args) or found[0].build is stream.build, (
            "a pair looks like a symbol"
        )


@pytest.mark.parametrize("profile", PROFILES.values(), ids=lambda each: each.name)
@pytest.mark.parametrize("venue", VENUES, ids=lambda each: each.name)
def test_no_name_is_about_something_in_two_rows(venue: Venue, profile: Profile) -> None:
    markets = open_plant(WORLD, profile=profile).venues[venue.name]
    free = [*WORLD_SYMBOLS, *{each.pair.lower() for each in WORLD}]
    for stream in CATALOGUE:
        for name in names(stream, free):
            rows = [
                row
                for row in CATALOGUE
                if venue in row.venues
                and (args := row.pattern.match(name)) is not None
                and row.subjects(markets, args)
            ]
            assert len(rows) <= 1, f"{name} means one thing"
            found = find(markets, name)
            if rows:
                assert found is not None
                assert found[0] is rows[0]
            else:
                assert found == resolve(venue, name), "a name without subjects resolves by its form"


@ROWS
def test_upper_case_symbols_and_changed_letters_never_match(stream: Stream) -> None:
    for name in names(stream):
        symbol, sign, kind = name.partition("@")
        wrong = {name.upper(), symbol.upper() + sign + kind, f"{name} ", f" {name}", f"{name}\n"}
        for each in wrong - {name}:
            assert resolve(USDM, each) is None, f"{each!r} is no stream"


@given(
    st.text() | st.sampled_from([n for row in CATALOGUE for n in names(row)]), st.text(max_size=3)
)
def test_any_text_is_a_stream_or_none(text: str, tail: str) -> None:
    for venue in VENUES:
        for name in (text, text + tail, tail + text):
            found = resolve(venue, name)
            if found is not None:
                stream, args = found
                assert stream.pattern.name(**args) == name, "the parts make the same name again"


@pytest.mark.parametrize(
    "name",
    [
        "",
        "btcusdt",
        "@trade",
        "btcusdt@",
        "BTCUSDT@trade",
        "btcu\u017fdt@trade",
        "b\u0131tusdt@trade",
        "btcusdt@Trade",
        "btcusdt@depth7",
        "btcusdt@depth5@250ms",
        "btcusdt@depth5@0ms",
        "btcusdt@depth@250ms",
        "btcusdt@depth@",
        "btcusdt@kline_1s",
        "btcusdt@kline_1H",
        "btcusdt@kline_",
        "btcusdt@markPrice@3s",
        "btcusdt/ethusdt@trade",
        "!bookticker",
        "!bookTicker@arr",
        "bookTicker",
        "btc usdt@trade",
        "btcusdt@trade@trade",
    ],
)
def test_a_name_that_the_exchange_does_not_know_is_unknown(name: str) -> None:
    assert resolve(USDM, name) is None
    assert resolve(COINM, name) is None


def test_a_missing_part_is_named() -> None:
    with pytest.raises(KeyError, match="speed"):
        Pattern("<symbol>@depth@<speed:100|500>ms").name(symbol="btcusdt")
