"""Every message of every stream: keys, their order on the wire, and the types of the values."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest
from stage import (
    INSTRUMENTS,
    START_MS,
    happen,
    listen,
    open_plant,
    sent_to,
)

from tickerplant.profile import CURRENT, P2026Q1, Profile

CANDLE = "t T s i f L o c h l v n x q V Q B"
KEYS = {
    # name: usdm 2026q1 / usdm current / coinm 2026q1 / coinm current
    "aggTrade": (
        "e E a s p q nq f l T m",
        "e E a s p q nq f l T m st",
        "e E a s p q f l T m",
        "e E a s p q f l T m st",
    ),
    "trade": (
        "e E T s t p q X m",
        "e E T s t p q X m st",
        "e E T s t p q X m",
        "e E T s t p q X m",
    ),
    "markPrice": (
        "e E s p P i r T",
        "e E s p ap P i r T st",
        "e E s p P i r T",
        "e E s p ap P i r T st",
    ),
    "kline_1m": ("e E s k",) * 4,
    "miniTicker": (
        "e E s c o h l v q",
        "e E s ps c o h l v q st",
        "e E s ps c o h l v q",
        "e E s ps c o h l v q st",
    ),
    "ticker": (
        "e E s p P w c Q o h l v q O C F L n",
        "e E s ps p P w c Q o h l v q O C F L n st",
        "e E s ps p P w c Q o h l v q O C F L n",
        "e E s ps p P w c Q o h l v q O C F L n st",
    ),
    "bookTicker": (
        "e u s b B a A T E",
        "e u s ps b B a A T E st",
        "e u s ps b B a A T E",
        "e u s ps b B a A T E st",
    ),
    "depth": (
        "e E T s U u pu b a",
        "e E T s ps U u pu b a st",
        "e E T s ps U u pu b a",
        "e E T s ps U u pu b a st",
    ),
}
SAME = {
    "markPrice@1s": "markPrice",
    "depth@0ms": "depth",
    "depth@100ms": "depth",
    "depth@500ms": "depth",
    "depth5": "depth",
    "depth20@100ms": "depth",
}
ALL = {
    "!miniTicker@arr": "miniTicker",
    "!ticker@arr": "ticker",
    "!markPrice@arr": "markPrice",
    "!markPrice@arr@1s": "markPrice",
    "!bookTicker": "bookTicker",
}
INTEGERS = {
    "aggTrade": "E a f l T st",
    "trade": "E T t st",
    "markPrice": "E T st",
    "kline_1m": "E",
    "miniTicker": "E st",
    "ticker": "E O C F L n st",
    "bookTicker": "u T E st",
    "depth": "E T U u pu st",
}
CANDLE_INTEGERS = "t T f L n"
NOT_TEXT = {"m": bool, "x": bool, "k": dict}


def rows(venue: str, name: str, profile: Profile) -> list[dict[str, Any]]:
    """The messages of `name` about every kind of event, the rows of arrays one by one."""
    plant = open_plant(profile=profile)
    listener = listen(plant, name, venue)
    happen(plant)
    plant.advance(plant.now_ms + 6000)
    messages = sent_to(plant, listener)
    assert messages, f"{name} of {venue} must send a message"
    listed = [message if isinstance(message, list) else [message] for message in messages]
    return [row for message in listed for row in message]


def column(venue: str, profile: Profile) -> int:
    return 2 * (venue == "coinm") + (profile is CURRENT)


def types(row: dict[str, Any]) -> dict[str, type]:
    """The type of every value; of levels, that of their numbers."""
    return {
        key: type(value[0][0]) if isinstance(value, list) else type(value)
        for key, value in row.items()
    }


def expected_types(keys: Iterable[str], integers: str) -> dict[str, type]:
    """Integers where the table says so, text elsewhere: numbers are text on the wire."""
    return {key: int if key in integers.split() else NOT_TEXT.get(key, str) for key in keys}


@pytest.mark.parametrize("profile", [P2026Q1, CURRENT], ids=lambda each: each.name)
@pytest.mark.parametrize(("venue", "symbol"), [("usdm", "btcusdt"), ("coinm", "btcusd_perp")])
@pytest.mark.parametrize("kind", [*KEYS, *SAME])
def test_keys_stand_in_the_order_of_the_wire(
    kind: str, venue: str, symbol: str, profile: Profile
) -> None:
    family = SAME.get(kind, kind)
    for row in rows(venue, f"{symbol}@{kind}", profile):
        assert " ".join(row) == KEYS[family][column(venue, profile)]
        assert types(row) == expected_types(row, INTEGERS[family])
        if kind == "kline_1m":
            assert " ".join(row["k"]) == CANDLE
            assert types(row["k"]) == expected_types(row["k"], CANDLE_INTEGERS)


@pytest.mark.parametrize("profile", [P2026Q1, CURRENT], ids=lambda each: each.name)
@pytest.mark.parametrize("venue", ["usdm", "coinm"])
@pytest.mark.parametrize("name", ALL)
def test_streams_of_all_symbols_carry_the_same_objects(
    name: str, venue: str, profile: Profile
) -> None:
    expected = KEYS[ALL[name]][column(venue, profile)]
    received = rows(venue, name, profile)
    merged = profile.merged_universe
    symbols = {each.symbol for each in INSTRUMENTS if merged or each.venue.name == venue}
    assert {row["s"] for row in received} == symbols
    assert {" ".join(row) for row in received} == {expected}


@pytest.mark.parametrize(
    ("venue", "symbol", "profile", "rate"),
    [
        ("coinm", "btcusd_260626", P2026Q1, ""),
        ("coinm", "btcusd_260626", CURRENT, "0.00000000"),
        ("usdm", "btcusdt_260626", P2026Q1, "0.00000000"),
        ("usdm", "btcusdt_260626", CURRENT, "0.00000000"),
    ],
)
def test_a_dated_contract_has_no_funding(
    venue: str, symbol: str, profile: Profile, rate: str
) -> None:
    row = rows(venue, f"{symbol}@markPrice", profile)[0]
    assert (row["r"], row["T"]) == (rate, 0)


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("btcusdt_260626@bookTicker", ("BTCUSDT_260626", "BTCUSDT", 1)),
        ("btcusdt_260626@depth5", ("BTCUSDT_260626", "BTCUSDT", 1)),
    ],
)
def test_the_pair_of_a_dated_contract_is_its_symbol_without_the_date(
    name: str, label: tuple[str, str, int]
) -> None:
    row = rows("usdm", name, CURRENT)[0]
    assert (row["s"], row["ps"], row["st"]) == label


def test_numbers_have_the_decimals_of_their_instrument() -> None:
    (book,) = rows("usdm", "btcusdt@bookTicker", P2026Q1)
    assert (book["b"], book["B"], book["a"], book["A"]) == (
        "65279.90",
        "4.215",
        "65280.00",
        "3.763",
    )
    ticker = rows("usdm", "btcusdt@ticker", P2026Q1)[0]
    assert [ticker[key] for key in "pPwcQovq"] == [
        *("0.00", "0.000", "65280.00", "65280.00", "0.005", "65280.00", "0.005", "326.40")
    ]
    inverse = rows("coinm", "btcusd_perp@ticker", P2026Q1)[0]
    assert [inverse[key] for key in "wcQvq"] == [
        *("652801.16981970", "652800.0", "5", "5", "0.00076593")
    ]
    later = rows("coinm", "btcusd_perp@ticker", CURRENT)[0]
    assert (later["w"], later["q"]) == ("652801.16981970", "0.0"), "a tenth of a coin since 2026-06"
    candle = rows("usdm", "btcusdt@kline_1m", P2026Q1)[0]["k"]
    assert [candle[key] for key in "vqVQnxfLB"] == [
        *("0.005", "326.40000", "0.000", "0.00000", 1, False, 7, 7, "0")
    ]
    assert (candle["t"], candle["T"]) == (START_MS, START_MS + 59_999)
