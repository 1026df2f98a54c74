"""The calls that a method's signature allows, with arguments that name what is listed."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from enum import Enum
from typing import Any, get_args

from compat.trial import Contracts

Arguments = dict[str, Any]

LEFT_OUT = {"self", "id", "from_id"}
"""Parameters that are never given: ids are of the connection, or of rows not known yet."""


def calls(
    method: Callable[..., Any], known: Arguments, contracts: Contracts
) -> Iterator[Arguments]:
    """Yield arguments for a method: the plainest call first, then each other choice once.

    A required parameter takes its first value and then, one at a time, its others; an optional
    one is left out and then takes each of its values.  `known` has the values of what is no
    enumeration, one or a list of them.  A contract type of which nothing is listed is left out.
    """
    parameters = inspect.signature(method).parameters.values()
    choices = {p.name: _values(p, known) for p in parameters if p.name not in LEFT_OUT}
    required = [p.name for p in parameters if p.default is p.empty and p.name in choices]
    plainest = {name: choices[name][0] for name in required}
    variants = [plainest]
    for name, values in choices.items():
        others = values[1:] if name in required else values
        variants += [plainest | {name: value} for value in others]
    for variant in variants:
        arguments = _fitting(variant, known, contracts)
        if arguments is not None:
            yield arguments


def shown(arguments: Arguments) -> str:
    """Return arguments as a reader would write them."""
    return ", ".join(f"{name}={value}" for name, value in arguments.items())


def questions(contracts: Contracts) -> Arguments:
    """Return what the parameters of a query should be: names in upper case, the last hour."""
    return {
        "symbol": contracts.perpetual,
        "pair": contracts.pair,
        "limit": 5,
        "start_time": contracts.now_ms - 3_600_000,
        "end_time": contracts.now_ms,
    }


def subscriptions(contracts: Contracts) -> Arguments:
    """Return what the parameters of a stream should be: names in lower case."""
    return {"symbol": contracts.perpetual.lower(), "pair": contracts.pair.lower()}


def _values(parameter: inspect.Parameter, known: Arguments) -> list[Any]:
    for option in (parameter.annotation, *get_args(parameter.annotation)):
        if isinstance(option, type) and issubclass(option, Enum):
            values = [member.value for member in option]
            return sorted(values, key="1s".__eq__)  # the one that is refused comes last
    value = known[parameter.name]
    return value if isinstance(value, list) else [value]


def _fitting(arguments: Arguments, known: Arguments, contracts: Contracts) -> Arguments | None:
    """Return the arguments with a pair that has a contract of the type asked for, if one has."""
    contract_type = str(arguments.get("contract_type", "ALL")).upper()
    if contract_type == "ALL":
        return arguments
    pair = contracts.pairs.get(contract_type)
    if pair is None:
        return None
    return arguments | {"pair": pair if known["pair"].isupper() else pair.lower()}
