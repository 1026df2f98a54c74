from __future__ import annotations

import json
from typing import Any

import pytest
from loopback import Loopback, loopback, looped
from openapi_schema_validator import OAS31Validator
from openapi_spec_validator import validate
from simulated_house import simulated_house

from tickerplant.errors import ConfigError
from tickerplant.server.guard import PLANT_PATHS
from tickerplant.server.operations.catalogue import OPERATIONS, Router
from tickerplant.server.operations.clock import coverage
from tickerplant.server.operations.openapi import openapi_document
from tickerplant.server.operations.operation import Operation, QueryParam
from tickerplant.server.operations.operation import operation as operation_at
from tickerplant.server.operations.pages import profile
from tickerplant.server.response import JSON, Response

DOCUMENT = json.loads(json.dumps(openapi_document(OPERATIONS)))
JSON_TYPE = {"Content-Type": "application/json"}


@pytest.mark.heavy
def test_the_document_is_valid_openapi_and_has_every_operation() -> None:
    validate(DOCUMENT)
    described = {
        (method.upper(), path) for path, methods in DOCUMENT["paths"].items() for method in methods
    }
    assert described == {(each.method, each.path) for each in OPERATIONS}
    names = [each.name for each in OPERATIONS]
    assert len(names) == len(set(names))


def test_every_field_of_an_answer_is_described() -> None:
    schemas = DOCUMENT["components"]["schemas"]
    fields = schemas["ConnectionRow"]["properties"]
    assert all(each.get("description") for each in fields.values())
    assert schemas["SimulationState"]["properties"]["time_ms"]["description"] == (
        "Market time, ms since 1970."
    )


def test_an_operation_that_names_something_says_what() -> None:
    assert [each.path for each in OPERATIONS if ("{id}" in each.path) != bool(each.id_doc)] == []


def test_a_body_is_only_for_posts_and_has_an_example() -> None:
    bodies = [each for each in OPERATIONS if each.body is not None]
    assert all(each.method == "POST" and each.example for each in bodies)


def test_a_path_finds_its_operations_and_nothing_else() -> None:
    def nothing() -> Response:
        return Response(b"")

    def row(method: Any, path: str) -> Operation:
        return operation_at(method, path)(nothing)

    router = Router([row("GET", "/a"), row("DELETE", "/a/{id}"), row("GET", "/a/b/c")])
    for path, template, name, allowed in (
        ("/a", "/a", "", "GET, HEAD"),
        ("/a/f1", "/a/{id}", "f1", "DELETE"),
        ("/a/b/c", "/a/b/c", "", "GET, HEAD"),
    ):
        route = router.find(path)
        assert route is not None
        assert (route.template, route.id, route.allowed) == (template, name, allowed)
    assert [router.find(path) for path in ("/", "/a/", "/a/b/d", "/b", "a", "")] == [None] * 6


def conforms(operation: Operation, status: int, page: Any) -> None:
    """Raise ValidationError unless the document says that an operation may answer this."""
    responses = DOCUMENT["paths"][operation.path][operation.method.lower()]["responses"]
    response = responses[f"{status}"]
    if "$ref" in response:
        response = DOCUMENT["components"]["responses"][response["$ref"].rpartition("/")[2]]
    schema = response["content"]["application/json"]["schema"]
    OAS31Validator({**schema, "components": DOCUMENT["components"]}).validate(page)


async def answer(house: Loopback, operation: Operation, named: str) -> tuple[int, Any]:
    path = operation.path.replace("{id}", named)
    if any(each.name == "symbol" for each in operation.params):
        path += "?symbol=BTCUSDT"
    body = json.dumps(operation.example).encode() if operation.example else None
    headers = JSON_TYPE if body else {}
    found = await house.get(path, method=operation.method, headers=headers, body=body)
    return found.status, found.json


