"""What `tickerplant control` can do, as rows."""

from __future__ import annotations

from msgspec import Struct


class Action(Struct, frozen=True, kw_only=True):
    """One thing that can be done with a running server."""

    name: str
    usage: str
    """What follows the name."""
    doc: str
    least: int = 0
    most: int = 0
    """How many words may follow; -1 is any number."""


ACTIONS = (
    Action(
        name="clock",
        usage="[speed=NUMBER] [paused=true|false]",
        doc="Print the clock of the market, or set it.",
        most=-1,
    ),
    Action(name="pause", usage="", doc="Pause the market."),
    Action(
        name="resume",
        usage="",
        doc="Let the market go on.",
    ),
    Action(
        name="step",
        usage="DURATION",
        doc="Advance a paused market by market time, such as 10s; wait until that is done.",
        least=1,
        most=1,
    ),
    Action(
        name="settle",
        usage="[DURATION]",
        doc="Wait until all clients have read what was sent to them, at most 10s or as given.",
        most=1,
    ),
    Action(
        name="seek",
        usage="TIME",
        doc="Go on at a time, at an offset such as +10m or, in a replay, -10s, or in a simulation at now.",
        least=1,
        most=1,
    ),
    Action(
        name="coverage",
        usage="",
        doc="Print what the recordings of a replay cover, and where messages are missing.",
    ),
    Action(
        name="faults",
        usage="",
        doc="List the faults that are on, and how often each happened.",
    ),
    Action(
        name="fault",
        usage="KIND[=VALUE] [KEY=VALUE]...",
        doc="Turn a fault on: its kind, parameters, aim and window, such as drop=0.1 stream=*@depth.",
        least=1,
        most=-1,
    ),
    Action(
        name="clear",
        usage="[ID]",
        doc="Turn a fault off, or all of them.",
        most=1,
    ),
    Action(
        name="scenarios",
        usage="",
        doc="List the scenarios that were started, and the library.",
    ),
    Action(
        name="scenario",
        usage="NAME|FILE.toml",
        doc="Start a scenario of the library or of a file.",
        least=1,
        most=1,
    ),
    Action(
        name="stop",
        usage="[ID]",
        doc="Stop a scenario, or all of them.",
        most=1,
    ),
    Action(
        name="levers",
        usage="",
        doc="List the levers that are pulled, and those that there are.",
    ),
    Action(
        name="lever",
        usage="NAME [KEY=VALUE]...",
        doc="Pull a lever of a simulated market, such as shock move=-0.12 symbols=BTCUSDT.",
        least=1,
        most=-1,
    ),
    Action(
        name="release",
        usage="[ID]",
        doc="Release a lever, or all of them.",
        most=1,
    ),
    Action(
        name="connections",
        usage="",
        doc="List the connections, and why the last ones were closed.",
    ),
    Action(
        name="close",
        usage="ID",
        doc="Close a connection.",
        least=1,
        most=1,
    ),
    Action(
        name="limits",
        usage="",
        doc="Print how close clients came to the limits.",
    ),
    Action(
        name="nodes",
        usage="",
        doc="List the processes that serve the market.",
    ),
)
ACTION_BY_NAME = {each.name: each for each in ACTIONS}
