"""How a message compares with the model a typed library has for it."""

from __future__ import annotations

from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel

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
