"""The OpenAPI document of the operations, made from their rows and the classes of their answers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
from msgspec import Struct

from tickerplant import __version__
from tickerplant.documented_fields import field_docs, first_paragraph, structs_in
from tickerplant.server.guard import PLANT_PATHS, READING
from tickerplant.server.operations.operation import Operation, Schema
from tickerplant.server.response import Problem

OPENAPI = "3.1.0"
REFERENCE = "#/components/schemas/{name}"
REFUSALS: Mapping[str, tuple[int, str]] = {
    "Invalid": (400, "A field or a parameter is unknown, or its value cannot be used."),
    "Unauthorized": (401, "The token is missing, or not that of this server."),
    "Forbidden": (
        403,
        "A web page of another origin, a foreign name in `Host`, or another machine without a token.",
    ),
    "BodyTooLong": (413, "The body has more bytes than are read."),
    "UrlTooLong": (414, "The URL has more bytes than are read."),
    "TooManyTokens": (429, "Too many wrong tokens came from the address of the client."),
    "NotJson": (415, "The body is no `application/json`."),
}
"""The responses that several operations have, by name."""


def openapi_document(operations: Iterable[Operation]) -> Schema:
    """Return the OpenAPI document of operations."""
    rows = tuple(operations)
    kinds: dict[type[Struct], None] = {kind: None for row in rows for kind in row.answers}
    kinds |= {row.body: None for row in rows if isinstance(row.body, type)}
    kinds[Problem] = None
    schemas, components = msgspec.json.schema_components(kinds, ref_template=REFERENCE)
    schema_of = dict(zip(kinds, schemas, strict=True))
    seen: set[type[Struct]] = set()
    for kind in kinds:
        _describe(components, kind, seen)
    paths: dict[str, dict[str, Any]] = {}
    for row in rows:
        paths.setdefault(row.path, {})[row.method.lower()] = _operation(row, schema_of)
    problem = {"application/json": {"schema": schema_of[Problem]}}
    return {
        "openapi": OPENAPI,
        "info": {
            "title": "Tickerplant",
            "version": __version__,
            "summary": "The control plane of a running market.",
            "description": (
                "Every operation is on both ports and at every worker. "
                "What is refused is answered with `error` and `field`, and has changed nothing."
            ),
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": "/", "description": "The server that answers."}],
        "security": [{}, {"token": []}],
        "paths": paths,
        "components": {
            "schemas": components,
            "responses": {
                name: {"description": when, "content": problem}
                for name, (_, when) in REFUSALS.items()
            },
            "securitySchemes": {
                "token": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "The one of `--control-token`, or that a test server prints.",
                }
            },
        },
    }


def _describe(components: dict[str, Schema], kind: type[Struct], seen: set[type[Struct]]) -> None:
    """Add its docs to the schema of a class, and to those of the classes in its fields."""
    if kind in seen:
        return
    seen.add(kind)
    schema = components[kind.__name__]
    schema["description"] = first_paragraph(kind)
    docs = field_docs(kind)
    for each in msgspec.structs.fields(kind):
        if each.name in docs:
            schema["properties"][each.encode_name]["description"] = docs[each.name]
        for inner in structs_in(each.type):
            _describe(components, inner, seen)


def _operation(row: Operation, schema_of: Mapping[type[Struct], Schema]) -> Schema:
    """Return the description of an operation."""
    is_control = row.path.startswith(PLANT_PATHS)
    described: Schema = {
        "operationId": row.name,
        "summary": row.summary,
        "responses": _responses(row, schema_of),
    }
    if row.doc:
        described["description"] = row.doc
    if not is_control or row.is_public:
        described["security"] = []
    params = [
        _parameter("query", each.name, each.doc, each.schema(), required=each.required)
        for each in row.params
    ]
    if row.id_doc:
        params.insert(0, _parameter("path", "id", row.id_doc, {"type": "string"}, required=True))
    if params:
        described["parameters"] = params
    if row.body is not None:
        schema = schema_of[row.body] if isinstance(row.body, type) else row.body()
        content: Schema = {"schema": schema}
        if row.example:
            content["example"] = dict(row.example)
        described["requestBody"] = {"content": {"application/json": content}}
    return described


def _responses(row: Operation, schema_of: Mapping[type[Struct], Schema]) -> Schema:
    """Return the responses of an operation, by status."""
    is_control = row.path.startswith(PLANT_PATHS)
    kinds = [schema_of[kind] for kind in row.answers]
    schema: Schema = kinds[0] if len(kinds) == 1 else {"anyOf": kinds}
    if not kinds:
        schema = {"type": "object"} if "json" in row.content_type else {"type": "string"}
    media = row.content_type.partition(";")[0]
    content = {media: {"schema": schema}}
    problem = {"application/json": {"schema": schema_of[Problem]}}
    responses: Schema = {"200": {"description": row.summary, "content": content}}
    names = []
    if is_control:
        names += ["Forbidden"] if row.is_public else ["Unauthorized", "TooManyTokens", "Forbidden"]
        names += ["Invalid", "UrlTooLong"]
        names += [] if row.method in READING else ["NotJson"]
        names += ["BodyTooLong"] if row.method == "POST" else []
    for name in names:
        responses[f"{REFUSALS[name][0]}"] = {"$ref": f"#/components/responses/{name}"}
    for status, when in row.statuses.items():
        body = problem if is_control else content
        responses[f"{status}"] = {"description": when, "content": body}
    return dict(sorted(responses.items()))


def _parameter(place: str, name: str, doc: str, schema: Schema, *, required: bool) -> Schema:
    return {
        "name": name,
        "in": place,
        "required": required,
        "description": doc,
        "schema": schema,
    }
