"""A forwarder that asks once what many want to know."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from typing import TypeAlias

from tickerplant.errors import RequestError, UpstreamError
from tickerplant.feed.weight import AllowanceSpentError
from tickerplant.protocol.elsewhere import Elsewhere, overloaded
from tickerplant.queries.query import Query
from tickerplant.server.clock import Clock, connection_clock_ms
from tickerplant.server.kept_answers import (
    KeptAnswers,
    Outcome,
    Question,
    Refusal,
    kept_ms,
    question_of,
)

MAX_ASKED_AT_ONCE = 256
ERROR_KEPT_MS = 1_000
"""Longest time for which an error is kept."""
REFUSED_HERE = frozenset({403, 418, 429})
"""HTTP statuses that are about who asks there, which is this program, and not its client."""

Fetch: TypeAlias = Callable[[Query, Mapping[str, str]], Awaitable[bytes]]
"""Asks somebody else; takes the parameters as REST has them, without keys and signatures.

Returns JSON within a bounded time; raises `RequestError` or `UpstreamError`.
"""


class CoalescingForwarder:
    """Asks the same question once, and keeps the answer for as long as its kind allows.

    Args:
        fetch: Asks.
        wants: Which questions go elsewhere.
        clock: By which answers grow old.
        kept_ms: How long the answers to a question are kept after they came.
        kept: Where they are kept.
        max_asked_at_once: Most questions that are on their way; more are refused (-1008).
    """

    def __init__(
        self,
        fetch: Fetch,
        wants: Elsewhere,
        *,
        clock: Clock = connection_clock_ms,
        kept_ms: Callable[[Query], int] = kept_ms,
        kept: KeptAnswers | None = None,
        max_asked_at_once: int = MAX_ASKED_AT_ONCE,
    ) -> None:
        self.wants = wants
        self._fetch = fetch
        self._clock = clock
        self._kept_ms = kept_ms
        self._kept = KeptAnswers() if kept is None else kept
        self._max_asked_at_once = max_asked_at_once
        self._asked: dict[Question, asyncio.Task[Outcome]] = {}
        self._counts = Counter(asked=0, joined=0, kept=0, refused=0, unanswered=0)

    @property
    def counts(self) -> Mapping[str, int]:
        """How questions were dealt with.

        `asked` elsewhere, `joined` to one that was on its way, answered with what was `kept`,
        `refused` because too many were on their way, or of their kind in the last minutes; of those
        asked so many were `unanswered`; and so many answers were `displaced` by others before their
        time.
        """
        return {**self._counts, "displaced": self._kept.displaced}

    async def answer(self, query: Query, params: Mapping[str, object]) -> bytes:
        """Return the answer as JSON.

        Raises:
            RequestError: the question is answered with an error, or too many are on their way or
                were of its kind.
            UpstreamError: nobody answered.
        """
        question = question_of(query, params)
        outcome = self._kept.get(question, self._clock())
        if outcome is None:
            # Who goes away takes nothing from the others who wait for the same.
            outcome = await asyncio.shield(self._ask(query, question))
        else:
            self._counts["kept"] += 1
        if isinstance(outcome, Refusal):
            raise outcome.error
        return outcome

    def _ask(self, query: Query, question: Question) -> asyncio.Task[Outcome]:
        asked = self._asked.get(question)
        if asked is not None:
            self._counts["joined"] += 1
            return asked
        if len(self._asked) >= self._max_asked_at_once:
            self._counts["refused"] += 1
            raise overloaded()
        asked = self._asked[question] = asyncio.create_task(self._outcome(query, question))
        asked.add_done_callback(_look)
        return asked

    async def _outcome(self, query: Query, question: Question) -> Outcome:
        """Ask, and keep what was answered, an error too, but not for long."""
        kept_ms = self._kept_ms(query)
        self._counts["asked"] += 1
        try:
            outcome: Outcome = await self._fetch(query, dict(question.params))
        except AllowanceSpentError:
            self._counts["asked"] -= 1
            self._counts["refused"] += 1
            raise
        except RequestError as error:
            if error.status in REFUSED_HERE or not 400 <= error.status < 500:
                self._counts["unanswered"] += 1
                raise UpstreamError(question.name, str(error)) from None
            outcome = Refusal.of(error)
            kept_ms = min(kept_ms, ERROR_KEPT_MS)
        except UpstreamError:
            self._counts["unanswered"] += 1
            raise
        finally:
            del self._asked[question]
        now_ms = self._clock()
        self._kept.put(question, outcome, now_ms, now_ms + kept_ms)
        return outcome


def _look(asked: asyncio.Task[Outcome]) -> None:
    """Take note of a failure of which nobody is left to hear."""
    if not asked.cancelled():
        asked.exception()
