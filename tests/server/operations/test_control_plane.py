from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any

import pytest
from loopback import START_MS, Answer, Loopback, ending, looped, until
from programs import PATIENCE_S
from simulated_house import simulated_house

from tickerplant.faults.catalogue import FAULTS

pytestmark = pytest.mark.heavy


async def post(house: Loopback, path: str, **fields: Any) -> Answer:
    headers = {"Content-Type": "application/json"}
    return await house.get(
        f"/plant/v1/{path}", method="POST", headers=headers, body=json.dumps(fields).encode()
    )


CLOCK = f"clock?wait={PATIENCE_S}s"
"""A request to it is answered when a step is over."""
SOME = {"duration": "1s", "status": 503, "rate": "64KB", "integer": 1, "offset": "-5s"}
"""A value of each kind that a fault may require."""
SOME_AIM = {"venue": "usdm", "connections": 0.5}


async def delete(house: Loopback, path: str) -> Answer:
    return await house.get(f"/plant/v1/{path}", method="DELETE")


@looped
async def test_a_fault_is_added_listed_happens_and_is_removed_while_the_server_runs() -> None:
    async with simulated_house() as house, house.connect("/ws/btcusdt@aggTrade") as client:
        await until(lambda: house.server.congestion.subscriber_count)
        added = await post(house, "faults", kind="drop", stream="btcusdt@aggTrade", **{"for": "1h"})
        assert (added.status, added.json["id"], added.json["state"]) == (200, "f1", "on")
        assert added.json["rule"] == {"kind": "drop", "stream": "btcusdt@aggTrade", "for": "1h"}
        await post(house, CLOCK, step="5s")
        page = (await house.get("/plant/v1/faults")).json
        assert (page["clock"], page["rules"][0]["hits"]) == ("market", page["counts"]["drop"])
        assert page["rules"][0]["hits"] > 0
        assert (await delete(house, "faults/f1")).json["rules"] == []
        await post(house, CLOCK, step="5s")
        seen = json.loads(await client.recv())
        assert seen["E"] > START_MS + 5_000, "what came before was dropped"


@looped
async def test_a_fault_in_its_short_form_closes_a_connection_at_once() -> None:
    async with simulated_house() as house, house.connect("/ws/btcusdt@trade") as client:
        (row,) = (await house.get("/plant/v1/connections")).json["connections"]
        added = await post(house, "faults", text=f"close=4001 connection={row['id']}")
        assert (added.status, added.json["state"]) == (200, "over")
        assert (await ending(client))[0] == 4001


@looped
async def test_the_kinds_of_faults_say_what_can_be_asked_for() -> None:
    async with simulated_house() as house:
        page = (await house.get("/plant/v1/faults")).json
        kinds = {each["name"]: each for each in page["kinds"]}
        assert list(kinds) == list(FAULTS)
        (share, mean) = kinds["drop"]["params"]
        assert (share["name"], share["kind"], share["required"]) == ("share", "share", False)
        assert mean["expected"].startswith("a duration")
        assert kinds["http"]["params"][0]["choices"][0] == 400
        for name, kind in kinds.items():
            required = [each for each in kind["params"] if each["required"]]
            given = {each["name"]: SOME[each["kind"]] for each in required}
            aim = {aim: SOME_AIM[aim] for aim in kind["aims"] if aim in SOME_AIM}
            added = await post(house, "faults", kind=name, at="+1h", **given, **aim)
            assert added.status == 200, (name, added.json)
            for each in required:
                wrong = await post(house, "faults", kind=name, **given | {each["name"]: "?"})
                assert (wrong.status, wrong.json["field"]) == (400, each["name"])
                assert each["expected"] in wrong.json["error"]
        aims = {each["name"] for each in page["aims"]}
        assert all(aims.issuperset(kind["aims"]) for kind in kinds.values())
        assert "for" in {each["name"] for each in page["windows"]}


