"""The request weight that the client may spend on its IP address.

The exchange counts weight per clock minute of UTC and per IP address (measured on the exchange; REST
general information page).  A client that stays below a share of the limit leaves the rest to other
programs, and the used weight in responses accounts for them.

One budget may be shared: by REST and the WebSocket API of a venue, and by both venues where they
charge one budget (profile `current`).

Requests for funding and statistics weigh nothing, or are not refused for their weight: they have
separate allowances for five minutes (`Allowances`).
"""

from __future__ import annotations

from collections import defaultdict, deque

from tickerplant.errors import ConfigError, RequestError
from tickerplant.protocol.limits import LIMITS
from tickerplant.protocol.rate_limiter import TOO_MANY_REQUESTS, WindowLimit
from tickerplant.units import MINUTE_MS

LIMIT_PER_MINUTE = 2400
"""The exchange's limit (WebSocket API general information page)."""
SHARE = 0.8
MIN_WAIT_MS = 1000
"""Minimum wait after a refusal."""
FIRST_BAN_MS = 120_000
"""Wait after a ban without a duration: the shortest ban (the same page)."""
MAX_BAN_MS = 259_200_000
"""Longest ban: three days (the same page)."""
BANNED = 418
REFUSALS = frozenset({BANNED, 429})
"""Statuses that refuse all requests of an IP address (the same page)."""


class WeightBudget:
    """Decides when a request may be sent.  Times are milliseconds since the epoch.

    At most `share` of the limit is used in each clock minute.  A single request heavier than that
    goes out alone, in a minute in which nothing else was sent.
    """

    def __init__(self, limit_per_minute: int = LIMIT_PER_MINUTE, share: float = SHARE) -> None:
        """Raises `ConfigError` for a limit below 1 or a share that is not above 0 and up to 1."""
        if limit_per_minute < 1:
            raise ConfigError("limit_per_minute", limit_per_minute, "at least 1")
        if not 0 < share <= 1:
            raise ConfigError("share", share, "more than 0 and at most 1")
        self.limit_per_minute = limit_per_minute
        self.own_per_minute = max(int(limit_per_minute * share), 1)
        """Maximum weight reserved in a minute."""
        self.spent = 0
        """Weight reserved so far."""
        self.waited_ms = 0
        """Total wait returned by `reserve`."""
        self.refusals = 0
        """Requests that the server refused (429, 418)."""
        self._minute = 0
        self._reserved = 0
        self._others = 0
        self._closed_until_ms = 0
        self._refused_status = 0
        self._refused_message = ""

    def __repr__(self) -> str:
        return (
            f"<WeightBudget {self.own_per_minute} of {self.limit_per_minute} a minute,"
            f" {self.spent} spent>"
        )

    @property
    def refused_status(self) -> int:
        """The status of the latest refusal, 0 before the first."""
        return self._refused_status

    @property
    def refused_message(self) -> str:
        """The message of the latest refusal, empty before the first."""
        return self._refused_message

    def reserve(self, weight: int, now_ms: int) -> int:
        """Reserve `weight` and return 0; or reserve nothing and return how long to wait, in ms."""
        if wait_ms := self.wait_ms(weight, now_ms):
            self.waited_ms += wait_ms
            return wait_ms
        self._reserved += weight
        self.spent += weight
        return 0

    def wait_ms(self, weight: int, now_ms: int) -> int:
        """Return how long a request of `weight` would have to wait now; reserve nothing."""
        return max(self.refused_ms(now_ms), self._own_wait_ms(weight, now_ms))

    def note_used(self, used: int, sent_ms: int) -> None:
        """Take the weight that the IP address has used in this minute, as the server reports it.

        The part that this client did not use belongs to others; it is a lower bound while requests
        of this client are pending, and every further response corrects it.

        Args:
            used: The weight.
            sent_ms: When the request of the response was sent; of an earlier minute it is ignored.
        """
        if sent_ms // MINUTE_MS < self._minute:
            return
        self._turn(sent_ms)
        self._others = max(used - self._reserved, 0)

    def refused(
        self, status: int, retry_after_ms: int | None, now_ms: int, message: str = ""
    ) -> None:
        """Take a refusal: nothing is sent for `retry_after_ms`.

        Args:
            status: 429, or 418 for a ban.
            retry_after_ms: How long the server asks to wait; None if it does not say.
            now_ms: The time.
            message: The message of the server.
        """
        if retry_after_ms is None:
            retry_after_ms = FIRST_BAN_MS if status == BANNED else MINUTE_MS - now_ms % MINUTE_MS
        wait_ms = min(max(retry_after_ms, MIN_WAIT_MS), MAX_BAN_MS)
        self._turn(now_ms)
        self.refusals += 1
        self._refused_status = status
        self._refused_message = message
        self._closed_until_ms = max(self._closed_until_ms, now_ms + wait_ms)

    def refused_ms(self, now_ms: int) -> int:
        """Return for how long nothing may be sent because of a refusal; 0 if there is none."""
        self._turn(now_ms)
        return max(self._closed_until_ms - now_ms, 0)

    def _own_wait_ms(self, weight: int, now_ms: int) -> int:
        """Return 0 if `weight` fits into this minute, else how long it is to the next one."""
        own = self._reserved + weight
        within = own <= self.own_per_minute and own + self._others <= self.limit_per_minute
        alone = weight > self.own_per_minute and not (self._reserved or self._others)
        return 0 if within or alone or weight <= 0 else (self._minute + 1) * MINUTE_MS - now_ms

    def _turn(self, now_ms: int) -> None:
        """Begin a new minute; a clock that was set back a little stays in its minute."""
        minute = now_ms // MINUTE_MS
        if minute in (self._minute, self._minute - 1):
            return
        if minute < self._minute:
            self._closed_until_ms = 0
        self._minute = minute
        self._reserved = self._others = 0


