"""Every message of every stream against examples: those of the reference, and our own.

Where the examples of the protocol reference are at hand, each is compared with what is told in the
same period of the protocol: the same keys in the same order, the same JSON types, the same number
of decimals.  Our own goldens hold what is told of a small made-up world, of each stream all the
messages of its last event time; they are written anew by
`WRITE_GOLDENS=1 pytest tests/streams/test_conformance_streams.py`.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs
from stage import (
    BTCUSDT,
    START_MS,
    WORLD,
    asset_index,
    happen,
    listen,
    name_of,
    open_plant,
    sent_to,
)

from tickerplant.events import ContractChanged
from tickerplant.plant import Plant
from tickerplant.profile import PROFILES
from tickerplant.streams import CATALOGUE, find

EXAMPLES = Path(__file__).parents[3] / "shared" / "protocol" / "examples"
GOLDENS = Path(__file__).parents[1] / "goldens" / "streams"
DECIMAL = re.compile(r"-?[0-9]+(\.[0-9]+)?")
LISTED = {each.symbol for each in WORLD}
ABCUSDT = structs.replace(
    BTCUSDT, symbol="ABCUSDT", pair="ABCUSDT", onboard_date_ms=START_MS, status="PENDING_TRADING"
)


def messages_of(venue: str, profile: str, name: str) -> list[Any]:
    """The messages of `name` about every kind of event, and the end of a minute."""
    plant = open_plant(WORLD, profile=PROFILES[profile], start_ms=START_MS + 52_000)
    listener = listen(plant, name, venue)
    everything(plant)
    return sent_to(plant, listener)


def everything(plant: Plant) -> None:
    happen(plant)
    plant.publish(ContractChanged("ABCUSDT", ABCUSDT, (), plant.now_ms))
    plant.advance(plant.now_ms + 8500)


# The examples of the reference


def manifest() -> list[dict[str, Any]]:
    path = EXAMPLES / "manifest.json"
    files: list[dict[str, Any]] = json.loads(path.read_text())["files"] if path.exists() else []
    return [entry for entry in files if entry["kind"] == "stream"]


def cases() -> Iterator[Any]:
    """The example of every name in every period that it is good for."""
    for entry in manifest():
        venue, _, file = entry["file"].partition("/")
        for profile in entry["profile"].split(","):
            replaced = f"{venue}/current/{Path(file).name}"
            if (
                profile == "current"
                and replaced != entry["file"]
                and any(each["file"] == replaced for each in manifest())
            ):
                continue
            for name in entry["stream"].split(" | "):
                yield pytest.param(entry, venue, profile, name, id=f"{profile}-{name}-{file}")


def wire_order(entry: dict[str, Any]) -> list[str] | None:
    """The order that was captured, where the example has the documented one; of an example of all
    symbols, that of the same object of one symbol.
    """
    single = entry["file"].replace(".arr.", ".").replace(".all.", ".")
    orders = {each["file"]: each.get("wire_order") for each in manifest()}
    order: list[str] | None = entry.get("wire_order") or orders.get(single)
    return order


def rows(message: Any) -> list[Any]:
    return message if isinstance(message, list) else [message]


def alike(row: dict[str, Any], wanted: dict[str, Any]) -> bool:
    """Whether `wanted` is an example of `row`: same event, same optional parts."""
    closed = [each.get("k", {}).get("x") for each in (row, wanted)]
    return (
        row["e"] == wanted["e"] and ("bks" in row) == ("bks" in wanted) and closed[0] == closed[1]
    )


def kind(value: Any) -> str:
    """The JSON type of a value that has no parts; of a number as text, with its decimals."""
    if isinstance(value, str) and (number := DECIMAL.fullmatch(value)):
        return f"text of {len(number[1] or '.') - 1} decimals"
    return type(value).__name__


def differences(ours: Any, wanted: Any, at: str = "") -> Iterator[str]:
    """Yield the differences from the example; all items of a list are compared with its first."""
    if isinstance(wanted, dict) and isinstance(ours, dict):
        if list(ours) != list(wanted):
            yield f"{at}: {list(ours)}, not {list(wanted)}"
        for key in ours.keys() & wanted.keys():
            yield from differences(ours[key], wanted[key], f"{at}.{key}")
    elif isinstance(wanted, list) and isinstance(ours, list):
        if wanted and isinstance(wanted[0], dict | list):
            for each in ours:
                yield from differences(each, wanted[0], f"{at}[]")
        else:
            yield from (
                f"{at}[{number}]: {kind(one)}, not {kind(other)}"
                for number, (one, other) in enumerate(zip(ours, wanted, strict=True))
                if kind(one) != kind(other)
            )
    elif kind(ours) != kind(wanted):
        yield f"{at}: {kind(ours)}, not {kind(wanted)}: {ours!r} for {wanted!r}"


@pytest.mark.skipif(not EXAMPLES.exists(), reason="the captures are not beside the repository")
@pytest.mark.parametrize(("entry", "venue", "profile", "name"), list(cases()))
def test_messages_are_as_the_examples_are(
    entry: dict[str, Any], venue: str, profile: str, name: str
) -> None:
    example = json.loads((EXAMPLES / entry["file"]).read_text())
    received = messages_of(venue, profile, name)
    assert received, f"{name} of {venue} sends a message"
    assert {isinstance(message, list) for message in received} == {isinstance(example, list)}
    order = wire_order(entry)
    compared = 0
    for row in (row for message in received for row in rows(message)):
        wanted = example_of(row, rows(example))
        if wanted is not None:
            compared += 1
            assert list(differences(row, {key: wanted[key] for key in order or wanted})) == []
    assert compared, f"{name} of {venue} sends a message like the example"


@pytest.mark.skipif(not EXAMPLES.exists(), reason="the captures are not beside the repository")
@pytest.mark.parametrize(("entry", "venue", "profile", "name"), list(cases()))
def test_speeds_and_routes_are_as_the_examples_say(
    entry: dict[str, Any], venue: str, profile: str, name: str
) -> None:
    markets = open_plant(WORLD, profile=PROFILES[profile]).venues[venue]
    found = find(markets, name)
    assert found is not None
    stream, args = found
    period_ms = stream.period(markets.venue, args)
    speeds = str(entry["speed_ms"]).split("|")
    assert str(period_ms) in speeds
    if len(speeds) > 1:
        assert period_ms == named_speed(name, int(speeds[0])), "the first is that of the bare name"
    if "route" in entry and markets.venue.routed:
        assert f"/{stream.route}" == entry["route"]


def named_speed(name: str, bare_ms: int) -> int:
    """The speed in the name: `@100ms`, `@1s`."""
    _, _, speed = name.rpartition("@")
    found = re.fullmatch(r"([0-9]+)(ms|s)", speed)
    return bare_ms if found is None else int(found[1]) * (1 if found[2] == "ms" else 1000)


def example_of(row: dict[str, Any], examples: list[Any]) -> dict[str, Any] | None:
    """The example that `row` is comparable with: that of its symbol, or of a symbol unknown here.

    Decimals belong to a symbol, so in a stream of all a row of another symbol is not compared.
    """
    fitting = [each for each in examples if alike(row, each)]
    same = [each for each in fitting if symbol_of(each) == symbol_of(row)]
    strange = [each for each in fitting if symbol_of(each) not in LISTED]
    return next(iter(same or strange), None)


def symbol_of(row: dict[str, Any]) -> str | None:
    order = row.get("o")
    symbol: str | None = (order if isinstance(order, dict) else row).get("s")
    return symbol


# Our own


def goldens() -> Iterator[Any]:
    """Every stream by a name, on every venue and in every profile where it is about something."""
    for profile in PROFILES:
        plant = open_plant(WORLD, profile=PROFILES[profile])
        for symbol in ("ADAUSD", "BTCUSD"):
            plant.publish(asset_index(symbol))
        for venue in plant.venues:
            for row in CATALOGUE:
                name = name_of(plant, row, venue)
                if name is not None:
                    path = GOLDENS / venue / profile / f"{name}.json"
                    yield pytest.param(path, venue, profile, name, id=f"{venue}-{profile}-{name}")


@pytest.mark.parametrize(("path", "venue", "profile", "name"), list(goldens()))
def test_messages_are_as_they_were(path: Path, venue: str, profile: str, name: str) -> None:
    messages = messages_of(venue, profile, name)
    latest = [each for each in messages if event_time(each) == event_time(messages[-1])]
    text = json.dumps(latest, indent=1) + "\n"
    if os.environ.get("WRITE_GOLDENS"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    assert path.exists(), "a stream has a golden: write it by WRITE_GOLDENS=1"
    assert path.read_text(encoding="utf-8") == text


def event_time(message: Any) -> int:
    """The time that all rows of a message have in common."""
    (time_ms,) = {row["E"] for row in rows(message)}
    return int(time_ms)


def test_there_is_no_golden_of_a_stream_that_is_gone() -> None:
    known = {case.values[0] for case in goldens()}
    assert set(GOLDENS.rglob("*.json")) == known
