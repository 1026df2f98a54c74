"""The list of contracts of a plant that follows an upstream, brought up to date."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping

from msgspec import structs

from tickerplant.errors import DecodeError
from tickerplant.events import ContractChanged
from tickerplant.instrument import Instrument
from tickerplant.logs import logger
from tickerplant.plant import GONE, Plant
from tickerplant.venue import Venue

DOUBT_MS = 60_000
"""For so long an upstream must say that most contracts are gone: a server that is being repaired
may say so for a while."""


class ContractList:
    """The contracts of one venue of a plant.

    Args:
        plant: Which is told what changed.
        venue: Whose contracts they are.
        added: Is called with the symbol of each market that is new, or new in other units.
    """

    def __init__(self, plant: Plant, venue: Venue, added: Callable[[str], object]) -> None:
        self._plant = plant
        self._venue = venue
        self._added = added
        self._doubted: frozenset[str] | None = None
        """The symbols that were told last, if that was not believed."""
        self._doubted_ms = 0
        """Since when."""

    def update(self, listed: Iterable[Instrument], now_ms: int) -> None:
        """Let the plant have the contracts that the upstream has, which are `listed`.

        A contract whose symbol another venue has is left out, and the log says so.

        Args:
            listed: What the upstream tells.
            now_ms: By a clock that does not go back.

        Raises:
            DecodeError: more than half of the contracts are gone; that is believed when nothing
                else is told for a minute.
        """
        plant = self._plant
        known = plant.venues[self._venue.name].by_symbol
        present = self._of_venue(listed)
        self._believe(known.keys(), present, now_ms)
        for symbol in [symbol for symbol in known if symbol not in present]:
            self._delist(known[symbol].instrument)
        for symbol, instrument in present.items():
            before = known[symbol].instrument if symbol in known else None
            if before is None and instrument.status in GONE:
                continue
            if before is not None and _scales(before) != _scales(instrument):
                self._delist(before)  # what is known of it is in units of the past
                before = None
            if before != instrument:
                plant.publish(ContractChanged(symbol, instrument, (), plant.now_ms))
            if before is None:
                self._added(symbol)

    def _of_venue(self, listed: Iterable[Instrument]) -> dict[str, Instrument]:
        """Return the contracts by symbol, without those whose symbol another venue has."""
        present = {instrument.symbol: instrument for instrument in listed}
        taken = [symbol for symbol, each in present.items() if self._plant.has_elsewhere(each)]
        if taken:
            logger().warning(
                "! contracts are left out: another venue has their symbols",
                venue=self._venue.name,
                count=len(taken),
                first=taken[0],
            )
        for symbol in taken:
            del present[symbol]
        return present

    def _believe(
        self, known: Collection[str], present: Mapping[str, Instrument], now_ms: int
    ) -> None:
        """Go on if what is told makes sense, or nothing else was told for a while.

        A venue does not lose most of its contracts at once, but an answer may: everybody who hears
        one of them would be told that it is gone.

        Raises:
            DecodeError: it makes none.
        """
        there = frozenset(symbol for symbol, each in present.items() if each.status not in GONE)
        gone = len(set(known) - there)
        if 2 * gone <= len(known):
            self._doubted = None
            return
        if self._doubted != there:
            self._doubted, self._doubted_ms = there, now_ms
        if now_ms - self._doubted_ms < DOUBT_MS:
            raise DecodeError(
                f"exchangeInfo lacks {gone} of {len(known)} contracts, "
                f"which is believed when nothing else is told for {DOUBT_MS // 1_000} s"
            )
        self._doubted = None

    def _delist(self, instrument: Instrument) -> None:
        gone = structs.replace(instrument, status=min(GONE))
        self._plant.publish(ContractChanged(instrument.symbol, gone, (), self._plant.now_ms))


def _scales(instrument: Instrument) -> tuple[int, int, int]:
    """Return what the numbers of a market are counted in."""
    return instrument.price.decimals, instrument.quantity.decimals, instrument.contract_size
