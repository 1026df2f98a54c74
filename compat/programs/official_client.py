"""The official modular SDKs of both venues as one: names, clients, methods, and models of messages."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Iterator
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from binance_common.configuration import (
    ConfigurationRestAPI,
    ConfigurationWebSocketAPI,
    ConfigurationWebSocketStreams,
)
from pydantic import BaseModel

from compat.calls import Arguments
from compat.trial import COINM, USDM, Server

SDKS = {USDM: "usds", COINM: "coin"}
OTHERS: dict[str, Arguments] = {
    "asset_index": {"symbol": "ADAUSD"},
    "composite_index_symbol_information": {"symbol": "DEFIUSDT"},
    "composite_index_symbol_information_streams": {"symbol": "defiusdt"},
    "rpi_order_book": {"limit": 1000},
}
"""What is asked otherwise than of a contract, or not in such a number, by method."""

OF_PAIRS = {"query_index_price_constituents"}
"""The methods whose symbol is a pair."""

FUNDINGS = "get_funding_rate_history"
"""How the methods begin that answer payments, of which an hour may have none."""

REFUSED = {"interval": "1s"}
"""Arguments that the SDK offers and the exchange refuses."""
REFUSED_REASON = (
    "the exchange refuses the interval 1s over REST; whether it has the stream is not known"
)


def known_to(name: str, known: Arguments) -> Arguments:
    """Return what a method should be asked, given what most methods are asked."""
    if name in OF_PAIRS:
        return known | {"symbol": known["pair"]}
    if name.startswith(FUNDINGS):
        return known | {"start_time": known["end_time"] - 24 * 3_600_000}
    return known | OTHERS.get(name, {})


def library_of(venue: str) -> str:
    """Return the name of a venue's SDK as it is published."""
    return f"binance-sdk-derivatives-trading-{SDKS[venue]}-futures"


def module_of(venue: str, inner: str) -> Any:
    """Import a module of a venue's SDK."""
    return importlib.import_module(f"binance_sdk_derivatives_trading_{SDKS[venue]}_futures.{inner}")


def client_of(server: Server, venue: str) -> Any:
    """Return a client of a venue's SDK with its three base addresses changed."""
    module = module_of(venue, f"derivatives_trading_{SDKS[venue]}_futures")
    address = server.address(venue)
    api = "ws-fapi" if venue == USDM else "ws-dapi"
    return getattr(module, f"DerivativesTrading{SDKS[venue].capitalize()}Futures")(
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
