"""How much each address may do, over REST and the WebSocket API together.

Request weight is counted per clock minute of UTC (measured on the exchange); requests of a kind that
has an allowance, and connection attempts, per window of five minutes.  A request that takes an
address over a limit is refused (429) and still counts.  An address that is refused more than
`refusals_before_ban` times in a minute is banned (418): first for two minutes, then twice as long
each time, up to three days.  An address that stays out of bans as long as the longest one starts
again with the first.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping

from msgspec import Struct, field

from tickerplant.errors import RequestError
from tickerplant.protocol.limits import LIMITS, Limits
from tickerplant.queries.query import FUNDING_ALLOWANCE, STATISTICS_ALLOWANCE
from tickerplant.units import MINUTE_MS

TOO_MANY_REQUESTS = -1003
REQUEST_WEIGHT = "requestWeight"
CONNECTION_ATTEMPTS = "connectionAttempts"
CONNECTIONS = "connections"
STREAMS = "streams"
MESSAGES = "messages"
CONTROL_FRAMES = "controlFrames"
ALLOWANCES = (FUNDING_ALLOWANCE, STATISTICS_ALLOWANCE)


class Tally(Struct):
    """The use of one limit: in a window of the clock, or at once."""

    window: int = 0
    """The window in which `used` was counted; 0 for a limit without windows."""
    used: int = 0
    highest: int = 0
    """The peak of `used`."""
    exceeded: int = 0
    """How often the limit was exceeded."""

    def add(self, amount: int, window: int = 0) -> int:
        """Count `amount` in `window`, which starts at 0, and return the sum."""
        if self.window != window:
            self.window, self.used = window, 0
        return self.set(self.used + amount)

    def set(self, used: int) -> int:
        """Set what is used now, and return it."""
        self.used = used
        self.highest = max(self.highest, used)
        return used


class ClientUsage(Struct):
    """What is remembered of one address; times are ms of the server's own clock."""

    exceeded: Counter[str] = field(default_factory=Counter)
    """How often each limit was exceeded, by all addresses that share the counter."""
    tallies: defaultdict[str, Tally] = field(default_factory=lambda: defaultdict(Tally))
    """By the name of the limit."""
    seen_ms: int = 0
    """When it last sent a request."""
    refusals_minute: int = 0
    refusals: int = 0
    """Requests refused in this minute, or since the last ban."""
    refused: dict[int, int] = field(default_factory=lambda: {429: 0, 418: 0})
    """Requests refused, by status."""
    bans: int = 0
    """Bans without a long period of good conduct between them."""
    banned_until_ms: int = 0

    def exceed(self, name: str, times: int = 1) -> None:
        """Count that the limit `name` was exceeded."""
        if times:
            self.tallies[name].exceeded += times
            self.exceeded[name] += times


