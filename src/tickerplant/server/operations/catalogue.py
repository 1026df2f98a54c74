"""All operations of a server, and which of them a path names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache

import msgspec
from msgspec import Struct

from tickerplant.server.guard import PLANT_PATHS
from tickerplant.server.operations import clock, faults, levers, pages, scenarios, truth
from tickerplant.server.operations.openapi import openapi_document
from tickerplant.server.operations.operation import Operation, operation
from tickerplant.server.response import Response

OPENAPI_PATH = "/plant/v1/openapi.json"


@operation("GET", OPENAPI_PATH, is_about_market=True)
def openapi() -> Response:
    """These operations as an OpenAPI document."""
    return Response(openapi_json())


@cache
def openapi_json() -> bytes:
    """Return the OpenAPI document of all operations."""
    return msgspec.json.encode(openapi_document(OPERATIONS))


OPERATIONS: tuple[Operation, ...] = (
    *(
        each
        for module in (pages, faults, clock, scenarios, levers, truth)
        for each in vars(module).values()
        if isinstance(each, Operation)
    ),
    openapi,
)
"""Every operation of a server."""


class Route(Struct, frozen=True):
    """What may be done at a path."""

    template: str
    """The path as the rows have it: a label of few values."""
    operations: Mapping[str, Operation]
    """By method; HEAD is that of GET."""
    id: str = ""
    """What the path names, if it has an `{id}`."""

    @property
    def is_own(self) -> bool:
        """Whether it is about the process that answers."""
        return any(each.is_own for each in self.operations.values())

    def is_public(self, method: str) -> bool:
        """Whether an operation is answered without the token."""
        operation = self.operations.get(method)
        return operation is not None and operation.is_public

    def is_for_here(self, method: str) -> bool:
        """Whether a server without a token does an operation only for its own machine."""
        operation = self.operations.get(method)
        is_open = operation is None or operation.is_about_market
        return self.template.startswith(PLANT_PATHS) and not is_open

    @property
    def allowed(self) -> str:
        """The methods, as the header `Allow` has them."""
        return ", ".join(self.operations)


class Router:
    """Finds operations by path."""

    def __init__(self, operations: Iterable[Operation]) -> None:
        by_path: dict[str, dict[str, Operation]] = {}
        for each in operations:
            methods = by_path.setdefault(each.path, {})
            methods[each.method] = each
            if each.method == "GET":
                methods["HEAD"] = each
        routes = {path: Route(path, methods) for path, methods in by_path.items()}
        self._routes = {path: route for path, route in routes.items() if "{id}" not in path}
        self.templates = tuple(by_path)
        """The paths, as the rows have them."""
        self._named = {
            path.removesuffix("{id}"): route for path, route in routes.items() if "{id}" in path
        }

    def find(self, path: str) -> Route | None:
        """Return what may be done at a path; None if there is nothing."""
        route = self._routes.get(path)
        if route is not None:
            return route
        parent, slash, last = path.rpartition("/")
        named = self._named.get(parent + slash)
        return Route(named.template, named.operations, last) if named and last else None


ROUTER = Router(OPERATIONS)


def welcome_paths(*, has_clock: bool) -> list[str]:
    """Return the paths that the text of `/` lists: those that every such server has."""
    listed = (
        *(
            pages.health,
            pages.readiness,
            pages.metrics,
            pages.limits,
            pages.connections,
            pages.nodes,
        ),
        *(faults.faults, *((clock.clock,) if has_clock else ()), scenarios.scenarios, openapi),
    )
    return [each.path for each in listed]
