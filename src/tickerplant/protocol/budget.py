"""What every address may ask for in a stretch of time, over REST and the WebSocket API together.

Request weight is counted per clock minute of UTC (measured on the exchange), questions of a kind
that has an allowance, and connection attempts, per window of five minutes.  A request that takes
an address over one of them is refused (429) and counts all the same; one that goes on after
`refusals_before_ban` refusals in a minute is banned (418), first for two minutes, then twice as
long each time, up to three days.  An address that stays out of bans as long as the longest one
starts anew.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from msgspec import Struct

from tickerplant.errors import RequestError
from tickerplant.protocol.account import CONNECTIONS, Account
from tickerplant.protocol.limits import LIMITS, Limits
from tickerplant.queries.query import FUNDING_ALLOWANCE, STATISTICS_ALLOWANCE
from tickerplant.units import MINUTE_MS

TOO_MANY_REQUESTS = -1003
REQUEST_WEIGHT = "requestWeight"
CONNECTION_ATTEMPTS = "connectionAttempts"
ALLOWANCES = (FUNDING_ALLOWANCE, STATISTICS_ALLOWANCE)


class Rule(Struct, frozen=True):
    """So much of something in each window of the clock; a `limit` of 0 is none."""

    name: str
    limit: int
    window_ms: int

    def window(self, now_ms: int) -> int:
        """Return the number of the window that `now_ms` is in."""
        return now_ms // self.window_ms

    def wait_ms(self, now_ms: int) -> int:
        """Return how long it is to the next window."""
        return self.window_ms - now_ms % self.window_ms

    @property
    def text(self) -> str:
        """How a refusal prints the limit (error-code pages, -1003)."""
        minutes, rest_ms = divmod(self.window_ms, MINUTE_MS)
        several = f"{self.window_ms} ms" if rest_ms else f"{minutes} minutes"
        return f"{self.limit} requests per {'minute' if self.window_ms == MINUTE_MS else several}"


class Charge(Struct, frozen=True):
    """What became of one request."""

    used: int
    """Weight the address has used in this minute, this request included."""
    refused: bool
    banned_until_ms: int | None
    """End of the ban (418), or None without one (429 if refused)."""
    retry_after_ms: int
    """How long to wait before asking again, a duration; 0 if not refused."""
    rule: str = ""
    """What was asked too much of, as a refusal prints it."""


class Budget:
    """Accounts of the most recent `limits.max_addresses` addresses; the least recent is forgotten.

    With limits that are not enforced, everything is counted and nothing is refused.
    """

    def __init__(self, limits: Limits = LIMITS) -> None:
        self.limits = limits
        self.refusals = 0
        """Requests refused so far, of any address."""
        self.bans = 0
        self.forgotten = 0
        """Addresses forgotten to make room."""
        self.exceeded: Counter[str] = Counter()
        """How often more was wanted than a limit gives, by its name, refused or not."""
        self.accounts: dict[str, Account] = {}
        """By address, the least recent first."""
        self.rules: Mapping[str, Rule] = {rule.name: rule for rule in _rules(limits)}

    def account(self, address: str) -> Account:
        """Return what is remembered of `address`, and remember that it was here."""
        account = self.accounts.pop(address, None) or Account(self.exceeded)
        self.accounts[address] = account
        if len(self.accounts) > self.limits.max_addresses:
            del self.accounts[next(iter(self.accounts))]
            self.forgotten += 1
        return account

    def charge(
        self, address: str, weight: int, now_ms: int, allowance: str | None = None
    ) -> Charge:
        """Count one request of `address` and say whether it may go on.

        Args:
            address: Who asks.
            weight: What is added to its request weight; what weighs nothing is not refused for it.
            now_ms: The time.
            allowance: The kind of question, if there is an allowance of questions of that kind.
        """
        account = self.account(address)
        account.seen_ms = now_ms
        over = [self._add(account, REQUEST_WEIGHT, weight, now_ms)]
        if allowance is not None:
            over.append(self._add(account, allowance, 1, now_ms))
        used = account.tallies[REQUEST_WEIGHT].used
        return self._judge(account, used, [rule for rule in over if rule], now_ms)

    def attempt(self, address: str, now_ms: int) -> int:
        """Count a connection attempt; return 0, or how many milliseconds to wait if it is refused."""
        account = self.account(address)
        account.seen_ms = now_ms
        over = self._add(account, CONNECTION_ATTEMPTS, 1, now_ms)
        return over.wait_ms(now_ms) if over and self.limits.enforced else 0

    def enter(self, address: str) -> Account:
        """Count a connection as open and return the account of its address."""
        account = self.account(address)
        account.tallies[CONNECTIONS].add(1)
        return account

    def leave(self, account: Account) -> None:
        """Count a connection of `account` as open no longer."""
        account.tallies[CONNECTIONS].add(-1)

    def refusal(self, charge: Charge) -> RequestError:
        """Return what a refused request is answered: 429, or 418 for a banned address.

        The texts are those of the error-code pages, code -1003.
        """
        if charge.banned_until_ms is None:
            message = (
                f"Too many requests; current limit is {charge.rule}. "
                "Please use the websocket for live updates to avoid polling the API."
            )
            return RequestError(TOO_MANY_REQUESTS, message, 429)
        message = (
            f"Way too many requests; IP banned until {charge.banned_until_ms}. "
            "Please use the websocket for live updates to avoid bans."
        )
        return RequestError(TOO_MANY_REQUESTS, message, 418)

    def _add(self, account: Account, name: str, amount: int, now_ms: int) -> Rule | None:
        """Count, and return the rule if that was too much."""
        rule = self.rules[name]
        used = account.tallies[name].add(amount, rule.window(now_ms))
        if not (amount and rule.limit) or used <= rule.limit:
            return None
        account.exceed(name)
        return rule

    def _judge(self, account: Account, used: int, over: list[Rule], now_ms: int) -> Charge:
        """Refuse what is over a limit, and whatever a banned address asks."""
        if not self.limits.enforced:
            return Charge(used, False, None, 0)
        if now_ms >= account.banned_until_ms:
            if not over:
                return Charge(used, False, None, 0)
            self._refuse(account, now_ms)
        self.refusals += 1
        if now_ms < account.banned_until_ms:
            account.refused[418] += 1
            until_ms = account.banned_until_ms
            return Charge(used, True, until_ms, until_ms - now_ms)
        account.refused[429] += 1
        rule = max(over, key=lambda rule: rule.wait_ms(now_ms))
        return Charge(used, True, None, rule.wait_ms(now_ms), rule.text)

    def _refuse(self, account: Account, now_ms: int) -> None:
        """Count a refusal, and ban if that was one too many in this minute."""
        minute = now_ms // MINUTE_MS
        if account.refusals_minute != minute:
            account.refusals_minute, account.refusals = minute, 0
        account.refusals += 1
        if account.refusals <= self.limits.refusals_before_ban:
            return
        if now_ms - account.banned_until_ms >= self.limits.longest_ban_ms:
            account.bans = 0
        length_ms = min(self.limits.first_ban_ms << account.bans, self.limits.longest_ban_ms)
        account.banned_until_ms = now_ms + length_ms
        account.bans += 1
        account.refusals = 0
        self.bans += 1


def _rules(limits: Limits) -> Iterable[Rule]:
    yield Rule(REQUEST_WEIGHT, limits.request_weight_per_minute, MINUTE_MS)
    for name in ALLOWANCES:
        yield Rule(name, limits.allowance(name), limits.allowance_window_ms)
    yield Rule(CONNECTION_ATTEMPTS, limits.connection_attempts, limits.connection_window_ms)
