"""The `of` methods of the messages, compared with the catalogue of streams."""

from __future__ import annotations

import inspect
import itertools
import pickle
import typing
from collections.abc import Callable, Iterator
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tickerplant import ConfigError, messages
from tickerplant.instrument import CONTRACT_TYPES
from tickerplant.market.interval import INTERVALS
from tickerplant.messages import (
    AggregateTrade,
    AssetIndex,
    BookTicker,
    ContinuousKline,
    ContractInfo,
    DepthUpdate,
    Kline,
    Liquidation,
    MarkPrice,
    Message,
    MiniTicker,
    Trade,
)
from tickerplant.messages.kline import ContractType, Interval
from tickerplant.messages.message import StreamName
from tickerplant.messages.readers import reader
from tickerplant.streams import CATALOGUE, resolve
from tickerplant.venue import COINM, USDM, VENUES

SYMBOL = "BTCUSDT"
KINDS: list[Any] = [
    kind
    for name in messages.__all__
    if inspect.isclass(kind := getattr(messages, name)) and hasattr(kind, "of")
]


def values(hint: Any) -> list[Any]:
    """Return every value that an argument can have, of text one symbol."""
    if get_origin(hint) in {Union, UnionType}:
        return [value for each in get_args(hint) for value in values(each)]
    if get_origin(hint) is Literal:
        return list(get_args(hint))
    of_types: dict[Any, list[Any]] = {str: [SYMBOL], NoneType: [None]}
    return of_types[hint]


def calls(function: Callable[..., Any]) -> Iterator[dict[str, Any]]:
    """Yield the arguments of every call that a type checker accepts, with and without defaults."""
    overloads = [getattr(each, "__func__", each) for each in typing.get_overloads(function)]
    for signature in overloads or [function]:
        hints = get_type_hints(signature)
        choices = []
        for name, parameter in inspect.signature(signature).parameters.items():
            if name != "cls":
                given_values = [{name: value} for value in values(hints[name])]
                choices.append(given_values + [{}] * (parameter.default is not parameter.empty))
        for chosen in itertools.product(*choices):
            yield {name: value for each in chosen for name, value in each.items()}


def names_made() -> set[tuple[type[Message], str]]:
    return {(kind, kind.of(**each)) for kind in KINDS for each in calls(kind.of.__func__)}


def names_in_the_catalogue() -> set[str]:
    found = set()
    for row in CATALOGUE:
        parts = row.pattern.parts
        for chosen in itertools.product(*(each or (SYMBOL.lower(),) for each in parts.values())):
            found.add(row.pattern.name(**dict(zip(parts, chosen, strict=True))))
    return found


def test_every_name_that_can_be_made_is_a_stream_of_that_class() -> None:
    made = names_made()
    assert len(made) > 100
    for kind, name in made:
        assert any(resolve(venue, name) for venue in VENUES), name
        assert reader(name).message is kind, name


def test_every_stream_of_the_catalogue_can_be_named_by_its_class() -> None:
    assert {str(name) for _, name in names_made()} == names_in_the_catalogue()


def test_every_class_of_a_stream_names_its_streams() -> None:
    assert {reader(name).message for name in names_in_the_catalogue()} == set(KINDS)


def test_the_choices_are_those_of_the_exchange() -> None:
    assert get_args(Interval) == INTERVALS
    assert set(get_args(ContractType)) == set(CONTRACT_TYPES)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (Trade.of("BTCUSDT"), "btcusdt@trade"),
        (Trade.of("bTcUsD_PERP"), "btcusd_perp@trade"),
        (AggregateTrade.of("币安人生USDT"), "币安人生usdt@aggTrade"),
        (BookTicker.of(), "!bookTicker"),
        (BookTicker.of("ETHUSDT"), "ethusdt@bookTicker"),
        (MiniTicker.of(), "!miniTicker@arr"),
        (Liquidation.of(), "!forceOrder@arr"),
        (ContractInfo.of(), "!contractInfo"),
        (AssetIndex.of("ADAUSD"), "adausd@assetIndex"),
        (DepthUpdate.of("BTCUSDT"), "btcusdt@depth"),
        (DepthUpdate.of("BTCUSDT", speed="250ms"), "btcusdt@depth"),
        (DepthUpdate.of("BTCUSDT", speed="0ms"), "btcusdt@depth@0ms"),
        (DepthUpdate.of("BTCUSDT", levels=5, speed="100ms"), "btcusdt@depth5@100ms"),
        (DepthUpdate.of("BTCUSDT", rpi=True), "btcusdt@rpiDepth@500ms"),
        (Kline.of("BTCUSDT", "1M"), "btcusdt@kline_1M"),
        (ContinuousKline.of("BTCUSD", "1m"), "btcusd_perpetual@continuousKline_1m"),
        (
            ContinuousKline.of("BTCUSD", "1m", contract_type="NEXT_QUARTER"),
            "btcusd_next_quarter@continuousKline_1m",
        ),
        (MarkPrice.of(), "!markPrice@arr"),
        (MarkPrice.of(speed="1s"), "!markPrice@arr@1s"),
        (MarkPrice.of("BTCUSD", speed="1s"), "btcusd@markPrice@1s"),
    ],
)
def test_a_class_names_its_streams(name: StreamName[Message], expected: str) -> None:
    assert name == expected