class PartOfBudget(WeightBudget):
    """A share of a budget, for requests that must leave weight to others.

    Weight reserved here is reserved in the whole budget too; used weight and refusals apply to the
    whole budget.
    """

    def __init__(self, whole: WeightBudget, share: float) -> None:
        """Raises `ConfigError` for a share that is not above 0 and up to 1."""
        super().__init__(whole.own_per_minute, share)
        self._whole = whole

    @property
    def refused_status(self) -> int:
        """The status of the latest refusal of the whole budget."""
        return self._whole.refused_status

    @property
    def refused_message(self) -> str:
        """The message of the latest refusal of the whole budget."""
        return self._whole.refused_message

    def reserve(self, weight: int, now_ms: int) -> int:
        """Reserve `weight` and return 0; or reserve nothing and return how long to wait, in ms."""
        self._turn(now_ms)
        wait_ms = self._own_wait_ms(weight, now_ms) or self._whole.reserve(weight, now_ms)
        if wait_ms:
            self.waited_ms += wait_ms
            return wait_ms
        self._reserved += weight
        self.spent += weight
        return 0

    def wait_ms(self, weight: int, now_ms: int) -> int:
        """Return how long a request of `weight` would have to wait now; reserve nothing."""
        self._turn(now_ms)
        return self._own_wait_ms(weight, now_ms) or self._whole.wait_ms(weight, now_ms)

    def note_used(self, used: int, sent_ms: int) -> None:
        """Take the weight that the IP address has used in this minute."""
        self._whole.note_used(used, sent_ms)

    def refused(
        self, status: int, retry_after_ms: int | None, now_ms: int, message: str = ""
    ) -> None:
        """Take a refusal for the whole budget."""
        self.refusals += 1
        self._whole.refused(status, retry_after_ms, now_ms, message)

    def refused_ms(self, now_ms: int) -> int:
        """Return for how long nothing may be sent because of a refusal; 0 if there is none."""
        return self._whole.refused_ms(now_ms)


class AllowanceSpentError(RequestError):
    """A request that is not sent because the allowance of its kind is spent."""

    def __init__(self, limit: WindowLimit, retry_after_ms: int) -> None:
        message = (
            f"Too many requests; current limit is {limit.text}. "
            "Please use the websocket for live updates to avoid polling the API."
        )
        super().__init__(TOO_MANY_REQUESTS, message, 429)
        self.retry_after_ms = retry_after_ms
        """How long to wait before the next request of this kind."""


class Allowances:
    """Decides whether a request of a kind with an allowance may be sent.

    At most `share` of what the server allows in a window is sent in any period of that length,
    wherever the windows of the server begin.
    """

    def __init__(self, share: float = SHARE) -> None:
        self._share = share
        self._sent_ms: defaultdict[str, deque[int]] = defaultdict(deque)
        """When requests were sent, by allowance, oldest first."""

    def spend(self, name: str, now_ms: int) -> None:
        """Note that a request of the allowance `name` is sent now.

        Args:
            name: The allowance: `funding` or `statistics`.
            now_ms: The time of a monotonic clock.

        Raises:
            AllowanceSpentError: it must not be sent; says how long to wait.
        """
        limit = WindowLimit(name, LIMITS.allowance(name), LIMITS.allowance_window_ms)
        sent_ms = self._sent_ms[name]
        while sent_ms and now_ms - sent_ms[0] >= limit.window_ms:
            sent_ms.popleft()
        if len(sent_ms) >= max(1, int(limit.limit * self._share)):
            raise AllowanceSpentError(limit, sent_ms[0] + limit.window_ms - now_ms)
        sent_ms.append(now_ms)
