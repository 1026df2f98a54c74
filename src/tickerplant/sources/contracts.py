"""The list of contracts of a plant that follows an upstream, brought up to date."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from msgspec import structs

from tickerplant.events import ContractChanged
from tickerplant.instrument import Instrument
from tickerplant.plant import GONE, Plant
from tickerplant.venue import Venue


def relist(
    plant: Plant, venue: Venue, listed: Iterable[Instrument], added: Callable[[str], object]
) -> None:
    """Let the plant have the contracts that the upstream has.

    Args:
        plant: Which is told what changed.
        venue: Of which `listed` are all contracts.
        listed: What the upstream says there is.
        added: Is called with the symbol of each market that is new, or new in other units.
    """
    known = plant.venues[venue.name].by_symbol
    present = {instrument.symbol: instrument for instrument in listed}
    for symbol in [symbol for symbol in known if symbol not in present]:
        _delist(plant, known[symbol].instrument)
    for symbol, instrument in present.items():
        before = known[symbol].instrument if symbol in known else None
        if before is None and instrument.status in GONE:
            continue
        if before is not None and _scales(before) != _scales(instrument):
            _delist(plant, before)  # what is known of it is in units of the past
            before = None
        if before != instrument:
            plant.publish(ContractChanged(symbol, instrument, (), plant.now_ms))
        if before is None:
            added(symbol)


def _delist(plant: Plant, instrument: Instrument) -> None:
    gone = structs.replace(instrument, status=min(GONE))
    plant.publish(ContractChanged(instrument.symbol, gone, (), plant.now_ms))


def _scales(instrument: Instrument) -> tuple[int, int, int]:
    """Return what the numbers of a market are counted in."""
    return instrument.price.decimals, instrument.quantity.decimals, instrument.contract_size
