"""The contracts of a recording, as `exchangeInfo` lists them."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Raw, Struct, field
from msgspec.json import Decoder

from tickerplant.stream_name import parse_stream_name
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
    """Finds what is new in the list of contracts."""

    def __init__(self, streams: Iterable[str], venue: Venue) -> None:
        names = [parse_stream_name(stream) for stream in streams]
        self._takes_all = any(name.is_of_all for name in names)
        self._topics = {name.topic.upper() for name in names}
        self._last: dict[str, bytes] = {}
        """By symbol, the contract as `news` last returned it."""
        self._unlisted = dict.fromkeys(
            name.topic.upper() for name in names if _is_of_a_symbol(venue, name.text)
        )
        """Symbols that no list contained yet, and that `unlisted` has not returned."""

    def news(self, answer: bytes) -> tuple[Raw, ...]:
        """Return the recorded contracts that are new or have changed since the last call.

        Raises:
            UNREADABLE: `answer` is not a response of `exchangeInfo` (`messages.readers`).
        """
        found = []
        for raw in _answer(answer).symbols:
            contract = _contract(raw)
            self._unlisted.pop(contract.symbol.upper(), None)
            if not self._is_recorded(contract):
                continue
            text = bytes(raw)
            if self._last.get(contract.symbol) != text:
                self._last[contract.symbol] = text
                found.append(Raw(text))
        return tuple(found)

    def unlisted(self) -> tuple[str, ...]:
        """Return the symbols of streams that are not in the list, each only once.

        Call it after `news`.
        """
        found = tuple(self._unlisted)
        self._unlisted.clear()
        return found

    def _is_recorded(self, it: _Contract) -> bool:
        names = it.symbol, it.pair, f"{it.pair}_{it.contract_type}"
        return self._takes_all or any(name.upper() in self._topics for name in names if name)


def _is_of_a_symbol(venue: Venue, stream: str) -> bool:
    """Return whether a stream can only belong to a symbol of the venue, not to a pair or an asset."""
    found = matches(venue, stream)
    return bool(found) and all("symbol" in args for _, args in found)
