"""The contracts of an upstream: fetched, and applied to the plant that follows it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping

from msgspec import Struct, structs
from msgspec.json import Decoder as JsonDecoder

from tickerplant.client.rest import RestClient
from tickerplant.decode.exchange_info import Listing, instruments_of
from tickerplant.errors import DecodeError
from tickerplant.events import ContractChanged
from tickerplant.instrument import PERPETUAL_DELIVERY_MS, Instrument
from tickerplant.logs import logger
from tickerplant.messages.readers import UNREADABLE
from tickerplant.plant import GONE, Plant
from tickerplant.venue import Venue

CONFIRMATION_MS = 60_000
"""How long an upstream must report that most contracts are gone before that is accepted: a server in
maintenance may report it for a while."""


class _ServerTime(Struct, rename="camel"):
    """The part of an exchangeInfo response that says when it was made."""

    server_time: int


_decode_server_time = JsonDecoder(_ServerTime).decode


async def fetch_contracts(rest: RestClient, venue: Venue) -> tuple[Listing, int]:
    """Return the contracts of the venue, and its time in ms.

    Raises:
        RequestError: the response is an error.
        UpstreamError: the upstream cannot be reached.
        DecodeError: the response cannot be used.
    """
    response = await rest.get("exchangeInfo")
    listing = instruments_of(response, venue)
    try:
        time_ms = _decode_server_time(response).server_time
    except UNREADABLE as error:
        raise DecodeError(f"exchangeInfo has no valid serverTime: {error}") from None
    if not 0 <= time_ms < PERPETUAL_DELIVERY_MS:
        raise DecodeError(f"exchangeInfo has a serverTime out of range: {time_ms}")
    return listing, time_ms


class ContractList:
    """The contracts of one venue of a plant."""

    def __init__(
        self,
        plant: Plant,
        venue: Venue,
        added: Callable[[str], object],
        *,
        confirmation_ms: int = CONFIRMATION_MS,
    ) -> None:
        self._plant = plant
        self._venue = venue
        self._added = added
        self._confirmation_ms = confirmation_ms
        self._unconfirmed: frozenset[str] | None = None
        """The symbols of the last response, if it was not accepted."""
        self._unconfirmed_since_ms = 0

    def update(self, listed: Iterable[Instrument], now_ms: int) -> None:
        """Give the plant the contracts in `listed`, and take away the others.

        A contract whose symbol another venue has is left out, and the log says so.

        Raises:
            DecodeError: more than half of the contracts are gone, and that is not confirmed yet.
        """
        plant = self._plant
        known = plant.venues[self._venue.name].by_symbol
        present = self._of_venue(listed)
        self._confirm(known.keys(), present, now_ms)
        for symbol in [symbol for symbol in known if symbol not in present]:
            self._delist(known[symbol].instrument)
        for symbol, instrument in present.items():
            before = known[symbol].instrument if symbol in known else None
            if before is None and instrument.status in GONE:
                continue
            if before is not None and _scales(before) != _scales(instrument):
                self._delist(before)  # its state is in the old units
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

    def _confirm(
        self, known: Collection[str], present: Mapping[str, Instrument], now_ms: int
    ) -> None:
        """Return if the list is plausible, or was the same for long enough.

        A venue does not lose most of its contracts at once, but a bad response may lack them.
        """
        listed = frozenset(symbol for symbol, each in present.items() if each.status not in GONE)
        gone = len(set(known) - listed)
        if 2 * gone <= len(known):
            self._unconfirmed = None
            return
        if self._unconfirmed != listed:
            self._unconfirmed, self._unconfirmed_since_ms = listed, now_ms
        if now_ms - self._unconfirmed_since_ms < self._confirmation_ms:
            raise DecodeError(
                f"exchangeInfo lacks {gone} of {len(known)} contracts; they are delisted if that "
                f"stays so for {self._confirmation_ms // 1_000} s"
            )
        self._unconfirmed = None

    def _delist(self, instrument: Instrument) -> None:
        gone = structs.replace(instrument, status=min(GONE))
        self._plant.publish(ContractChanged(instrument.symbol, gone, (), self._plant.now_ms))


def _scales(instrument: Instrument) -> tuple[int, int, int]:
    """Return the units of the numbers of a market."""
    return instrument.price.decimals, instrument.quantity.decimals, instrument.contract_size