@pytest.mark.parametrize(
    ("make", "given_values", "more", "expected"),
    [
        (Kline.of, (SYMBOL, "7m"), {}, "'7m' for interval: expected one of 1m, 3m, "),
        (Kline.of, (SYMBOL, "1H"), {}, "'1H' for interval: .*did you mean 1h"),
        (Kline.of, (SYMBOL, None), {}, "interval is missing: expected one of 1m, "),
        (DepthUpdate.of, (SYMBOL,), {"levels": 7}, "7 for levels: expected one of 5, 10, 20$"),
        (DepthUpdate.of, (SYMBOL,), {"levels": 5, "speed": "0ms"}, "'0ms' for speed: expected one of 100ms, 250ms, 500ms; did you mean"),
        (DepthUpdate.of, (SYMBOL,), {"speed": "1s"}, "'1s' for speed: expected one of 0ms, 100ms, 250ms, 500ms"),
        (DepthUpdate.of, (SYMBOL,), {"speed": ""}, "'' for speed: expected one of 0ms"),
        (DepthUpdate.of, (SYMBOL,), {"rpi": True, "speed": "100ms"}, "'100ms' for speed: expected one of 500ms"),
        (DepthUpdate.of, (SYMBOL,), {"rpi": True, "levels": 5}, "5 for levels: expected None with rpi=True"),
        (ContinuousKline.of, (SYMBOL, "1m"), {"contract_type": "PERP"}, "'PERP' for contract_type: expected one of PERPETUAL, .*did you mean"),
        (ContinuousKline.of, (SYMBOL, "1m"), {"contract_type": 1}, "1 for contract_type: expected one of PERPETUAL"),
        (ContinuousKline.of, ("", "1m"), {}, "'' for pair: expected a pair such as BTCUSDT"),
        (MarkPrice.of, (), {"speed": "2s"}, "'2s' for speed: expected one of 1s, 3s"),
    ],
)  # fmt: skip
def test_a_value_that_no_stream_has_is_refused(
    make: Any, given_values: tuple[Any, ...], more: dict[str, Any], expected: str
) -> None:
    with pytest.raises(ConfigError, match=expected):
        make(*given_values, **more)


@given(st.sampled_from(KINDS), st.text(max_size=60) | st.none() | st.integers() | st.binary())
def test_what_is_accepted_as_a_symbol_is_a_stream_and_nothing_else_raises(
    kind: Any, symbol: Any
) -> None:
    parameters = inspect.signature(kind.of).parameters
    if not parameters:
        return
    more = {"interval": "1m"} if "interval" in parameters else {}
    try:
        name = kind.of(symbol, **more)
    except ConfigError:
        return
    assert resolve(USDM, name) or resolve(COINM, name)
    assert reader(name).message is kind
    assert len(name.encode()) < 256


def test_a_stream_name_is_text() -> None:
    name = Trade.of("BTCUSDT")
    assert isinstance(name, str)
    assert repr(name) == "StreamName('btcusdt@trade')"
    assert f"{name}" == str(name) == "btcusdt@trade"
    assert hash(name) == hash("btcusdt@trade")
    assert not hasattr(name, "__dict__")
    assert StreamName[Trade]("btcusdt@trade") == name, "it can be claimed to have a class"


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_stream_name_survives_pickling(protocol: int) -> None:
    copied = pickle.loads(pickle.dumps(Trade.of("BTCUSDT"), protocol))  # noqa: S301  # our own
    assert copied == "btcusdt@trade"
    assert type(copied) is StreamName
