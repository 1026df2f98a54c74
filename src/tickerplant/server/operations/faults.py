"""The operations of faults on demand."""

from __future__ import annotations

from collections import Counter
from typing import Annotated, Any

from msgspec import Struct

from tickerplant.errors import ConfigError, RequestError
from tickerplant.faults.board import FaultBoard, FaultOn, State
from tickerplant.faults.catalogue import FAULTS
from tickerplant.faults.fault import ActsOn
from tickerplant.faults.params import ParamKind
from tickerplant.faults.rule import AIM_DOCS, WINDOW_DOCS, parse_rule
from tickerplant.server.operations.control_plane import ControlPlane
from tickerplant.server.operations.operation import NOT_THERE, Fields, Schema, operation

TEXT = "text"
"""The field that has a whole rule in its short form."""


class FaultRule(Struct, frozen=True, kw_only=True):
    """A rule: a fault that somebody asked for."""

    id: str
    """What it is called here: `f1`, `f2` …"""
    kind: str
    """What it does: the name of a [fault](faults.md)."""
    text: str
    """The rule as text."""
    rule: dict[str, Any]
    """The rule as it was given."""
    state: State
    """`waiting` until its window opens, `on`, or `over`."""
    hits: int
    """How often it has happened, at the edges too that are there."""
    opens_ms: int
    """When its window opens, in ms since 1970."""
    ends_ms: int | None
    """When it is over; null if it stays until it is removed."""
    hint: str
    """When it can happen, as long as it has not; empty once it has."""


class FaultParam(Struct, frozen=True, kw_only=True):
    """A parameter of a kind of fault."""

    name: str
    doc: str
    kind: ParamKind
    """What its value is: a `share` from 0 to 1, a `duration` such as `200ms`, …"""
    expected: str
    """What a value has to be, in words."""
    required: bool
    choices: tuple[str | int, ...]
    """The only values; empty if there are others."""


class FaultKind(Struct, frozen=True, kw_only=True):
    """A kind of fault."""

    name: str
    acts_on: ActsOn
    """What it acts on."""
    doc: str
    """What it does."""
    form: str
    """Its short form: `drop=SHARE`."""
    lasts: bool
    """Whether it stays as long as its window is open; else it happens at moments."""
    params: tuple[FaultParam, ...]
    aims: tuple[str, ...]
    """What it can be aimed at: names of `aims` of the page."""


FAULT_KINDS = tuple(
    FaultKind(
        name=kind,
        acts_on=fault.acts_on,
        doc=fault.doc(),
        form=fault.form(),
        lasts=fault.lasts,
        params=tuple(
            FaultParam(
                name=each.name,
                doc=each.doc,
                kind=each.kind.name,
                expected=each.expected,
                required=each.required,
                choices=each.kind.choices,
            )
            for each in fault.params()
        ),
        aims=fault.aims,
    )
    for kind, fault in FAULTS.items()
)
"""Every kind of fault, as the page shows it."""


class FaultKey(Struct, frozen=True, kw_only=True):
    """A field of faults of several kinds."""

    name: str
    doc: str


AIMS = tuple(FaultKey(name=name, doc=doc) for name, doc in AIM_DOCS.items())
WINDOWS = tuple(FaultKey(name=name, doc=doc) for name, doc in WINDOW_DOCS.items())


class FaultsPage(Struct, frozen=True, kw_only=True):
    """The faults."""

    seed: int
    """The seed of the random draws."""
    clock: str
    """By which time windows open: `market` or `connection`."""
    rules: list[FaultRule]
    """The rules in the order in which they were added; of those that are over, the last 100."""
    counts: dict[str, int]
    """How often each kind of fault has happened, at all edges too."""
    kinds: tuple[FaultKind, ...] = FAULT_KINDS
    """The kinds that there are."""
    aims: tuple[FaultKey, ...] = AIMS
    """What a fault can be aimed at."""
    windows: tuple[FaultKey, ...] = WINDOWS
    """What says when and how often it happens."""


