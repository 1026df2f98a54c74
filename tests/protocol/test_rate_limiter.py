from fractions import Fraction

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from tickerplant.protocol.limits import LIMITS
from tickerplant.protocol.rate_limiter import RateLimiter, TokenBucket

SMALL = msgspec.structs.replace(
    LIMITS,
    request_weight_per_minute=20,
    refusals_before_ban=2,
    first_ban_ms=50_000,
    longest_ban_ms=180_000,
)
NOON_MS = 1_772_020_800_000


class NaiveBudget:
    """Keeps every request ever made by one address and counts from the beginning."""

    def __init__(self) -> None:
        self.requests: list[tuple[int, int]] = []
        self.refused_ms: list[int] = []
        self.bans: list[tuple[int, int]] = []

    def charge(self, weight: int, now_ms: int) -> tuple[int, bool, int | None]:
        self.requests.append((now_ms, weight))
        minute = now_ms // 60_000
        used = sum(weight for at_ms, weight in self.requests if at_ms // 60_000 == minute)
        banned_until_ms = self.bans[-1][1] if self.bans else 0
        if now_ms < banned_until_ms:
            return used, True, banned_until_ms
        if used <= 20 or not weight:
            return used, False, None
        self.refused_ms.append(now_ms)
        since_ms = max(minute * 60_000, banned_until_ms)
        if sum(at_ms >= since_ms for at_ms in self.refused_ms) <= 2:
            return used, True, None
        return used, True, self._ban(now_ms)

    def _ban(self, now_ms: int) -> int:
        streak = 0
        for (_, end_ms), next_start_ms in zip(
            reversed(self.bans),
            [now_ms, *(start for start, _ in reversed(self.bans))],
            strict=False,
        ):
            if next_start_ms - end_ms >= 180_000:
                break
            streak += 1
        until_ms = now_ms + min(50_000 << streak, 180_000)
        self.bans.append((now_ms, until_ms))
        return until_ms


@settings(max_examples=60)
@given(
    steps=st.lists(
        st.tuples(
            st.sampled_from(["192.0.2.1", "192.0.2.2"]),
            st.integers(0, 12) | st.just(21),
            st.sampled_from([0, 0, 1, 500, 20_000, 100_000, 300_000]),
        ),
        max_size=120,
    )
)
def test_it_agrees_with_a_count_from_the_beginning(steps: list[tuple[str, int, int]]) -> None:
    rate_limiter = RateLimiter(SMALL)
    naive: dict[str, NaiveBudget] = {}
    now_ms, refusals = NOON_MS, 0
    for address, weight, pause_ms in steps:
        now_ms += pause_ms
        used, refused, banned_until_ms = naive.setdefault(address, NaiveBudget()).charge(
            weight, now_ms
        )
        charge = rate_limiter.charge(address, weight, now_ms)
        assert charge.used == used, "the weight of the minute, refused requests included"
        assert charge.refused == refused, f"{used} of 20 used"
        assert charge.banned_until_ms == banned_until_ms, "the ban that holds now"
        until_ms = banned_until_ms or now_ms // 60_000 * 60_000 + 60_000
        assert charge.retry_after_ms == (until_ms - now_ms) * refused, "told when to return"
        refusals += refused
    assert rate_limiter.refusals == refusals, "every refused request is counted"
    assert rate_limiter.bans == sum(len(each.bans) for each in naive.values()), (
        "every ban is counted"
    )


def test_bans_double_up_to_the_longest_and_are_forgiven() -> None:
    rate_limiter = RateLimiter(SMALL)
    now_ms = NOON_MS
    lengths_ms = []
    for _ in range(5):
        charge = rate_limiter.charge("a", 21, now_ms)
        while charge.banned_until_ms is None:
            charge = rate_limiter.charge("a", 21, now_ms)
        lengths_ms.append(charge.retry_after_ms)
        now_ms = charge.banned_until_ms
    assert lengths_ms == [50_000, 100_000, 180_000, 180_000, 180_000], "twice as long, to a limit"
    now_ms += 180_000
    charges = [rate_limiter.charge("a", 21, now_ms) for _ in range(3)]
    assert charges[-1].retry_after_ms == 50_000, "good conduct clears the slate"


def test_an_unenforced_budget_counts_and_refuses_nothing() -> None:
    rate_limiter = RateLimiter(
        msgspec.structs.replace(SMALL, connection_attempts=1, enforced=False)
    )
    charges = [rate_limiter.charge("a", 21, NOON_MS) for _ in range(10)]
    assert [charge.used for charge in charges] == list(range(21, 211, 21)), "weight is counted"
    assert not any(charge.refused for charge in charges), "nothing is refused"
    assert [rate_limiter.attempt("a", NOON_MS) for _ in range(3)] == [0, 0, 0], "nor any connection"
    assert (rate_limiter.refusals, rate_limiter.bans) == (0, 0), "and nothing counts as refused"


def test_connections_are_unlimited_unless_set() -> None:
    rate_limiter = RateLimiter(LIMITS)
    assert {rate_limiter.attempt("a", NOON_MS) for _ in range(1000)} == {0}, (
        "the default is no limit"
    )


def test_connection_attempts_are_counted_per_address_and_window() -> None:
    limits = msgspec.structs.replace(LIMITS, connection_attempts=2, connection_window_ms=300_000)
    rate_limiter = RateLimiter(limits)
    waits_ms = [rate_limiter.attempt("a", NOON_MS + 1000) for _ in range(3)]
    assert waits_ms == [0, 0, 299_000], "the third waits for the next window"
    assert rate_limiter.attempt("b", NOON_MS + 1000) == 0, "another address has its own count"
    assert rate_limiter.attempt("a", NOON_MS + 300_000) == 0, "a new window"


def test_the_least_recent_address_is_forgotten_first() -> None:
    rate_limiter = RateLimiter(msgspec.structs.replace(LIMITS, max_addresses=2))
    for address in ("a", "b", "a", "c"):
        rate_limiter.charge(address, 1, NOON_MS)
    assert rate_limiter.forgotten == 1, "one made room for c"
    assert rate_limiter.charge("a", 1, NOON_MS).used == 3, "a was more recent than b"
    assert rate_limiter.charge("b", 1, NOON_MS).used == 1, "b starts anew"


def test_an_allowance_of_requests_is_counted_per_window_beside_the_weight() -> None:
    limits = msgspec.structs.replace(LIMITS, funding_requests=2, allowance_window_ms=300_000)
    rate_limiter = RateLimiter(limits)
    charges = [rate_limiter.charge("a", 0, NOON_MS + 1000, "funding") for _ in range(3)]
    assert [charge.refused for charge in charges] == [False, False, True], "two in five minutes"
    assert charges[-1].retry_after_ms == 299_000, "the next window begins with the clock's"
    assert "current limit is 2 requests per 5 minutes." in rate_limiter.refusal(charges[-1]).message
    assert charges[-1].used == 0, "they weigh nothing"
    assert not rate_limiter.charge("a", 0, NOON_MS, "statistics").refused, (
        "another kind is counted apart"
    )
    assert not rate_limiter.charge("a", 1, NOON_MS).refused, "and so is weight"
    assert not rate_limiter.charge("b", 0, NOON_MS, "funding").refused, (
        "another address has its own"
    )
    assert not rate_limiter.charge("a", 0, NOON_MS + 300_000, "funding").refused, "a new window"


def test_a_client_that_ignores_a_spent_allowance_is_banned() -> None:
    rate_limiter = RateLimiter(msgspec.structs.replace(SMALL, statistics_requests=1))
    charges = [rate_limiter.charge("a", 0, NOON_MS, "statistics") for _ in range(4)]
    assert charges[-1].banned_until_ms == NOON_MS + SMALL.first_ban_ms, "the third refusal bans"
    assert rate_limiter.charge("a", 0, NOON_MS).refused, (
        "a banned address is refused whatever it asks"
    )


def test_what_weighs_nothing_is_not_refused_for_its_weight() -> None:
    rate_limiter = RateLimiter(SMALL)
    assert rate_limiter.charge("a", 21, NOON_MS).refused, "the budget is used up"
    assert not rate_limiter.charge("a", 0, NOON_MS).refused, (
        "a question of weight 0 needs none of it"
    )


def test_what_is_exceeded_is_counted_for_all_addresses_though_nothing_is_refused() -> None:
    limits = msgspec.structs.replace(SMALL, connection_attempts=1, enforced=False)
    rate_limiter = RateLimiter(limits)
    for address in ("a", "b"):
        rate_limiter.charge(address, 21, NOON_MS)
        rate_limiter.attempt(address, NOON_MS)
        rate_limiter.attempt(address, NOON_MS)
    assert rate_limiter.exceeded == {"requestWeight": 2, "connectionAttempts": 2}


class NaiveBucket:
    """Counts exact fractions of tokens."""

    def __init__(self, rate_per_s: int, capacity: int) -> None:
        self.rate_per_s, self.capacity = rate_per_s, capacity
        self.tokens = Fraction(capacity)

    def take(self, elapsed_ms: int) -> bool:
        self.tokens += Fraction(elapsed_ms * self.rate_per_s, 1000)
        self.tokens = min(self.tokens, Fraction(self.capacity))
        if self.tokens < 1:
            return False
        self.tokens -= 1
        return True


@given(
    rate_per_s=st.integers(1, 50),
    capacity=st.integers(1, 20),
    start_ms=st.integers(0, 2**41),
    pauses_ms=st.lists(st.integers(0, 400), max_size=80),
)
def test_it_agrees_with_exact_fractions(
    rate_per_s: int, capacity: int, start_ms: int, pauses_ms: list[int]
) -> None:
    bucket = TokenBucket(rate_per_s, capacity, start_ms)
    naive = NaiveBucket(rate_per_s, capacity)
    now_ms = start_ms
    for pause_ms in pauses_ms:
        now_ms += pause_ms
        expected = naive.take(pause_ms)
        assert bucket.take(now_ms) == expected, f"at +{now_ms - start_ms} ms"


def test_what_is_used_of_a_bucket_can_be_read_at_any_time_and_changes_nothing() -> None:
    bucket = TokenBucket(rate_per_s=10, capacity=5, now_ms=1000)
    assert bucket.capacity == 5
    for _ in range(3):
        bucket.take(1000)
    assert [bucket.used_at(1000 + later) for later in (0, 50, 100, 299, 300, 10_000)] == [
        3,
        3,
        2,
        1,
        0,
        0,
    ]
    assert bucket.used == 3


def test_a_clock_that_goes_back_gives_nothing_twice() -> None:
    bucket = TokenBucket(rate_per_s=10, capacity=1, now_ms=1000)
    assert bucket.take(1000), "it starts full"
    assert not bucket.take(900), "no time has passed"
    assert not bucket.take(1000), "the same tenth of a second is not counted again"
    assert bucket.take(1100), "a tenth of a second brings one token"
