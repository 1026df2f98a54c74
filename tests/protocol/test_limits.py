import msgspec
import pytest

from tickerplant.errors import ConfigError
from tickerplant.protocol.limits import LIMIT_ROWS, LIMITS, Limits


def test_every_limit_has_one_row_with_its_default() -> None:
    defaults = {row.name: row.default for row in LIMIT_ROWS}
    numbers = msgspec.structs.asdict(LIMITS)
    assert numbers.pop("enforced") is True, "what is enforced is a setting of its own"
    assert defaults == numbers, "a row for each number, in its order"


def test_every_limit_of_a_time_says_which_clock_it_follows() -> None:
    for row in LIMIT_ROWS:
        is_timed = row.unit == "ms" or row.unit.endswith(("/s", "/min"))
        is_by_minute = row.name == "refusals_before_ban"
        assert bool(row.clock) == (is_timed or is_by_minute), row.name


def test_the_documented_numbers_are_the_defaults() -> None:
    documented = Limits(
        max_streams=1024,
        message_rate_per_s=10,
        ping_interval_ms=3 * 60 * 1000,
        pong_timeout_ms=10 * 60 * 1000,
        lifetime_ms=24 * 60 * 60 * 1000,
        request_weight_per_minute=2400,
        handshake_weight=5,
        session_weight=2,
        funding_requests=500,
        statistics_requests=1000,
        allowance_window_ms=5 * 60 * 1000,
        api_control_rate_per_s=5,
        first_ban_ms=2 * 60 * 1000,
        longest_ban_ms=3 * 24 * 60 * 60 * 1000,
    )
    assert documented == LIMITS, "the exchange's pages give these numbers"


def test_a_number_that_makes_no_sense_is_refused_by_name() -> None:
    with pytest.raises(ConfigError, match="invalid value 0 for max_streams: expected at least 1"):
        msgspec.structs.replace(LIMITS, max_streams=0)


def test_a_limit_that_can_be_off_takes_zero() -> None:
    assert msgspec.structs.replace(LIMITS, connection_attempts=0) == LIMITS, "0 is no limit"