@pytest.mark.heavy
@looped
async def test_every_operation_answers_what_the_document_says() -> None:
    order = ("POST", "GET", "DELETE")
    rows = [each for each in OPERATIONS if each.content_type == JSON]
    rows.sort(key=lambda each: (order.index(each.method), "{id}" not in each.path))
    async with simulated_house() as full, full.connect("/ws/btcusdt@trade") as client:
        (connection,) = (await full.get("/plant/v1/connections")).json["connections"]
        ids = {"connections": connection["id"], "faults": "f1", "scenarios": "s1", "levers": "l1"}
        for operation in rows:
            named = ids.get(operation.path.split("/")[3] if "{id}" in operation.path else "", "")
            status, page = await answer(full, operation, named)
            assert status == (404 if operation.path == coverage.path else 200), (
                operation.name,
                page,
            )
            conforms(operation, status, page)
        await client.wait_closed()
    async with loopback() as bare:
        for operation in rows:
            conforms(operation, *(await answer(bare, operation, "x")))


@looped
async def test_a_method_that_a_path_does_not_have_is_refused_with_those_it_has() -> None:
    async with loopback() as house:
        found = await house.get("/plant/v1/nodes", method="POST", headers=JSON_TYPE, body=b"{}")
        assert (found.status, found.headers["allow"]) == (405, "GET, HEAD")
        assert found.json == {"error": "POST is not possible at /plant/v1/nodes, only GET, HEAD"}
        found = await house.get("/plant/v1/nodes", method="HEAD")
        assert (found.status, found.body) == (200, b"")


@looped
async def test_an_unknown_parameter_is_refused_with_those_there_are() -> None:
    async with loopback() as house:
        found = await house.get("/plant/v1/connections?limits=3")
        assert found.status == 400
        assert "invalid value 'limits' for parameter" in found.json["error"]
        assert "limit" in found.json["error"]
        assert (await house.get("/metrics?x=1")).status == 200, "a scraper may have its own"


@looped
async def test_a_parameter_that_is_given_twice_is_refused() -> None:
    async with loopback() as house:
        for method, path, name in (
            ("GET", "/plant/v1/connections?limit=1&limit=2", "limit"),
            ("POST", "/plant/v1/faults?kind=drop&share=0.1&share=0.9", "share"),
        ):
            found = await house.get(path, method=method, headers=JSON_TYPE)
            assert (found.status, found.json["field"]) == (400, name)
        assert (await house.get("/plant/v1/faults")).json["rules"] == []
        assert (await house.get("/metrics?x=1&x=2")).status == 200, "a scraper may have its own"


@looped
async def test_an_operation_has_one_path() -> None:
    async with loopback() as house:
        assert (await house.get("/plant/v1/nodes")).status == 200
        for path in (
            *("/%70lant/v1/nodes", "/plant%2Fv1/nodes", "/plant/v1/%6Eodes", "/plant/v1%2fnodes"),
            *("//plant/v1/nodes", "/plant/v1//nodes", "/x/../plant/v1/nodes", "/plant/v1/./nodes"),
            *(
                "/plant/v1/nodes/",
                "/PLANT/v1/nodes",
                "/plant/v1/nodes;x",
                "/plant/v1/connections%2Fc1",
            ),
        ):
            assert (await house.get(path)).status == 404, path
        gone = await house.get("/plant/v1/connections/%63%2D1", method="DELETE")
        assert "c-1" in gone.json["error"], "only an id may be escaped"


TOKEN = "correct horse"  # noqa: S105  # of this test alone