class TokenBucket:
    """A rate limit that allows a burst.

    Holds up to `capacity` tokens, starts full, and gains `rate_per_s` tokens a second.  Counts in
    thousandths of a token, so that a millisecond adds a whole number of them and nothing is lost to
    rounding.
    """

    def __init__(self, rate_per_s: int, capacity: int, now_ms: int) -> None:
        self._rate_per_s = rate_per_s
        self._full = capacity * 1000
        self._level = self._full
        self._filled_ms = now_ms

    @property
    def capacity(self) -> int:
        """Most tokens that it holds."""
        return self._full // 1000

    @property
    def used(self) -> int:
        """Tokens that are missing, rounded up, as of the last `take`."""
        return self.used_at(self._filled_ms)

    def used_at(self, now_ms: int) -> int:
        """Return the tokens that are missing at a time after the last `take`, rounded up."""
        gained = (now_ms - self._filled_ms) * self._rate_per_s
        return -((min(self._full, self._level + gained) - self._full) // 1000)

    def take(self, now_ms: int) -> bool:
        """Remove one token and return True, or return False if there is none."""
        gained = (now_ms - self._filled_ms) * self._rate_per_s
        self._level = min(self._full, self._level + gained)
        self._filled_ms = now_ms
        if self._level < 1000:
            return False
        self._level -= 1000
        return True


class Throttle:
    """A token bucket whose use is recorded for the address."""

    def __init__(
        self, bucket: TokenBucket, usage: ClientUsage, name: str, *, enforced: bool
    ) -> None:
        self.bucket = bucket
        self._usage = usage
        self._name = name
        self._enforced = enforced

    def admits(self, now_ms: int) -> bool:
        """Count one message; return False if it exceeds the limit and the limit is enforced."""
        had_token = self.bucket.take(now_ms)
        self._usage.tallies[self._name].set(self.bucket.used)
        if not had_token:
            self._usage.exceed(self._name)
        return had_token or not self._enforced


class WindowLimit(Struct, frozen=True):
    """A limit per window of the clock; a `limit` of 0 is no limit."""

    name: str
    limit: int
    window_ms: int

    def window(self, now_ms: int) -> int:
        """Return the number of the window that `now_ms` is in."""
        return now_ms // self.window_ms

    def wait_ms(self, now_ms: int) -> int:
        """Return the time until the next window."""
        return self.window_ms - now_ms % self.window_ms

    @property
    def text(self) -> str:
        """The limit as a refusal prints it (error-code pages, -1003)."""
        minutes, rest_ms = divmod(self.window_ms, MINUTE_MS)
        several = f"{self.window_ms} ms" if rest_ms else f"{minutes} minutes"
        return f"{self.limit} requests per {'minute' if self.window_ms == MINUTE_MS else several}"


class Charge(Struct, frozen=True):
    """The outcome of charging one request."""

    used: int
    """Weight the address has used in this minute, this request included."""
    refused: bool
    banned_until_ms: int | None
    """End of the ban (418), or None without one (429 if refused)."""
    retry_after_ms: int
    """How long to wait before the next request; 0 if not refused."""
    limit_text: str = ""
    """The limit that was exceeded, as a refusal prints it."""


class RateLimiter:
    """Charges requests to addresses, and refuses those over a limit.

    Remembers the most recent `limits.max_addresses` addresses.  With limits that are not enforced,
    everything is counted and nothing is refused.
    """

    def __init__(self, limits: Limits = LIMITS) -> None:
        self.limits = limits
        self.refusals = 0
        """Requests refused so far, of any address."""
        self.bans = 0
        self.forgotten = 0
        """Addresses forgotten to make room."""
        self.exceeded: Counter[str] = Counter()
        """How often each limit was exceeded, by name, whether refused or not."""
        self.clients: dict[str, ClientUsage] = {}
        """By address, the least recent first."""
        self.window_limits: Mapping[str, WindowLimit] = {
            each.name: each for each in _window_limits(limits)
        }

    def usage_of(self, address: str) -> ClientUsage:
        """Return what is remembered of `address`, which becomes the most recent one."""
        usage = self.clients.pop(address, None) or ClientUsage(self.exceeded)
        self.clients[address] = usage
        if len(self.clients) > self.limits.max_addresses:
            del self.clients[next(iter(self.clients))]
            self.forgotten += 1
        return usage

    def charge(
        self, address: str, weight: int, now_ms: int, allowance: str | None = None
    ) -> Charge:
        """Count one request of `address`, and decide whether it is refused.

        Args:
            address: The client.
            weight: Its request weight; a request without weight is not refused for it.
            now_ms: The time.
            allowance: The kind of request, if there is an allowance for that kind.
        """
        usage = self.usage_of(address)
        usage.seen_ms = now_ms
        exceeded = [self._add(usage, REQUEST_WEIGHT, weight, now_ms)]
        if allowance is not None:
            exceeded.append(self._add(usage, allowance, 1, now_ms))
        return self._decide(usage, [limit for limit in exceeded if limit], now_ms)

    def attempt(self, address: str, now_ms: int) -> int:
        """Count a connection attempt; return 0, or how many ms to wait if it is refused."""
        usage = self.usage_of(address)
        usage.seen_ms = now_ms
        exceeded = self._add(usage, CONNECTION_ATTEMPTS, 1, now_ms)
        return exceeded.wait_ms(now_ms) if exceeded and self.limits.enforced else 0

    def connection_opened(self, address: str) -> ClientUsage:
        """Count an open connection and return the usage of its address."""
        usage = self.usage_of(address)
        usage.tallies[CONNECTIONS].add(1)
        return usage

    def connection_closed(self, usage: ClientUsage) -> None:
        """Count that a connection has closed."""
        usage.tallies[CONNECTIONS].add(-1)

    def note(self, address: str, name: str, added: int, highest: int, exceeded: int) -> None:
        """Count what was counted elsewhere, of a limit without windows.

        Args:
            address: The client.
            name: The limit.
            added: How much more is used; negative if less.
            highest: The peak that was seen there.
            exceeded: How often the limit was exceeded there since the last note.
        """
        usage = self.usage_of(address)
        tally = usage.tallies[name]
        tally.set(max(0, tally.used + added))
        tally.highest = max(tally.highest, highest)
        usage.exceed(name, exceeded)

    def refusal(self, charge: Charge) -> RequestError:
        """Return the error of a refused request: 429, or 418 for a banned address.

        The texts are those of the error-code pages, code -1003.
        """
        if charge.banned_until_ms is None:
            message = (
                f"Too many requests; current limit is {charge.limit_text}. "
                "Please use the websocket for live updates to avoid polling the API."
            )
            return RequestError(TOO_MANY_REQUESTS, message, 429)
        message = (
            f"Way too many requests; IP banned until {charge.banned_until_ms}. "
            "Please use the websocket for live updates to avoid bans."
        )
        return RequestError(TOO_MANY_REQUESTS, message, 418)

    def _add(self, usage: ClientUsage, name: str, amount: int, now_ms: int) -> WindowLimit | None:
        """Count `amount`; return the limit if it is exceeded."""
        limit = self.window_limits[name]
        used = usage.tallies[name].add(amount, limit.window(now_ms))
        if not (amount and limit.limit) or used <= limit.limit:
            return None
        usage.exceed(name)
        return limit

    def _decide(self, usage: ClientUsage, exceeded: list[WindowLimit], now_ms: int) -> Charge:
        """Refuse a request that exceeds a limit, and any request of a banned address."""
        used = usage.tallies[REQUEST_WEIGHT].used
        if not self.limits.enforced:
            return Charge(used, False, None, 0)
        if now_ms >= usage.banned_until_ms:
            if not exceeded:
                return Charge(used, False, None, 0)
            self._count_refusal(usage, now_ms)
        self.refusals += 1
        if now_ms < usage.banned_until_ms:
            usage.refused[418] += 1
            until_ms = usage.banned_until_ms
            return Charge(used, True, until_ms, until_ms - now_ms)
        usage.refused[429] += 1
        limit = max(exceeded, key=lambda limit: limit.wait_ms(now_ms))
        return Charge(used, True, None, limit.wait_ms(now_ms), limit.text)

    def _count_refusal(self, usage: ClientUsage, now_ms: int) -> None:
        """Count a refusal, and ban the address if there were too many in this minute."""
        minute = now_ms // MINUTE_MS
        if usage.refusals_minute != minute:
            usage.refusals_minute, usage.refusals = minute, 0
        usage.refusals += 1
        if usage.refusals <= self.limits.refusals_before_ban:
            return
        if now_ms - usage.banned_until_ms >= self.limits.longest_ban_ms:
            usage.bans = 0
        length_ms = min(self.limits.first_ban_ms << usage.bans, self.limits.longest_ban_ms)
        usage.banned_until_ms = now_ms + length_ms
        usage.bans += 1
        usage.refusals = 0
        self.bans += 1


def _window_limits(limits: Limits) -> Iterable[WindowLimit]:
    yield WindowLimit(REQUEST_WEIGHT, limits.request_weight_per_minute, MINUTE_MS)
    for name in ALLOWANCES:
        yield WindowLimit(name, limits.allowance(name), limits.allowance_window_ms)
    yield WindowLimit(CONNECTION_ATTEMPTS, limits.connection_attempts, limits.connection_window_ms)
