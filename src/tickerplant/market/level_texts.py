"""The levels of one side of a book as text, for those who ask for the whole book.

Between two questions few levels change. So from the first question on the text of a level is kept
until its quantity changes, and none is kept of a book that changes and is not asked for any more.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import numpy as np

from tickerplant.instrument import Instrument
from tickerplant.market.row_form import Number, row_form
from tickerplant.market.row_texts import row_texts

IDLE_TURNOVERS = 4
"""Texts are dropped when, without a question, so many times as many levels changed as they cover."""
LEAST_CHANGES = 1_000
"""Changes without a question after which they are dropped at the earliest."""
MANY = 150
"""So many missing texts are made together."""


class LevelTexts(dict[int, str]):
    """The text of each level by its price, made when it is first read."""

    __slots__ = ("_form", "_prices", "_quantities", "_sizes", "_written", "forgotten")

    def __init__(self, quantities: Mapping[int, int], instrument: Instrument) -> None:
        super().__init__()
        self.forgotten = 0
        """Changes since the owner reset it."""
        self._written = (0, b"[]")
        """How many levels were asked for last, and their array; valid until a level changes."""
        self._quantities = quantities
        self._prices = instrument.price
        self._sizes = instrument.quantity
        price, quantity = instrument.price.decimals, instrument.quantity.decimals
        self._form = row_form('["{}","{}"]', Number(0, price), Number(1, quantity))

    def __missing__(self, price: int) -> str:
        text = self[price] = self.text(price, self._quantities[price])
        return text

    def suits(self, instrument: Instrument) -> bool:
        """Whether the levels of `instrument` are written so."""
        return self._prices == instrument.price and self._sizes == instrument.quantity

    def text(self, price: int, quantity: int) -> str:
        """Return the text of a level with that quantity."""
        return f'["{self._prices.text[price]}","{self._sizes.text[quantity]}"]'

    def forget(self, prices: Collection[int]) -> bool:
        """Drop the texts of levels that change; return whether the others are still worth keeping."""
        self.forgotten += len(prices)
        if self.forgotten > max(IDLE_TURNOVERS * len(self), LEAST_CHANGES):
            return False
        self._written = (0, b"[]")
        for price in prices:
            self.pop(price, None)
        return True

    def array(self, best: Sequence[int]) -> bytes:
        """Return the best levels of the side, whose prices are given, as a JSON array."""
        if self._written[0] != len(best):
            self._make(best)
            text = f"[{','.join(map(self.__getitem__, best))}]"
            self._written = (len(best), text.encode())
        return self._written[1]

    def array_with(self, more: Mapping[int, int], prices: Sequence[int]) -> bytes:
        """Return levels of the side, with the quantities `more` by price added, as a JSON array."""
        quantities = self._quantities
        self._make([price for price in prices if price not in more])
        texts = [
            self.text(price, quantities.get(price, 0) + more[price])
            if price in more
            else self[price]
            for price in prices
        ]
        return f"[{','.join(texts)}]".encode()

    def _make(self, prices: Sequence[int]) -> None:
        """Make many missing texts together."""
        if len(prices) - len(self) > MANY:
            missing = [price for price in prices if price not in self]
            levels = np.empty((len(missing), 2), dtype=np.int64)
            levels[:, 0] = missing
            levels[:, 1] = [self._quantities[price] for price in missing]
            texts = b"\n".join(row_texts(levels, self._form)).decode().split("\n")
            self.update(zip(missing, texts, strict=True))
