"""The request weight of every address, shared by REST and the WebSocket API.

Weight is counted per clock minute of UTC (measured on the exchange). A request that takes an address
over its budget is refused (429) and counts all the same; one that goes on after
`refusals_before_ban` refusals in a minute is banned (418), first for two minutes, then twice as
long each time, up to three days. An address that stays out of bans as long as the longest one
starts anew.
"""

from __future__ import annotations

from msgspec import Struct

from tickerplant.errors import RequestError
from tickerplant.protocol.limits import LIMITS, Limits

MINUTE_MS = 60_000
TOO_MANY_REQUESTS = -1003


class Charge(Struct, frozen=True):
    """What became of one request."""

    used: int
    """Weight the address has used in this minute, this request included."""
    refused: bool
    banned_until_ms: int | None
    """End of the ban (418), or None without one (429 if refused)."""
    retry_after_ms: int
    """How long to wait before asking again, a duration; 0 if not refused."""


class _Account(Struct):
    """What is remembered of one address."""

    minute: int = 0
    used: int = 0
    refusals: int = 0
    bans: int = 0
    banned_until_ms: int = 0
    window: int = 0
    attempts: int = 0


class Budget:
    """Accounts of the most recent `limits.max_addresses` addresses; the least recent is forgotten.

    With `enforced` False, weight and attempts are counted and nothing is refused.
    """

    def __init__(self, limits: Limits = LIMITS, *, enforced: bool = True) -> None:
        self.enforced = enforced
        self.refusals = 0
        """Requests refused so far, by any address."""
        self.bans = 0
        self.forgotten = 0
        """Addresses forgotten to make room."""
        self._limits = limits
        self._accounts: dict[str, _Account] = {}

    def charge(self, address: str, weight: int, now_ms: int) -> Charge:
        """Add `weight` to what `address` has used in this minute and say whether it may go on."""
        account = self._account(address)
        minute = now_ms // MINUTE_MS
        if account.minute != minute:
            account.minute, account.used, account.refusals = minute, 0, 0
        account.used += weight
        if not self.enforced:
            return Charge(account.used, False, None, 0)
        if now_ms >= account.banned_until_ms:
            if account.used <= self._limits.request_weight_per_minute:
                return Charge(account.used, False, None, 0)
            self._refuse(account, now_ms)
        self.refusals += 1
        if now_ms < account.banned_until_ms:
            until_ms = account.banned_until_ms
            return Charge(account.used, True, until_ms, until_ms - now_ms)
        return Charge(account.used, True, None, (minute + 1) * MINUTE_MS - now_ms)

    def refusal(self, charge: Charge) -> RequestError:
        """Return what a refused request is answered: 429, or 418 for a banned address.

        The texts are those of the error-code pages, code -1003.
        """
        if charge.banned_until_ms is None:
            limit = self._limits.request_weight_per_minute
            message = (
                f"Too many requests; current limit is {limit} requests per minute. "
                "Please use the websocket for live updates to avoid polling the API."
            )
            return RequestError(TOO_MANY_REQUESTS, message, 429)
        message = (
            f"Way too many requests; IP banned until {charge.banned_until_ms}. "
            "Please use the websocket for live updates to avoid bans."
        )
        return RequestError(TOO_MANY_REQUESTS, message, 418)

    def attempt(self, address: str, now_ms: int) -> int:
        """Count a connection attempt; return 0, or how many milliseconds to wait if it is refused."""
        allowed, window_ms = self._limits.connection_attempts, self._limits.connection_window_ms
        if not allowed:
            return 0
        account = self._account(address)
        window = now_ms // window_ms
        if account.window != window:
            account.window, account.attempts = window, 0
        account.attempts += 1
        if account.attempts <= allowed or not self.enforced:
            return 0
        return (window + 1) * window_ms - now_ms

    def _refuse(self, account: _Account, now_ms: int) -> None:
        account.refusals += 1
        if account.refusals <= self._limits.refusals_before_ban:
            return
        if now_ms - account.banned_until_ms >= self._limits.longest_ban_ms:
            account.bans = 0
        length_ms = min(self._limits.first_ban_ms << account.bans, self._limits.longest_ban_ms)
        account.banned_until_ms = now_ms + length_ms
        account.bans += 1
        account.refusals = 0
        self.bans += 1

    def _account(self, address: str) -> _Account:
        account = self._accounts.pop(address, None) or _Account()
        self._accounts[address] = account
        if len(self._accounts) > self._limits.max_addresses:
            del self._accounts[next(iter(self._accounts))]
            self.forgotten += 1
        return account