def fault_rule(on: FaultOn, at_edges: int = 0) -> FaultRule:
    """Return a rule as it is shown, with how often it has happened at edges."""
    hits = on.hits + at_edges
    hint = on.rule.fault.occasion
    if on.state == "waiting":
        hint = f"its window has not opened; {hint}"
    return FaultRule(
        id=on.id,
        kind=on.rule.kind,
        text=on.rule.text,
        rule=dict(on.rule.given),
        state=on.state,
        hits=hits,
        opens_ms=on.opens_ms,
        ends_ms=on.ends_ms,
        hint="" if hits else hint,
    )


def _board(plane: ControlPlane) -> FaultBoard:
    assert plane.faults is not None  # noqa: S101  # only an edge has none, and asks its plant
    return plane.faults


def _page(plane: ControlPlane) -> FaultsPage:
    """Return the faults, counted here and at the edges."""
    board, edges = _board(plane), plane.edges
    counts, hits = Counter(board.counts), Counter[str]()
    if edges is not None:
        counts.update(edges.fault_counts())
        hits.update(edges.fault_hits())
    return FaultsPage(
        seed=board.seed,
        clock="market" if board.clock.is_market else "connection",
        rules=[fault_rule(on, hits[on.id]) for on in board],
        counts=counts,
    )


def _body() -> Schema:
    """Return the schema of a rule."""
    properties: Schema = {
        "kind": {"enum": list(FAULTS), "description": "What goes wrong."},
        TEXT: {
            "type": "string",
            "description": "The whole rule in its short form, such as `drop=0.1 for=60s`; then "
            "nothing else is given.",
        },
    }
    any_value = ["string", "number", "boolean"]
    for fault in FAULTS.values():
        for param in fault.params():
            properties.setdefault(param.name, {"type": any_value, "description": param.doc})
    for name, doc in {**AIM_DOCS, **WINDOW_DOCS}.items():
        properties[name] = {"type": any_value, "description": doc}
    required = [{"required": ["kind"]}, {"required": [TEXT]}]
    return {"type": "object", "oneOf": required, "properties": properties}


@operation("GET", "/plant/v1/faults")
def faults(plane: ControlPlane) -> FaultsPage:
    """The faults that are on, how often each happened, and all kinds there are."""
    return _page(plane)


@operation(
    "POST",
    "/plant/v1/faults",
    body=_body,
    example={"kind": "drop", "share": 0.1, "stream": "btcusdt@depth*", "for": "60s"},
)
def add_fault(plane: ControlPlane, fields: Fields) -> FaultRule:
    """Turn a fault on; the response is the rule with its `id`.

    The body has the `kind` and, by name, its parameters, its aim and its window; or the short form in
    `text`.
    """
    text = fields.get(TEXT)
    if TEXT in fields and len(fields) > 1:
        raise ConfigError(TEXT, text, "no other field beside it")
    if TEXT in fields and not isinstance(text, str):
        raise ConfigError(TEXT, text, "a text such as drop=0.1 for=60s")
    rule = parse_rule(fields if text is None else text)
    return fault_rule(_board(plane).add(rule))


@operation("DELETE", "/plant/v1/faults")
def remove_faults(plane: ControlPlane) -> FaultsPage:
    """Turn all faults off."""
    _board(plane).clear()
    return _page(plane)


@operation("DELETE", "/plant/v1/faults/{id}", statuses={404: "There is no such fault."})
def remove_fault(
    plane: ControlPlane, id_: Annotated[str, "the id of a fault, such as `f1`."]
) -> FaultsPage:
    """Turn a fault off; the response has those that are left."""
    board = _board(plane)
    try:
        board.remove(id_)
    except KeyError:
        known = ", ".join(each.id for each in board) or "there is none"
        raise RequestError(NOT_THERE, f"there is no fault {id_}: {known}", 404) from None
    return _page(plane)
