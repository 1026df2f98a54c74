"""A consumer that is called, and not one that reads."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Callable, Generator

from tickerplant.client.runner import FeedRunner
from tickerplant.client.subscription import streams_text
from tickerplant.errors import ConfigError
from tickerplant.messages.message import Message
from tickerplant.messages.notice import Notice

_log = logging.getLogger(__name__)


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

    @property
    def is_done(self) -> bool:
        """Whether it is closed, and who wants to know heard of what the callback raised."""
        return self._over.done() and self._failure is None

    def close(self) -> None:
        """Unsubscribe; the callback is not called any more."""
        if not self._over.done():
            self._over.set_result(None)
            self._callback = _ignore  # what is on its way to it, such as the rest of an array
            self._runner.detach(self.names, self._sink)

    def take_failure(self) -> Exception | None:
        """Return what the callback raised, the first time that it is asked for."""
        failure, self._failure = self._failure, None
        return failure

    def __await__(self) -> Generator[None, None, None]:
        """Wait until it is closed; raise what the callback raised."""
        yield from asyncio.shield(self._over).__await__()
        failure = self.take_failure()
        if failure is not None:
            raise failure

    def __repr__(self) -> str:
        closed = ", closed" if self._over.done() else ""
        return f"<Listener {streams_text(self.names)}{closed}>"

    def _take(self, item: Message | Notice) -> None:
        try:
            self._callback(item)
        except asyncio.CancelledError as cancelled:  # of a task it looked at: nobody cancels a call
            failure = RuntimeError("the callback raised what a cancelled task or future does")
            failure.__cause__ = cancelled  # itself it would cancel who hears of it
            self._fail(failure)
        except Exception as error:  # noqa: BLE001  # it is raised to who made the listener
            self._fail(error)

    def _fail(self, failure: Exception) -> None:
        self._failure = failure
        names = streams_text(self.names)
        _log.error("A callback failed and is not called any more: %s", names, exc_info=failure)
        self.close()

    def _take_message(self, item: Message | Notice) -> None:
        if not isinstance(item, Notice):
            self._take(item)


def _ignore(_: Message | Notice) -> None:
    """Take what nobody wants any more."""


def check_callback(setting: str, callback: object) -> None:
    """Raise `ConfigError` for what cannot be called, or would have to be awaited."""
    kinds = (callback, getattr(callback, "__call__", None))  # noqa: B004  # its method is wanted
    is_async = any(map(inspect.iscoroutinefunction, kinds)) or any(
        map(inspect.isasyncgenfunction, kinds)
    )
    if not callable(callback) or is_async:
        raise ConfigError(setting, callback, "a plain function, which nobody has to await")
