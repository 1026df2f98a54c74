"""A consumer that is called, and not one that reads."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator

from tickerplant.client.runner import FeedRunner
from tickerplant.messages.message import Message
from tickerplant.messages.notice import Notice


class Listener:
    """A callback that is subscribed to streams, until it is closed or raises."""

    def __init__(
        self,
        runner: FeedRunner,
        names: tuple[str, ...],
        callback: Callable[[Message | Notice], object],
        *,
        notices: bool,
        backfill: bool,
    ) -> None:
        self.names = names
        """The streams."""
        self._runner = runner
        self._callback = callback
        self._failure: Exception | None = None
        self._over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._sink = self._take if notices else self._take_message
        runner.attach(names, self._sink, backfills=backfill)

    def close(self) -> None:
        """Unsubscribe."""
        if not self._over.done():
            self._over.set_result(None)
            self._runner.detach(self.names, self._sink)

    def raise_failure(self) -> None:
        """Raise what the callback raised, if that was not done yet."""
        failure, self._failure = self._failure, None
        if failure is not None:
            raise failure

    def __await__(self) -> Generator[None, None, None]:
        """Wait until it is closed; raise what the callback raised."""
        yield from asyncio.shield(self._over).__await__()
        self.raise_failure()

    def _take(self, item: Message | Notice) -> None:
        try:
            self._callback(item)
        except Exception as error:  # noqa: BLE001  # it is raised to who made the listener
            self._failure = self._failure or error
            self.close()

    def _take_message(self, item: Message | Notice) -> None:
        if not isinstance(item, Notice):
            self._take(item)
