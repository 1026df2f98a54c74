from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from tickerplant.protocol.token_bucket import TokenBucket


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


def test_a_clock_that_goes_back_gives_nothing_twice() -> None:
    bucket = TokenBucket(rate_per_s=10, capacity=1, now_ms=1000)
    assert bucket.take(1000), "it starts full"
    assert not bucket.take(900), "no time has passed"
    assert not bucket.take(1000), "the same tenth of a second is not counted again"
    assert bucket.take(1100), "a tenth of a second brings one token"
