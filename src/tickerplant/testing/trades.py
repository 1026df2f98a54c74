"""Reads the trades that any program has seen, and finds what differs from those of the exchange."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal, InvalidOperation
from itertools import pairwise
from typing import Any

from msgspec import Struct

from tickerplant.formatting import count_text

ID_NAMES = ("trade_id", "t", "id", "tradeId")
"""Where a trade may have its id, the first that is there counts."""
PRICE_NAMES = ("price", "p")
QUANTITY_NAMES = ("quantity", "q", "qty", "amount", "size")
SHOWN_PROBLEMS = 8
"""Problems that a failure lists; of further ones it gives the number."""
EXPECTED_TRADE = (
    "the id of a trade, a dict as a stream or REST has it, a Trade, or an object with id, price and "
    "quantity"
)


class SeenTrade(Struct, frozen=True):
    """A trade as a program has seen it; None where it did not keep a number."""

    trade_id: int
    price: Decimal | None = None
    quantity: Decimal | None = None


def trade_of(given: object) -> SeenTrade:
    """Return a trade of any common form.

    Raises:
        TypeError: it is no trade.
    """
    if isinstance(given, SeenTrade):
        return given
    if isinstance(given, int) and not isinstance(given, bool):
        return SeenTrade(given)
    if isinstance(given, Mapping) and "a" in given and "f" in given:
        raise TypeError("an aggregate trade stands for several trades: compare those of `@trade`")
    trade_id = _first(given, ID_NAMES)
    if trade_id is None or not str(trade_id).isdecimal():
        raise TypeError(f"{_shown(given)} is no trade: expected {EXPECTED_TRADE}")
    price, quantity = _first(given, PRICE_NAMES), _first(given, QUANTITY_NAMES)
    return SeenTrade(int(trade_id), _number("price", price), _number("quantity", quantity))


def problems_of(
    mine: Iterable[object],
    true: Sequence[SeenTrade],
    *,
    from_id: int | None = None,
    to_id: int | None = None,
) -> list[str]:
    """Return what is wrong with the trades that a program has seen, a sentence each.

    Args:
        mine: The trades in the order in which they were seen.
        true: The trades of the exchange, from the first of `mine` or `from_id` on.
        from_id: The first trade that must be there; None: that with the lowest id of `mine`.
        to_id: The last trade that must be there; None: that with the highest id of `mine`.
    """
    seen = [trade_of(each) for each in mine]
    theirs = {each.trade_id: each for each in true}
    ids = [each.trade_id for each in seen]
    problems: list[str] = []
    first = min(ids, default=0) if from_id is None else from_id
    last = max(ids, default=-1) if to_id is None else to_id
    seen_ids = set(ids)
    missing = [each for each in theirs if first <= each <= last and each not in seen_ids]
    problems += [f"{_trades(low, high)} missing" for low, high in _ranges(missing)]
    for trade_id, count in Counter(ids).items():
        if count > 1:
            problems.append(f"trade {trade_id} was counted {count_text(count, 'time')}")
    for each in seen:
        if each.trade_id not in theirs:
            problems.append(f"trade {each.trade_id} is none of the exchange's")
            continue
        true_trade = theirs[each.trade_id]
        for name in ("price", "quantity"):
            ours, real = getattr(each, name), getattr(true_trade, name)
            if ours is not None and ours != real:
                problems.append(
                    f"trade {each.trade_id}: my {name} is {ours:f}, the exchange's {real:f}"
                )
    for earlier, later in pairwise(ids):
        if later < earlier:
            problems.append(f"trade {later} came after trade {earlier}")
    return problems


def nothing_compared(symbol: str, count: int) -> str:
    """Return what a comparison says that was given no trades."""
    return (
        f"{symbol}: my trades are empty, so that nothing was compared; the exchange has "
        f"{count_text(count, 'trade')}"
    )


def report_of(symbol: str, count: int, problems: Sequence[str]) -> str:
    """Return what a failed comparison says: how much is wrong, and the first problems."""
    lines = [f"{symbol}: {count_text(len(problems), 'problem')} in my {count_text(count, 'trade')}"]
    lines += [f"  {each}" for each in problems[:SHOWN_PROBLEMS]]
    if len(problems) > SHOWN_PROBLEMS:
        lines.append(f"  … and {len(problems) - SHOWN_PROBLEMS} more")
    return "\n".join(lines)


def _ranges(ids: Sequence[int]) -> list[tuple[int, int]]:
    found: list[tuple[int, int]] = []
    for each in sorted(ids):
        if found and each == found[-1][1] + 1:
            found[-1] = (found[-1][0], each)
        else:
            found.append((each, each))
    return found


def _trades(first: int, last: int) -> str:
    if first == last:
        return f"trade {first} is"
    return f"{count_text(last - first + 1, 'trade')}, {first} to {last}, are"


def _first(trade: object, names: Iterable[str]) -> Any:
    for name in names:
        found = trade.get(name) if isinstance(trade, Mapping) else getattr(trade, name, None)
        if found is not None:
            return found
    return None


def _number(name: str, given: object) -> Decimal | None:
    if given is None:
        return None
    try:
        return given if isinstance(given, Decimal) else Decimal(str(given))
    except InvalidOperation:
        raise TypeError(f"{_shown(given)} as {name} of a trade: expected a number") from None


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:60]}…"
