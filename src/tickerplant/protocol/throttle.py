"""Whether a client may send one thing more."""

from __future__ import annotations

from tickerplant.protocol.account import Account
from tickerplant.protocol.token_bucket import TokenBucket


class Throttle:
    """A token bucket whose use is told to the account of the address; it may only count.

    Args:
        bucket: What is taken from.
        account: What the address uses.
        name: Of the limit, in the account.
        enforced: Whether what is one too many is refused.
    """

    def __init__(self, bucket: TokenBucket, account: Account, name: str, *, enforced: bool) -> None:
        self._bucket = bucket
        self._account = account
        self._name = name
        self._enforced = enforced

    def admits(self, now_ms: int) -> bool:
        """Count one thing sent; return False if it is one too many and that is not allowed."""
        had_token = self._bucket.take(now_ms)
        self._account.tallies[self._name].reach(self._bucket.used)
        if not had_token:
            self._account.exceed(self._name)
        return had_token or not self._enforced