@pytest.mark.parametrize(
    ("path", "fields", "said"),
    [
        ("faults", {"kind": "dorp"}, "did you mean drop"),
        ("faults", {"kind": "drop", "stream": "nosuch"}, "no stream has this name"),
        ("faults", {"kind": "reset", "connection": "c0"}, "the id of an open connection"),
        ("faults", {"kind": "stall", "stream": "nosuch*"}, "expected a pattern of streams"),
        ("faults", {"text": "http_503 path=/fapi/v1/deth"}, "is served; did you mean"),
        ("faults", {"kind": "api_error", "method": "tick"}, "expected a method that is served"),
        ("faults", {"text": "drop", "kind": "drop"}, "no other field beside it"),
        ("faults", {}, "kind"),
        ("levers", {"market": "shok", "move": 1}, "did you mean shock"),
        ("levers", {"market": "shock"}, "move is missing"),
        ("levers", {"market": "shock", "move": -0.1, "symbols": ["NOPE"]}, "NOPE"),
        ("scenarios", {"scenario": "flash-crsh"}, "did you mean flash-crash"),
        ("scenarios", {"toml": "[[change"}, "scenario"),
        ("scenarios", {}, "scenario is missing"),
        ("clock", {"step": "1s", "paused": False}, "the simulation is not paused"),
    ],
)
@looped
async def test_what_cannot_be_done_is_said_and_changes_nothing(
    path: str, fields: Mapping[str, Any], said: str
) -> None:
    async with simulated_house() as house:
        before = (await house.get(f"/plant/v1/{path}")).json
        answer = await post(house, path, **fields)
        assert answer.status in {400, 409}
        assert said in answer.json["error"]
        assert (await house.get(f"/plant/v1/{path}")).json == before


@looped
async def test_a_lever_moves_the_market_and_is_released() -> None:
    async with simulated_house() as house:
        market = house.plant.markets["BTCUSDT"]
        before = market.book.best_bid
        pulled = await post(
            house, "levers", market="shock", symbols=["BTCUSDT"], move=-0.05, over="2s"
        )
        assert (pulled.status, pulled.json["id"], pulled.json["state"]) == (200, "l1", "waiting")
        held = await post(house, "levers", market="halt")
        assert held.json["since_ms"] == START_MS + 1
        assert (await delete(house, f"levers/{held.json['id']}")).status == 200
        await post(house, CLOCK, step="4s")
        after = market.book.best_bid
        assert before is not None
        assert after is not None
        assert after[0] < before[0] * 0.97
        absent = await delete(house, "levers/l9")
        assert (absent.status, absent.json["error"][:18]) == (404, "no lever l9 is pul")


@looped
async def test_a_scenario_is_started_and_stopped() -> None:
    toml = 'title = "T"\nduration = "2h"\n[[change]]\nat = "5s"\nfor = "1h"\nfault = "drop"\n'
    async with simulated_house() as house:
        started = await post(house, "scenarios", toml=toml)
        assert (started.status, started.json["id"]) == (200, "s1"), started.json
        assert (await house.get("/plant/v1/faults")).json["rules"] == []
        await post(house, CLOCK, step="6s")
        (rule,) = (await house.get("/plant/v1/faults")).json["rules"]
        assert (rule["kind"], rule["state"]) == ("drop", "on")
        page = (await delete(house, "scenarios/s1")).json
        assert (page["scenarios"][0]["state"], page["scenarios"][0]["stopped"]) == ("over", True)
        assert "flash-crash" in {each["name"] for each in page["library"]}
        assert not [each for each in house.server.faults if each.state == "on"]
        assert (await delete(house, "scenarios/s1")).status == 404


@looped
async def test_two_steps_at_a_time_are_refused_over_http() -> None:
    async with simulated_house() as house:
        first, second = await asyncio.gather(
            post(house, CLOCK, step="2s"), post(house, CLOCK, step="1s")
        )
        assert (second.status, second.json["error"][:18]) == (409, "step: another step")
        state = first.json
        assert (state["time_ms"], state["pending"]) == (START_MS + 2_000, False)


@looped
async def test_when_the_market_is_over_everything_says_so() -> None:
    async with simulated_house(duration_ms=1_000) as house:
        assert (await post(house, CLOCK, step="1h")).json["state"] == "over"
        for path, fields in (
            ("clock", {"step": "1s"}),
            ("levers", {"market": "halt"}),
            ("scenarios", {"scenario": "flash-crash"}),
        ):
            answer = await post(house, path, **fields)
            assert answer.status == 409
            assert "is over" in answer.json["error"]
