"""The list of contracts of a plant that follows an upstream, brought up to date."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from weakref import WeakKeyDictionary

from msgspec import structs

from tickerplant.errors import DecodeError
from tickerplant.events import ContractChanged
from tickerplant.instrument import Instrument
from tickerplant.logs import logger
from tickerplant.market.markets import Markets
from tickerplant.plant import GONE, Plant
from tickerplant.venue import Venue

_doubted: WeakKeyDictionary[Markets, frozenset[str]] = WeakKeyDictionary()
"""The symbols that an upstream told last, where that was not believed."""


def relist(
    plant: Plant, venue: Venue, listed: Iterable[Instrument], added: Callable[[str], object]
) -> None:
    """Let the plant have the contracts that the upstream has.

    A contract whose symbol another venue has is left out, and the log says so.

    Args:
        plant: Which is told what changed.
        venue: Of which `listed` are all contracts.
        listed: What the upstream says there is.
        added: Is called with the symbol of each market that is new, or new in other units.

    Raises:
        DecodeError: more than half of the contracts are gone; told the same again, it is believed.
    """
    markets = plant.venues[venue.name]
    known, present = markets.by_symbol, _of_venue(plant, venue, listed)
    _believe(markets, present)
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


def _of_venue(plant: Plant, venue: Venue, listed: Iterable[Instrument]) -> dict[str, Instrument]:
    """Return the contracts by symbol, without those whose symbol another venue has."""
    present = {instrument.symbol: instrument for instrument in listed}
    taken = [symbol for symbol, each in present.items() if plant.has_elsewhere(each)]
    if taken:
        logger().warning(
            "! contracts are left out: another venue has their symbols",
            venue=venue.name,
            count=len(taken),
            first=taken[0],
        )
    for symbol in taken:
        del present[symbol]
    return present


def _believe(markets: Markets, present: Mapping[str, Instrument]) -> None:
    """Go on if what is told makes sense, or is told for the second time in a row.

    A venue does not lose most of its contracts at once, but an answer may: everybody who hears
    one of them would be told that it is gone.

    Raises:
        DecodeError: it makes none.
    """
    there = frozenset(symbol for symbol, each in present.items() if each.status not in GONE)
    gone = len(markets.by_symbol.keys() - there)
    if 2 * gone > len(markets) and _doubted.get(markets) != there:
        _doubted[markets] = there
        raise DecodeError(
            f"exchangeInfo lacks {gone} of {len(markets)} contracts, "
            "which is believed when it is told again"
        )
    _doubted.pop(markets, None)


def _delist(plant: Plant, instrument: Instrument) -> None:
    gone = structs.replace(instrument, status=min(GONE))
    plant.publish(ContractChanged(instrument.symbol, gone, (), plant.now_ms))


def _scales(instrument: Instrument) -> tuple[int, int, int]:
    """Return what the numbers of a market are counted in."""
    return instrument.price.decimals, instrument.quantity.decimals, instrument.contract_size