@looped
async def test_with_a_token_only_health_metrics_and_the_addresses_are_open() -> None:
    async with loopback(control_token=TOKEN) as house:
        for operation in OPERATIONS:
            path = operation.path.replace("{id}", "x")
            found = await house.get(path, method=operation.method)
            is_open = not path.startswith(PLANT_PATHS) or path == profile.path
            assert (found.status != 401) == is_open, path
            if not is_open:
                assert found.headers["www-authenticate"].startswith("Bearer")
                assert "Authorization: Bearer TOKEN" in found.json["error"]
        headers = {"Authorization": f"Bearer {TOKEN}"}
        assert (await house.get("/plant/v1/nodes", headers=headers)).status == 200
        assert (await house.get("/plant/v1/nothing")).status == 401
        assert (await house.get("/plant/v1/profile")).json == {"profile": "2026q1"}
        changed = await house.get("/plant/v1/profile", method="POST", headers=JSON_TYPE)
        assert changed.status == 401
        assert (await house.get("/fapi/v1/ping")).status == 200
        text = (await house.get("/")).body.decode()
        assert "needs a token" in text
        assert TOKEN not in text
        assert not [key for key in house.server.complaints.counts if TOKEN in key]


@looped
async def test_what_is_too_long_is_refused_as_the_document_says() -> None:
    async with loopback() as house:
        for operation in OPERATIONS:
            if not operation.path.startswith("/plant/v1/"):
                continue
            path = operation.path.replace("{id}", "x")
            url = f"{path}?{'a=1&' * 3_000}"
            found = await house.get(url, method=operation.method, headers=JSON_TYPE)
            assert found.status == 414, path
            conforms(operation, found.status, found.json)
            if operation.method == "POST":
                body = b" " * (max(4_096, operation.max_body_bytes) + 1)
                found = await house.get(path, method="POST", headers=JSON_TYPE, body=body)
                assert found.status == 413, path
                conforms(operation, found.status, found.json)


@looped
async def test_the_short_form_of_a_fault_is_a_text() -> None:
    async with loopback() as house:
        for given in (b'{"text":{"kind":"drop"}}', b'{"text":7}', b'{"text":null}'):
            found = await house.get(
                "/plant/v1/faults", method="POST", headers=JSON_TYPE, body=given
            )
            assert (found.status, found.json["field"]) == (400, "text")


@looped
async def test_what_changes_the_server_is_refused_to_web_pages() -> None:
    async with loopback() as house:
        for operation in OPERATIONS:
            if operation.method == "GET":
                continue
            path = operation.path.replace("{id}", "x")
            foreign = {**JSON_TYPE, "Origin": "http://evil.example"}
            found = await house.get(path, method=operation.method, headers=foreign, body=b"{}")
            assert found.status == 403, path
            text = {"Content-Type": "text/plain"}
            found = await house.get(path, method=operation.method, headers=text, body=b"{}")
            assert found.status == 415, path


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        (int, "0", 0),
        (int, "600", 600),
        (int, "601", None),
        (int, "-1", None),
        (int, "٣", None),
        (int, "9" * 30, None),
        (float, "600s", 600),
        (float, "0.25s", 0.25),
        (float, "601s", None),
        (float, "soon", None),
        (str, "", ""),
    ],
)
def test_a_parameter_is_read_within_its_bounds(kind: Any, text: str, value: object) -> None:
    param = QueryParam(name="wait", doc="How long.", kind=kind, most=600)
    if value is not None:
        assert param.read(text) == value
        return
    with pytest.raises(ConfigError, match=r"wait: expected .*600"):
        param.read(text)


@looped
async def test_what_is_long_and_wrong_is_repeated_in_part_only() -> None:
    long = "K" * 6_000
    async with simulated_house() as house:
        for method, path in (
            ("GET", "/fapi/v1/{}"),
            ("GET", "/plant/v1/{}"),
            ("DELETE", "/plant/v1/connections/{}"),
            ("DELETE", "/plant/v1/faults/{}"),
            ("DELETE", "/plant/v1/scenarios/{}"),
            ("DELETE", "/plant/v1/levers/{}"),
        ):
            answer = await house.get(path.format(long), method=method)
            assert answer.status == 404
            assert b"KKKK" in answer.body
            assert len(answer.body) < 400, path
        for target in ("/ws", "/ws-fapi/v1"):
            async with house.connect(target) as client:
                await client.send('{"id":1,"method":"%s"}' % ("K" * 3_500))
                assert len(await client.recv()) < 700, target
