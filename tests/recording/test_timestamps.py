from __future__ import annotations

import pytest

from tickerplant.formatting import iso_text
from tickerplant.recording.timestamps import TimeSpec, parse_time_ns, parse_time_spec

AT_NS = 1_795_285_140_000_000_000


@pytest.mark.parametrize(
    ("written", "spec"),
    [
        ("2026-11-21T18:19:00Z", TimeSpec(AT_NS)),
        ("2026-11-21T18:19:00", TimeSpec(AT_NS)),
        ("2026-11-21 19:19:00.000250+01:00", TimeSpec(AT_NS + 250_000)),
        ("2026-11-21", TimeSpec(AT_NS - (18 * 60 + 19) * 60 * 10**9)),
        ("1795285140000", TimeSpec(AT_NS)),
        (1_795_285_140_000, TimeSpec(AT_NS)),
        (AT_NS + 1, TimeSpec(AT_NS + 1)),
        ("+90s", TimeSpec(90 * 10**9, "+")),
        ("-5m", TimeSpec(300 * 10**9, "-")),
        ("+1.5h", TimeSpec(5_400 * 10**9, "+")),
        ("-0s", TimeSpec(0, "-")),
        ("+100ms", TimeSpec(10**8, "+")),
    ],
)
def test_time_specs_are_parsed(written: object, spec: TimeSpec) -> None:
    assert parse_time_spec(written) == spec


@pytest.mark.parametrize(
    "written",
    [
        *("", "soon", "+", "+5", "+5y", "--5s", "12", "1999-01-01", "9" * 30, "+999999d"),
        *(-5, 1.5, True, None, [], {"a": 1}, "2026-13-01", "+1e3s", "nan", "٣" * 13),
    ],
)
def test_invalid_time_specs_are_refused(written: object) -> None:
    with pytest.raises(ValueError, match="an ISO date such as"):
        parse_time_spec(written)


def test_a_time_cannot_be_an_offset() -> None:
    assert parse_time_ns("2026-11-21T18:19:00Z") == AT_NS
    assert parse_time_ns("1795285140000") == AT_NS
    assert parse_time_ns(AT_NS + 1) == AT_NS + 1
    for offset in ("+90s", "-5m"):
        with pytest.raises(ValueError, match=r"or ms or ns since 1970$"):
            parse_time_ns(offset)


def test_a_time_is_written_as_it_is_parsed() -> None:
    assert iso_text(AT_NS + 7_999_999) == "2026-11-21T18:19:00.007Z"
    assert parse_time_spec(iso_text(AT_NS)) == TimeSpec(AT_NS)
