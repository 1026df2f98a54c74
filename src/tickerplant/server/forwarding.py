"""Questions that are answered elsewhere: who knows the answer, and the tasks that wait for it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Protocol, TypeAlias

from tickerplant.errors import RequestError, UpstreamError
from tickerplant.logs import Complaints
from tickerplant.protocol.actions import Ask
from tickerplant.protocol.api_request import UNKNOWN_ERROR
from tickerplant.protocol.elsewhere import disconnected, nowhere
from tickerplant.queries.query import Query

Tell: TypeAlias = Callable[[Ask, bytes | RequestError], object]
"""Takes a request and what was answered to it."""


class Forwarder(Protocol):
    """Knows somebody who answers what the markets here cannot."""

    @property
    def counts(self) -> Mapping[str, int]:
        """How often what was done so far, in a few words, for the metrics."""
        ...

    def wants(self, query: Query, params: Mapping[str, object]) -> bool:
        """Decide whether a question goes elsewhere, at once.

        Raises:
            RequestError: the question is wrong, and need not be asked.
        """
        ...

    async def answer(self, query: Query, params: Mapping[str, object]) -> bytes:
        """Return the answer as JSON, in a time that is bounded.

        Raises:
            RequestError: the question is answered with an error.
            UpstreamError: nobody answered.
        """
        ...


class Forwarding:
    """What one port asks elsewhere."""

    def __init__(self, forwarder: Forwarder | None, complaints: Complaints) -> None:
        self.wants = nowhere if forwarder is None else forwarder.wants
        self._forwarder = forwarder
        self._complaints = complaints
        self._asking: set[asyncio.Task[bytes]] = set()
        self._stopped = False

    @property
    def counts(self) -> Mapping[str, int]:
        """What the forwarder has counted."""
        return {} if self._forwarder is None else self._forwarder.counts

    async def ask(self, query: Query, params: Mapping[str, object]) -> bytes:
        """Return the answer as JSON.

        Raises:
            RequestError: the question is answered with an error.
        """
        if self._forwarder is None or self._stopped:
            raise disconnected()
        asking = asyncio.create_task(self._forwarder.answer(query, params))
        self._asking.add(asking)
        try:
            return await asking
        except RequestError:
            raise
        except UpstreamError as error:
            self._complaints.add("no answer from upstream", f"! {error.url}: {error.reason}")
            raise disconnected() from None
        except asyncio.CancelledError:
            if _is_cancelled():
                raise
            raise disconnected() from None
        except Exception:  # noqa: BLE001  # one fault must not end a conversation
            name = query.method or query.path or "query"
            self._complaints.add(f"fault in {name}", "! a query failed", exc_info=True)
            message = "An unknown error occured while processing the request."
            raise RequestError(UNKNOWN_ERROR, message, 500) from None
        finally:
            self._asking.discard(asking)

    def stop(self) -> None:
        """Ask nothing any more, and answer who waits that nobody answered."""
        self._stopped = True
        for asking in self._asking:
            asking.cancel()


def _is_cancelled() -> bool:
    """Whether it is who waits that is cancelled, and not what is waited for."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


class Asks:
    """What the requests of one connection wait for."""

    def __init__(self, forwarding: Forwarding) -> None:
        self._forwarding = forwarding
        self._waiting: set[asyncio.Task[None]] = set()

    def begin(self, ask: Ask, tell: Tell) -> None:
        """Ask, and `tell` what came of it; the session bounds how many wait."""
        waiting = asyncio.create_task(self._wait(ask, tell))
        self._waiting.add(waiting)
        waiting.add_done_callback(self._waiting.discard)

    def cancel(self) -> None:
        """Wait for nothing any more: nobody is there who could be told."""
        for waiting in self._waiting:
            waiting.cancel()

    async def _wait(self, ask: Ask, tell: Tell) -> None:
        try:
            result: bytes | RequestError = await self._forwarding.ask(ask.query, ask.params)
        except RequestError as error:
            result = error
        tell(ask, result)
