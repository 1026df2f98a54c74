"""The official modular SDKs of both venues as one: clients, methods, their calls, and models of messages."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Iterator
from enum import Enum
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from binance_common.configuration import (
    ConfigurationRestAPI,
    ConfigurationWebSocketAPI,
    ConfigurationWebSocketStreams,
)
from pydantic import BaseModel

from compat.trial import COINM, USDM, Contracts, Server

Arguments = dict[str, Any]
SDKS = {USDM: "usds", COINM: "coin"}
NAMES = {venue: f"DerivativesTrading{name.capitalize()}Futures" for venue, name in SDKS.items()}
LIBRARIES = {venue: f"binance-sdk-derivatives-trading-{sdk}-futures" for venue, sdk in SDKS.items()}
OF_PAIRS = {"query_index_price_constituents"}
"""The methods whose symbol is a pair."""
LIQUIDATIONS = {"liquidation_order_streams", "market_liquidation_order_streams"}
"""The methods that are asked for every contract, because each has few."""
FUNDINGS = "get_funding_rate_history"
"""How the methods begin that answer payments, of which an hour may have none."""
LEFT_OUT = {"self", "id", "from_id"}
"""Parameters that are never given: ids are of the connection, or of rows not known yet."""


def questions(name: str, contracts: Contracts) -> Arguments:
    """Return what the parameters of a query should be: names in upper case, the last hour."""
    hours = 24 if name.startswith(FUNDINGS) else 1
    others: dict[str, Arguments] = {
        "asset_index": {"symbol": "ADAUSD"},
        "composite_index_symbol_information": {"symbol": contracts.composite},
        "rpi_order_book": {"limit": 1000},
    }
    return {
        "symbol": contracts.pair if name in OF_PAIRS else contracts.perpetual,
        "pair": contracts.pair,
        "limit": 5,
        "start_time": contracts.now_ms - hours * 3_600_000,
        "end_time": contracts.now_ms,
        **others.get(name, {}),
    }


def subscriptions(name: str, contracts: Contracts) -> Arguments:
    """Return what the parameters of a stream should be: names in lower case."""
    symbols = contracts.symbols if name in LIQUIDATIONS else [contracts.perpetual]
    if name == "composite_index_symbol_information_streams":
        symbols = [contracts.composite]
    return {"symbol": [symbol.lower() for symbol in symbols], "pair": contracts.pair.lower()}


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


def module_of(venue: str, inner: str) -> Any:
    """Import a module of a venue's SDK."""
    return importlib.import_module(f"binance_sdk_derivatives_trading_{SDKS[venue]}_futures.{inner}")


def client_of(server: Server, venue: str) -> Any:
    """Return a client of a venue's SDK with its three base addresses changed."""
    module = module_of(venue, f"derivatives_trading_{SDKS[venue]}_futures")
    address = server.address(venue)
    api = "ws-fapi" if venue == USDM else "ws-dapi"
    return getattr(module, NAMES[venue])(
        config_rest_api=ConfigurationRestAPI(
            api_key="any", base_path=f"http://{address}", timeout=5000, retries=0
        ),
        config_ws_api=ConfigurationWebSocketAPI(stream_url=f"ws://{address}/{api}/v1"),
        config_ws_streams=ConfigurationWebSocketStreams(stream_url=f"ws://{address}"),
    )


def methods_of(api: type) -> Iterator[tuple[str, Callable[..., Any]]]:
    """Yield the public methods that a class of the SDK defines itself."""
    for name, method in vars(api).items():
        if inspect.isfunction(method) and not name.startswith("_"):
            yield name, method


OWN = {"additional_properties", "one_of_schemas"}


def strangers(hint: Any, value: Any, path: str = "") -> set[str]:
    """Return the keys of a message, as paths, that the model does not have."""
    origin = get_origin(hint)
    if origin is Annotated:
        return strangers(get_args(hint)[0], value, path)
    if origin in (Union, UnionType):
        found = [
            strangers(option, value, path) for option in get_args(hint) if _fits(option, value)
        ]
        return min(found, key=len, default=set())
    if isinstance(value, list):
        item = (get_args(hint) or (Any,))[0] if origin is list else hint
        return set().union(*(strangers(item, row, path) for row in value))
    if isinstance(value, dict) and isinstance(hint, type) and issubclass(hint, BaseModel):
        return _strange_keys(hint, value, path)
    return set()


def _strange_keys(model: type[BaseModel], value: dict[str, Any], path: str) -> set[str]:
    if "actual_instance" in model.model_fields:
        return strangers(model.model_fields["actual_instance"].annotation, value, path)
    fields = {
        field.alias or name: field.annotation
        for name, field in model.model_fields.items()
        if name not in OWN
    }
    found = {f"{path}{key}" for key in value.keys() - fields.keys()}
    for key in value.keys() & fields.keys():
        found |= strangers(fields[key], value[key], f"{path}{key}.")
    return found


def _fits(option: Any, value: Any) -> bool:
    if option is type(None):
        return value is None
    is_list = get_origin(option) is list or getattr(option, "is_array", bool)() is True
    return is_list == isinstance(value, list)
