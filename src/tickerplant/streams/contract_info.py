"""Contracts that are listed, settled or otherwise changed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import UNSET, Struct, UnsetType, field

from tickerplant.events import Bracket, ContractChanged
from tickerplant.streams.conflation import Conflation
from tickerplant.streams.pace import Immediate
from tickerplant.streams.pattern import Args, Pattern
from tickerplant.streams.stream import Payload, Stream, real_time
from tickerplant.streams.subjects import every_symbol

if TYPE_CHECKING:
    from tickerplant.market.market import Market


class BracketPart(Struct, frozen=True, kw_only=True):
    """One bracket of position sizes; all numbers are JSON numbers."""

    number: int = field(name="bs")
    notional_floor: int = field(name="bnf")
    notional_cap: int = field(name="bnc")
    maintenance_margin_rate: float = field(name="mmr")
    cumulative: int | float = field(name="cf")
    min_leverage: int = field(name="mi")
    max_leverage: int = field(name="ma")


class ContractInfoMessage(Payload, frozen=True, kw_only=True, tag="contractInfo"):
    """A contract after a change."""

    event_time: int = field(name="E")
    symbol: str = field(name="s")
    pair: str = field(name="ps")
    contract_type: str = field(name="ct")
    delivery_time: int = field(name="dt")
    onboard_time: int = field(name="ot")
    status: str = field(name="cs")
    brackets: list[BracketPart] | UnsetType = field(name="bks", default=UNSET)
    symbol_type: int | UnsetType = field(name="st", default=UNSET)


def _bracket(bracket: Bracket) -> BracketPart:
    cumulative = bracket.cumulative
    return BracketPart(
        number=bracket.number,
        notional_floor=bracket.notional_floor,
        notional_cap=bracket.notional_cap,
        maintenance_margin_rate=bracket.maintenance_margin_rate,
        cumulative=int(cumulative) if cumulative == int(cumulative) else cumulative,
        min_leverage=bracket.min_leverage,
        max_leverage=bracket.max_leverage,
    )


def contract_info(
    market: Market, event: ContractChanged, now_ms: int, _args: Args
) -> ContractInfoMessage:
    """Return the contract, with its brackets if they changed (Contract Info Stream page)."""
    instrument = event.instrument
    return ContractInfoMessage(
        event_time=now_ms,
        symbol=event.symbol,
        pair=instrument.pair,
        contract_type=instrument.contract_type,
        delivery_time=instrument.delivery_date_ms,
        onboard_time=instrument.onboard_date_ms,
        status=instrument.status,
        brackets=[_bracket(each) for each in event.brackets] or UNSET,
        symbol_type=market.type_label,
    )


STREAMS = (
    Stream(
        pattern=Pattern("!contractInfo"),
        subjects=every_symbol,
        events=("contractInfo",),
        follows=(ContractChanged,),
        pace=Immediate,
        period=real_time,
        build=contract_info,
        conflation=Conflation.NONE,
        rare=True,
        doc="Listings, settlements and changes of brackets, as they happen.",
    ),
)
