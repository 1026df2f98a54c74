"""Levers, as rows: what changes the simulated market while it runs, and how somebody writes it.

A lever is written as a flat mapping, the same in JSON, TOML and Python: `market` names the row,
`symbols` and `venue` say where, `for` how long, and every other key is a parameter of the row.
`lever_board.py` carries them out.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, TypeAlias

from msgspec import Struct

from tickerplant.errors import ConfigError
from tickerplant.stream_name import is_symbol
from tickerplant.suggestions import one_of
from tickerplant.units import EXPECTED_DURATION, NS_PER_MS, parse_duration_ns
from tickerplant.venue import VENUES

Value: TypeAlias = float | str | bool
"""The value of a parameter: a number, a word, whether something is so; durations are in ms."""
Kind: TypeAlias = Literal["number", "duration", "choice", "flag"]


class LeverParam(Struct, frozen=True):
    """A parameter of a lever."""

    name: str
    kind: Kind
    doc: str
    default: Value | None = None
    """As it is written; None if it must be given."""
    least: float = 0.0
    most: float = 0.0
    """Bounds of a number."""
    choices: tuple[str, ...] = ()

    @property
    def expected(self) -> str:
        """What a value has to be, in words."""
        if self.kind == "number":
            return f"a number from {self.least:g} to {self.most:g}"
        if self.kind == "duration":
            return EXPECTED_DURATION
        return one_of("", self.choices) if self.choices else "true or false"

    def read(self, given: object) -> Value:
        """Return the value that somebody wrote."""
        if self.kind == "duration":
            return read_duration_ms(self.name, given)
        if self.kind == "flag":
            if isinstance(given, bool):
                return given
        elif self.kind == "choice":
            if isinstance(given, str) and given in self.choices:
                return given
            raise ConfigError(self.name, given, one_of(str(given), self.choices))
        elif isinstance(given, int | float) and not isinstance(given, bool):
            number = float(given)
            if self.least <= number <= self.most:
                return number
        raise ConfigError(self.name, given, self.expected)


class LeverRow(Struct, frozen=True):
    """One lever."""

    name: str
    doc: str
    params: tuple[LeverParam, ...] = ()
    has_duration: bool = False
    """Whether it holds until it is released, or for the time that `for` gives."""
    symbols: Literal["all", "named", "new"] = "all"
    """Without `symbols` it is about all contracts; they must be named; or they are new ones."""


class Lever(Struct, frozen=True):
    """A lever that may be pulled: a row, its values and where it acts."""

    row: LeverRow
    values: Mapping[str, Value]
    """Every parameter of the row; durations are in milliseconds."""
    symbols: tuple[str, ...] = ()
    """The contracts; empty for all that match."""
    venue: str = ""
    """The name of a venue; empty for both."""
    for_ms: int | None = None
    """How long it holds; None until it is released."""
    written: Mapping[str, object] = {}
    """The mapping that it was parsed from."""

    def number(self, name: str) -> float:
        """Return the value of a number, or of a duration in milliseconds."""
        return float(self.values[name])


LeverPhase: TypeAlias = Literal["waiting", "on", "releasing", "over"]


class LeverState(Struct, frozen=True):
    """One lever that was pulled."""

    id: str
    """Such as `l1`; it is released by it."""
    market: str
    """The name of the lever."""
    state: LeverPhase
    """`waiting`, `on`, or `releasing`: it was released, and ends when market time goes on, or when
    prices have gone back."""
    parameters: Mapping[str, Value]
    """The value of each parameter; durations are in milliseconds."""
    symbols: tuple[str, ...]
    """The contracts that it names; empty if it is about all that match."""
    venue: str
    """The name of the venue; empty for both."""
    since_ms: int
    """Market time at which it takes effect."""
    until_ms: int | None
    """Market time at which it ends; None if it holds until it is released."""


def read_duration_ms(name: str, given: object) -> int:
    """Return a duration that somebody wrote, in milliseconds."""
    if not isinstance(given, str):
        raise ConfigError(name, given, EXPECTED_DURATION)
    try:
        return parse_duration_ns(given.strip()) // NS_PER_MS
    except ValueError as error:
        raise ConfigError(name, given, str(error)) from None


OVER = "30s"
SHOCK = LeverRow(
    "shock",
    "News moves the fair values by `move` within `over`, in steps of random size. "
    "Most makers withdraw meanwhile, orders multiply, and the contracts move farther than their "
    "indices. Then the share `recover` of the move comes back within `recover_over`, and the "
    "makers return.",
    (
        LeverParam(
            "move",
            "number",
            "The relative move: -0.12 is a fall by 12 %.",
            least=-0.9,
            most=9.0,
        ),
        LeverParam("over", "duration", "The time that the move takes.", OVER),
        LeverParam(
            "recover",
            "number",
            "The share of the move (as a logarithm) that is taken back.",
            0.0,
            least=0.0,
            most=1.5,
        ),
        LeverParam(
            "recover_over",
            "duration",
            "The time from the end of the move in which it is taken back and makers return.",
            "60s",
        ),
        LeverParam(
            "beta",
            "flag",
            "Whether each underlying moves by `move` times its sensitivity to the common news, "
            "relative to BTC's.",
            default=False,
        ),
        LeverParam(
            "stay",
            "number",
            "The share of the makers that stay during the move; during the recovery it is the "
            "square root of this.",
            0.25,
            least=0.0,
            most=1.0,
        ),
        LeverParam(
            "flow",
            "number",
            "The factor of the order flow during the move, and its square root during the recovery.",
            3.0,
            least=0.0,
            most=50.0,
        ),
        LeverParam(
            "overshoot",
            "number",
            "The share of the move by which the contracts go farther than their indices.",
            0.1,
            least=0.0,
            most=0.5,
        ),
    ),
)
VOLATILITY = LeverRow(
    "volatility",
    "Multiplies the size of all news about the underlyings.",
    (
        LeverParam(
            "factor", "number", "The factor; 0 is a market without news.", least=0.0, most=50.0
        ),
    ),
    has_duration=True,
)
ACTIVITY = LeverRow(
    "activity",
    "Multiplies the order flow of takers and the spontaneous requoting of makers.",
    (
        LeverParam(
            "factor",
            "number",
            "The factor; with 0 only takers who react to stale quotes are left.",
            least=0.0,
            most=50.0,
        ),
    ),
    has_duration=True,
)
MAKERS = LeverRow(
    "makers",
    "Makers withdraw within half a second: fewer levels, smaller best quantities and a wider "
    "spread. They come back within seconds after the release.",
    (
        LeverParam(
            "presence",
            "number",
            "The share of the makers that stay; with 0 the book becomes empty.",
            least=0.0,
            most=1.0,
        ),
    ),
    has_duration=True,
)
DEPTH = LeverRow(
    "depth",
    "Multiplies the quantities at all prices; the number of levels and the spread stay.",
    (LeverParam("factor", "number", "The factor.", least=0.001, most=10.0),),
    has_duration=True,
)
ONE_SIDED = LeverRow(
    "one_sided",
    "The makers of one side withdraw within half a second, and that side of the book becomes "
    "empty. The other side keeps following the fair value.",
    (
        LeverParam(
            "side", "choice", "The side whose makers leave.", "bids", choices=("bids", "asks")
        ),
    ),
    has_duration=True,
)
HALT = LeverRow(
    "halt",
    "Halts trading: the status becomes `TRADING_HALT`, and there are no trades and no changes of "
    "the book until trading resumes where it stopped. Mark and index prices go on.",
    has_duration=True,
)
LIQUIDATIONS = LeverRow(
    "liquidations",
    "Leveraged positions are liquidated: forced orders trade with the book, move the price and so "
    "force further ones.",
    (
        LeverParam(
            "side",
            "choice",
            "Which positions: those of `longs` are sold, those of `shorts` bought back.",
            "longs",
            choices=("longs", "shorts"),
        ),
        LeverParam(
            "notional",
            "number",
            "The value of these positions in USD, shared among the contracts in proportion to "
            "their usual volume.",
            5_000_000.0,
            least=1_000.0,
            most=10_000_000_000.0,
        ),
        LeverParam("over", "duration", "The time in which they are liquidated.", OVER),
    ),
)
FUNDING = LeverRow(
    "funding",
    "Moves the predicted funding rate of the perpetual contracts, and with it their price over or "
    "under the index, as if it had been there for the whole interval.",
    (
        LeverParam(
            "rate",
            "number",
            "The rate for an interval, as the exchange writes it: 0.02 is 2 %. The cap of a "
            "contract limits it.",
            least=-0.03,
            most=0.03,
        ),
        LeverParam("over", "duration", "The time that the premium takes to build up.", "10s"),
    ),
    has_duration=True,
)
LIST = LeverRow(
    "list",
    "Lists perpetual contracts of USDⓈ-M: announced at once as `PENDING_TRADING`, they start "
    "trading without history after `notice`. Without `symbols`, it is one of a new coin.",
    (LeverParam("notice", "duration", "The time from the announcement to trading.", "60s"),),
    symbols="new",
)
DELIST = LeverRow(
    "delist",
    "Delists contracts: the delivery date moves to the end of `notice`, then they stop trading "
    "(`SETTLING`), and two minutes later they are removed (`CLOSE`).",
    (LeverParam("notice", "duration", "The time from the announcement to the end.", "60s"),),
    symbols="named",
)
DELIVER = LeverRow(
    "deliver",
    "Delivers dated contracts early, at the average index of the time since the lever: "
    "`DELIVERING` after `notice`, `DELIVERED` ten seconds later. No contract takes their place. "
    "Without `symbols`, those of the current quarter.",
    (LeverParam("notice", "duration", "The time from the announcement to the delivery.", "60s"),),
)

LEVER_ROWS = (
    SHOCK,
    VOLATILITY,
    ACTIVITY,
    MAKERS,
    DEPTH,
    ONE_SIDED,
    HALT,
    LIQUIDATIONS,
    FUNDING,
    LIST,
    DELIST,
    DELIVER,
)
_ROW_BY_NAME = {row.name: row for row in LEVER_ROWS}
_VENUE_NAMES = tuple(venue.name for venue in VENUES)


def parse_lever(given: Mapping[str, object]) -> Lever:
    """Return the lever that somebody wrote.

    Args:
        given: `market`, the name of a row; its parameters; and where they apply, `symbols` (a
            symbol or a list of them), `venue` and `for`.

    Raises:
        ConfigError: A key is unknown or missing, or a value is not valid; `setting` is the key.
    """
    name = given.get("market")
    if not isinstance(name, str) or name not in _ROW_BY_NAME:
        raise ConfigError("market", name, one_of(str(name), _ROW_BY_NAME))
    row = _ROW_BY_NAME[name]
    allowed = ["market", "symbols", "venue", *(param.name for param in row.params)]
    if row.has_duration:
        allowed.append("for")
    for key in given:
        if key not in allowed:
            raise ConfigError(f"a key of {name}", key, one_of(str(key), allowed))
    values: dict[str, Value] = {}
    for param in row.params:
        written = given.get(param.name, param.default)
        if written is None:
            raise ConfigError(param.name, None, param.expected)
        values[param.name] = param.read(written)
    venue = given.get("venue", "")
    if "venue" in given and venue not in _VENUE_NAMES:
        raise ConfigError("venue", venue, one_of(str(venue), _VENUE_NAMES))
    for_ms = None
    if "for" in given and not (for_ms := read_duration_ms("for", given["for"])):
        raise ConfigError("for", given["for"], f"{EXPECTED_DURATION}, of more than 0")
    symbols = _read_symbols(row, given.get("symbols"))
    return Lever(row, values, symbols, str(venue), for_ms, dict(given))


def _read_symbols(row: LeverRow, given: object) -> tuple[str, ...]:
    """Return the symbols in capitals, each once."""
    expected = "a symbol, or a list of symbols, such as BTCUSDT"
    if given is None:
        if row.symbols == "named":
            raise ConfigError("symbols", None, expected)
        return ()
    listed = [given] if isinstance(given, str) else given
    if not isinstance(listed, list | tuple) or not listed:
        raise ConfigError("symbols", given, expected)
    for each in listed:
        if not is_symbol(each):
            raise ConfigError("symbols", each, expected)
    return tuple(dict.fromkeys(str(each).upper() for each in listed))
