"""The client's own use of the request weight of its address.

The exchange counts weight per clock minute of UTC and per address (measured on the exchange; REST
general information page), whoever at that address asks.  A client that stays below a share of the
limit leaves the rest to others, and what the server tells of the whole address makes room for them.

One budget may be shared: by REST and the WebSocket API of a venue, and by both venues where they
charge one budget (profile `current`).

Questions about funding and statistics weigh nothing, or are not refused for what they weigh: they
have allowances of their own, for five minutes (`Allowances`).
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
LEAST_WAIT_MS = 1000
"""Shortest wait after a refusal, whatever the server says."""
FIRST_BAN_MS = 120_000
"""Wait after a ban that does not say how long it is: the shortest there is (the same page)."""
LONGEST_BAN_MS = 259_200_000
"""No ban is longer than three days (the same page)."""
BANNED = 418
REFUSALS = frozenset({BANNED, 429})
"""Statuses by which an address is refused, whatever it asks (the same page)."""


class WeightBudget:
    """Says when a question may go out; times are ms since the epoch.

    In a clock minute at most `share` of the limit is reserved.  Only a weight that is larger than
    that goes out alone, when the minute has nothing of ours yet.
    """

    def __init__(self, limit_per_minute: int = LIMIT_PER_MINUTE, share: float = SHARE) -> None:
        """Raises `ConfigError` for a limit below 1 or a share that is not above 0 and up to 1."""
        if limit_per_minute < 1:
            raise ConfigError("limit_per_minute", limit_per_minute, "at least 1")
        if not 0 < share <= 1:
            raise ConfigError("share", share, "more than 0 and at most 1")
        self.limit_per_minute = limit_per_minute
        self.own_per_minute = max(int(limit_per_minute * share), 1)
        """What is reserved in a minute at most."""
        self.spent = 0
        """Weight reserved so far."""
        self.waited_ms = 0
        """Time that callers of `reserve` were told to wait."""
        self.refusals = 0
        """Questions that the server refused (429, 418)."""
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
        """With which status the server refused the latest question, 0 before the first."""
        return self._refused_status

    @property
    def refused_message(self) -> str:
        """What the server said when it refused the latest question, empty before the first."""
        return self._refused_message

    def reserve(self, weight: int, now_ms: int) -> int:
        """Return 0 if `weight` may be spent now; else how long to wait, and nothing is reserved."""
        wait_ms = max(self.closed_ms(now_ms), self._own_wait_ms(weight, now_ms))
        if wait_ms:
            self.waited_ms += wait_ms
            return wait_ms
        self._reserved += weight
        self.spent += weight
        return 0

    def told(self, used: int, asked_ms: int) -> None:
        """Take what the server says the whole address has used in this minute.

        What is not ours is others'; that is a lower bound while questions of ours are on the way,
        which every further answer corrects.

        Args:
            used: The weight.
            asked_ms: When the question went out that was answered with it; an answer to a question
                of a minute that is over says nothing.
        """
        if asked_ms // MINUTE_MS < self._minute:
            return
        self._turn(asked_ms)
        self._others = max(used - self._reserved, 0)

    def refused(
        self, status: int, retry_after_ms: int | None, now_ms: int, message: str = ""
    ) -> None:
        """Take a refusal, 429 or 418: nothing goes out before `retry_after_ms` are over.

        Args:
            status: 429, or 418 for a ban.
            retry_after_ms: What the server asks to wait; None if it does not say.
            now_ms: The time.
            message: What the server says.
        """
        if retry_after_ms is None:
            retry_after_ms = FIRST_BAN_MS if status == BANNED else MINUTE_MS - now_ms % MINUTE_MS
        wait_ms = min(max(retry_after_ms, LEAST_WAIT_MS), LONGEST_BAN_MS)
        self._turn(now_ms)
        self.refusals += 1
        self._refused_status = status
        self._refused_message = message
        self._closed_until_ms = max(self._closed_until_ms, now_ms + wait_ms)

    def closed_ms(self, now_ms: int) -> int:
        """Return how long nothing may go out because the server refused, 0 if it does not."""
        self._turn(now_ms)
        return max(self._closed_until_ms - now_ms, 0)

    def _own_wait_ms(self, weight: int, now_ms: int) -> int:
        """Return 0 if `weight` fits into this minute, else how long it is to the next one."""
        own = self._reserved + weight
        within = own <= self.own_per_minute and own + self._others <= self.limit_per_minute
        alone = weight > self.own_per_minute and not (self._reserved or self._others)
        return 0 if within or alone or weight <= 0 else (self._minute + 1) * MINUTE_MS - now_ms

    def _turn(self, now_ms: int) -> None:
        """Begin a new minute; a clock that was set back a little stays in the one it was in."""
        minute = now_ms // MINUTE_MS
        if minute in (self._minute, self._minute - 1):
            return
        if minute < self._minute:
            self._closed_until_ms = 0
        self._minute = minute
        self._reserved = self._others = 0


class PartOfBudget(WeightBudget):
    """A share of a budget for questions that are to leave something of it to others.

    What is reserved here is reserved of the whole, too, and what the server says of the address is
    true of the whole: refusals hold for all who share it.
    """

    def __init__(self, whole: WeightBudget, share: float) -> None:
        """Raises `ConfigError` for a share that is not above 0 and up to 1."""
        super().__init__(whole.own_per_minute, share)
        self._whole = whole

    @property
    def refused_status(self) -> int:
        """With which status the server refused the latest question, of whatever part."""
        return self._whole.refused_status

    @property
    def refused_message(self) -> str:
        """What the server said when it refused the latest question, of whatever part."""
        return self._whole.refused_message

    def reserve(self, weight: int, now_ms: int) -> int:
        """Return 0 if `weight` may be spent now; else how long to wait, and nothing is reserved."""
        self._turn(now_ms)
        wait_ms = self._own_wait_ms(weight, now_ms) or self._whole.reserve(weight, now_ms)
        if wait_ms:
            self.waited_ms += wait_ms
            return wait_ms
        self._reserved += weight
        self.spent += weight
        return 0

    def told(self, used: int, asked_ms: int) -> None:
        """Take what the server says the whole address has used in this minute."""
        self._whole.told(used, asked_ms)

    def refused(
        self, status: int, retry_after_ms: int | None, now_ms: int, message: str = ""
    ) -> None:
        """Take a refusal, 429 or 418, for all who share the whole."""
        self.refusals += 1
        self._whole.refused(status, retry_after_ms, now_ms, message)

    def closed_ms(self, now_ms: int) -> int:
        """Return how long nothing may go out because the server refused, 0 if it does not."""
        return self._whole.closed_ms(now_ms)


class AllowanceSpentError(RequestError):
    """A question that is not asked, because as many of its kind were as the server allows."""

    def __init__(self, limit: WindowLimit, retry_after_ms: int) -> None:
        message = (
            f"Too many requests; current limit is {limit.text}. "
            "Please use the websocket for live updates to avoid polling the API."
        )
        super().__init__(TOO_MANY_REQUESTS, message, 429)
        self.retry_after_ms = retry_after_ms
        """How long to wait before asking again."""


class Allowances:
    """Says whether a question of a kind that has an allowance may go out.

    At most `share` of what the server allows in a window goes out in any stretch of time that is as
    long as one, wherever the server lets its windows begin.
    """

    def __init__(self, share: float = SHARE) -> None:
        self._share = share
        self._asked_ms: defaultdict[str, deque[int]] = defaultdict(deque)
        """When questions went out, by the name of their allowance, the oldest first."""

    def spend(self, name: str, now_ms: int) -> None:
        """Take note that a question of the allowance `name` goes out now.

        Args:
            name: The allowance: `funding` or `statistics`.
            now_ms: By a clock that does not go back.

        Raises:
            AllowanceSpentError: it must not, and how long that is so.
        """
        limit = WindowLimit(name, LIMITS.allowance(name), LIMITS.allowance_window_ms)
        asked_ms = self._asked_ms[name]
        while asked_ms and now_ms - asked_ms[0] >= limit.window_ms:
            asked_ms.popleft()
        if len(asked_ms) >= max(1, int(limit.limit * self._share)):
            raise AllowanceSpentError(limit, asked_ms[0] + limit.window_ms - now_ms)
        asked_ms.append(now_ms)
