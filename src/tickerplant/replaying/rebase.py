"""All times of recorded messages shifted, byte by byte: nothing else of a message changes.

Which numbers are times follows from the event type of the message.  A key may be a time in one and
an id in another: `t` is the id of a `trade`, and the opening time in a `kline`.  Only numbers of
thirteen digits are times, so that a 0 that stands for "none" stays 0.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from re import Pattern

from tickerplant.units import MINUTE_MS

_EVENT_TYPE = re.compile(rb'"e":\s?"(\w+)"')
_ANSWER = b'"lastUpdateId"'
_TIME_KEYS: Mapping[bytes, bytes] = {
    b"trade": b"ET",
    b"aggTrade": b"ET",
    b"bookTicker": b"ET",
    b"depthUpdate": b"ET",
    b"forceOrder": b"ET",
    b"markPriceUpdate": b"ET",
    b"kline": b"EtT",
    b"continuous_kline": b"EtT",
    b"indexPrice_kline": b"EtT",
    b"markPrice_kline": b"EtT",
    b"24hrTicker": b"EOC",
    b"EquityUpdate": b"EtT",
    b"CommodityUpdate": b"EtT",
    b"KR_EquityUpdate": b"EtT",
    b"HK_EquityUpdate": b"EtT",
    b"CN_EquityUpdate": b"EtT",
}
"""The keys of times, a letter each, by event type; of other types that is `E` alone.

Times of delivery and listing (`contractInfo`) belong to the contract, and stay.
"""


def _times(letters: bytes) -> Pattern[bytes]:
    return re.compile(rb'"([%b])":(\s?)(\d{13})(?!\d)' % letters)


_PATTERNS = {kind: _times(letters) for kind, letters in _TIME_KEYS.items()}
_OTHER = _times(b"E")
_OF_ANSWERS = _times(b"ET")


def rebased(raw: bytes, shift_ms: int) -> bytes:
    """Return a recorded message, in any envelope, with all its times `shift_ms` later."""
    kind = _EVENT_TYPE.search(raw)
    if kind is not None:
        pattern = _PATTERNS.get(kind[1], _OTHER)
    else:
        pattern = _OF_ANSWERS if _ANSWER in raw else _OTHER

    def shifted(time: re.Match[bytes]) -> bytes:
        key, space, digits = time.groups()
        return b'"%b":%b%d' % (key, space, int(digits) + shift_ms)

    return pattern.sub(shifted, raw)


def shift_of(first_ms: int, now_ms: int, *, on_the_minute: bool, late: bool = False) -> int:
    """Return by how much times are shifted so that `first_ms` becomes `now_ms`, ms.

    Args:
        first_ms: The time of the first message that is played.
        now_ms: What it becomes.
        on_the_minute: Only whole minutes, because candles must stay on their grid; it becomes up to
            a minute earlier than `now_ms` then.
        late: In that case up to a minute later instead.
    """
    shift_ms = now_ms - first_ms
    if not on_the_minute:
        return shift_ms
    return (shift_ms + (MINUTE_MS - 1 if late else 0)) // MINUTE_MS * MINUTE_MS
