from __future__ import annotations

import pytest

from tickerplant.recording.moment import Moment, iso, read_moment, read_time_ns

AT_NS = 1_795_285_140_000_000_000


@pytest.mark.parametrize(
    ("written", "moment"),
    [
        ("2026-11-21T18:19:00Z", Moment(AT_NS)),
        ("2026-11-21T18:19:00", Moment(AT_NS)),
        ("2026-11-21 19:19:00.000250+01:00", Moment(AT_NS + 250_000)),
        ("2026-11-21", Moment(AT_NS - (18 * 60 + 19) * 60 * 10**9)),
        ("1795285140000", Moment(AT_NS)),
        (1_795_285_140_000, Moment(AT_NS)),
        (AT_NS + 1, Moment(AT_NS + 1)),
        ("+90s", Moment(90 * 10**9, "+")),
        ("-5m", Moment(300 * 10**9, "-")),
        ("+1.5h", Moment(5_400 * 10**9, "+")),
        ("-0s", Moment(0, "-")),
        ("+100ms", Moment(10**8, "+")),
    ],
)
def test_moments_are_read(written: object, moment: Moment) -> None:
    assert read_moment(written) == moment


@pytest.mark.parametrize(
    "written",
    [
        *("", "soon", "+", "+5", "+5y", "--5s", "12", "1999-01-01", "9" * 30, "+999999d"),
        *(-5, 1.5, True, None, [], {"a": 1}, "2026-13-01", "+1e3s", "nan", "٣" * 13),
    ],
)
def test_what_is_no_moment_is_refused(written: object) -> None:
    with pytest.raises(ValueError, match="an ISO date such as"):
        read_moment(written)


def test_a_time_is_a_moment_that_is_no_offset() -> None:
    assert read_time_ns("2026-11-21T18:19:00Z") == AT_NS
    assert read_time_ns("1795285140000") == AT_NS
    assert read_time_ns(AT_NS + 1) == AT_NS + 1
    for offset in ("+90s", "-5m"):
        with pytest.raises(ValueError, match=r"or ms or ns since 1970$"):
            read_time_ns(offset)


def test_a_moment_is_written_as_it_is_read() -> None:
    assert iso(AT_NS + 7_999_999) == "2026-11-21T18:19:00.007Z"
    assert read_moment(iso(AT_NS)) == Moment(AT_NS)
