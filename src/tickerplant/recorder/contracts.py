"""Which contracts a recording is about, as `exchangeInfo` lists them."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Raw, Struct, field
from msgspec.json import Decoder

from tickerplant.streams import matches
from tickerplant.venue import Venue


class _Answer(Struct):
    symbols: list[Raw]


class _Contract(Struct):
    symbol: str
    pair: str = ""
    contract_type: str = field(name="contractType", default="")


_answer = Decoder(_Answer).decode
_contract = Decoder(_Contract).decode


class Contracts:
    """Finds what is new in the list of contracts.

    Args:
        streams: All that is recorded; one of all symbols (`!…`) is about every contract.
        venue: Whose streams these are.
    """

    def __init__(self, streams: Iterable[str], venue: Venue) -> None:
        streams = tuple(streams)
        self._are_all = any(name.startswith("!") for name in streams)
        self._topics = {name.partition("@")[0].upper() for name in streams}
        self._told: dict[str, bytes] = {}
        """By symbol, as it was last told."""
        self._unlisted = dict.fromkeys(
            name.partition("@")[0].upper() for name in streams if _is_of_a_symbol(venue, name)
        )
        """Symbols that no list had yet, and nobody was told of."""

    def news(self, answer: bytes) -> tuple[Raw, ...]:
        """Return the contracts that are recorded and were not told yet as they are now.

        Raises:
            UNREADABLE: it is no answer to `exchangeInfo` (`messages.readers`).
        """
        found = []
        for raw in _answer(answer).symbols:
            contract = _contract(raw)
            self._unlisted.pop(contract.symbol.upper(), None)
            if not self._is_recorded(contract):
                continue
            text = bytes(raw)
            if self._told.get(contract.symbol) != text:
                self._told[contract.symbol] = text
                found.append(Raw(text))
        return tuple(found)

    def unlisted(self) -> tuple[str, ...]:
        """Return the symbols of streams that are not in the list; each is returned once.

        To be called after `news`.
        """
        found = tuple(self._unlisted)
        self._unlisted.clear()
        return found

    def _is_recorded(self, it: _Contract) -> bool:
        """Whether a stream is about a contract: its symbol, its pair, or the pair's like of it."""
        names = it.symbol, it.pair, f"{it.pair}_{it.contract_type}"
        return self._are_all or any(name.upper() in self._topics for name in names if name)


def _is_of_a_symbol(venue: Venue, stream: str) -> bool:
    """Whether a stream can be about nothing but a symbol of the venue: no pair, and no asset."""
    found = matches(venue, stream)
    return bool(found) and all("symbol" in args for _, args in found)
