"""Delivery dates of dated contracts: the last Friday of each quarter, 08:00 UTC."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

DELIVERY_HOUR = 8
SINCE_MS = {"CURRENT_QUARTER": 1_612_310_400_000, "NEXT_QUARTER": 1_615_852_800_000}
"""When the exchange listed the first contract of a type: 2021-02-03 and 2021-03-16."""
_FRIDAY = 4
_CODE = "%y%m%d"


def delivery_ms(year: int, quarter: int) -> int:
    """Return the delivery time of the contracts of a quarter (1 to 4), in milliseconds."""
    month = 3 * quarter
    after = datetime(year + month // 12, month % 12 + 1, 1, DELIVERY_HOUR, tzinfo=UTC)
    day = after - timedelta(days=1)
    day -= timedelta(days=(day.weekday() - _FRIDAY) % 7)
    return int(day.timestamp()) * 1000


def deliveries_ms(now_ms: int) -> tuple[int, int, int, int]:
    """Return four consecutive delivery times: two up to `now_ms` and two after it."""
    now = datetime.fromtimestamp(now_ms / 1000, UTC)
    start = now.year * 4 + (now.month - 1) // 3
    dates = [delivery_ms(index // 4, index % 4 + 1) for index in range(start - 3, start + 4)]
    first = next(at for at, date in enumerate(dates) if date > now_ms)
    return dates[first - 2], dates[first - 1], dates[first], dates[first + 1]


def terms_until(contract_type: str, now_ms: int) -> list[tuple[int, int, int]]:
    """Return since when, until when and with which delivery contracts had a type, up to `now_ms`."""
    terms: list[tuple[int, int, int]] = []
    first_ms = SINCE_MS[contract_type]
    from_ms, until_ms, later_ms, _ = deliveries_ms(now_ms)
    while until_ms > first_ms:
        due_ms = until_ms if contract_type == "CURRENT_QUARTER" else later_ms
        terms.insert(0, (max(from_ms, first_ms), until_ms, due_ms))
        from_ms, until_ms, later_ms, _ = deliveries_ms(until_ms - 1)
    return terms


def delivery_code(date_ms: int) -> str:
    """Return the `YYMMDD` that ends the symbol of a contract delivered at `date_ms`."""
    return datetime.fromtimestamp(date_ms / 1000, UTC).strftime(_CODE)


def coded_delivery_ms(code: str) -> int:
    """Return the delivery time of a contract whose symbol ends in the `YYMMDD` of `code`.

    Raises:
        ValueError: `code` is not a date.
    """
    delivery = datetime.strptime(code, _CODE).replace(hour=DELIVERY_HOUR, tzinfo=UTC)
    return int(delivery.timestamp()) * 1000
