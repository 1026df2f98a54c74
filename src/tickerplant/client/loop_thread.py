"""An event loop in a background thread, for callers without one or with another one."""

from __future__ import annotations

import asyncio
import atexit
import threading
from asyncio import Runner, SelectorEventLoop
from collections.abc import Callable, Coroutine
from concurrent.futures import CancelledError, Future
from contextlib import AbstractAsyncContextManager, suppress
from functools import wraps
from types import TracebackType
from typing import Any, Concatenate, ParamSpec, TypeVar

from tickerplant.client.lockstep import reading_thread
from tickerplant.originals import Original, Owner

P = ParamSpec("P")
T = TypeVar("T")
Inner = TypeVar("Inner")
Outer = TypeVar("Outer")


class OverError(RuntimeError):
    """The event loop has ended."""


class _Loop(SelectorEventLoop):
    """An event loop in which time goes on where a test has stopped its own."""

    def time(self) -> float:
        return Original.monotonic()


class LoopThread:
    """Runs a context, and everything that is done with it, in one event loop.

    The thread starts with `begin` or the first `wait`, and ends with `end` or with the program.  A
    process that is forked from this one has none: everything but `end` raises `RuntimeError` there.
    """

    def __init__(self, context: AbstractAsyncContextManager[object], over: str) -> None:
        self.is_over = False
        """Whether `end` was called; what still runs may use the loop."""
        self._context = context
        self._over = over
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._owner = Owner()
        self._begun: Future[None] = Future()
        self._ending = asyncio.Event()
        self._changing = threading.Lock()
        """Held while the thread starts, ends, or a coroutine is scheduled, so that every scheduled one is
        started or cancelled."""

    @property
    def is_running(self) -> bool:
        """Whether there is a loop."""
        return self._loop is not None and self._owner.is_here

    def begin(self) -> None:
        """Start the thread unless it runs, and wait for its event loop."""
        self._check_process()
        with self._changing:
            if self.is_over and self._loop is None:
                raise OverError(self._over)
            if self._thread is None:
                thread = Original.Thread(target=self._run, name="tickerplant", daemon=True)
                self._owner = Owner()
                thread.start()
                self._thread = thread
                atexit.register(self.end)
        self._begun.result()

    def wait(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run `coroutine` in the loop and return its result.

        Raises:
            OverError: the loop has ended, or ended before the coroutine.
            RuntimeError: called in the thread of the loop.
        """
        is_abandoned = threading.Event()

        async def unless_abandoned() -> T:
            # Cancelled before it starts, a task starts all the same, and ends a turn of the loop later.
            if is_abandoned.is_set():
                coroutine.close()
                raise asyncio.CancelledError
            return await coroutine

        work = unless_abandoned()
        try:
            future = self._schedule(work)
        except BaseException:  # also an interruption, or Python complains that nothing awaited it
            is_abandoned.set()
            for each in (work, coroutine):
                with suppress(ValueError):  # it was scheduled before the interruption, and runs
                    each.close()
            raise
        try:
            return future.result()
        except CancelledError:
            raise OverError(self._over) from None
        except BaseException:
            is_abandoned.set()
            future.cancel()
            raise

    def call(self, function: Callable[[], T]) -> T:
        """Call `function`, in the thread if it is running, and return its result."""
        self._check_process()
        if self._loop is None or threading.current_thread() is self._thread:
            return function()

        async def call() -> T:
            return function()

        return self.wait(call())

    def end(
        self,
        kind: type[BaseException] | None = None,
        error: BaseException | None = None,
        trace: TracebackType | None = None,
    ) -> None:
        """Exit the context, cancel what still runs in the loop, and end the thread.

        Does nothing if called again, or in a forked process.
        """
        if self._is_foreign:
            return
        self._check_thread()
        with self._changing:
            was_over, self.is_over = self.is_over, True
        if was_over or self._thread is None:
            return
        try:
            if self._begun.exception() is None:
                self.wait(self._context.__aexit__(kind, error, trace))
        finally:
            atexit.unregister(self.end)
            with self._changing:
                loop, self._loop = self._loop, None
                if loop is not None:
                    loop.call_soon_threadsafe(self._ending.set)
            self._thread.join()

    @property
    def _is_foreign(self) -> bool:
        return self._thread is not None and not self._owner.is_here

    def _check_process(self) -> None:
        if self._thread is not None:
            self._owner.check("this market")

    def _check_thread(self) -> None:
        """Raise `RuntimeError` in the thread of the loop, which cannot wait for itself."""
        if threading.current_thread() is self._thread:
            raise RuntimeError(
                "not allowed in a callback: it runs in the client's thread and would wait for itself"
            )

    def _schedule(self, coroutine: Coroutine[Any, Any, T]) -> Future[T]:
        self._check_process()
        self._check_thread()
        if self._loop is None:
            self.begin()
        with self._changing:
            if self._loop is None:
                raise OverError(self._over)
            reader = reading_thread.set(threading.current_thread())  # the coroutine inherits it
            try:
                return asyncio.run_coroutine_threadsafe(coroutine, self._loop)
            finally:
                reading_thread.reset(reader)

    def _run(self) -> None:
        living = self._live()
        try:
            with Runner(loop_factory=_Loop) as runner:
                runner.run(living)
        except BaseException as error:
            living.close()  # there may be no loop, for example without a free file descriptor
            if self._begun.done():
                raise
            self._begun.set_exception(error)

    async def _live(self) -> None:
        await self._context.__aenter__()
        self._loop = asyncio.get_running_loop()
        self._begun.set_result(None)
        await self._ending.wait()


def waited(
    asked: Callable[Concatenate[Any, P], Coroutine[Any, Any, T]],
) -> Callable[Concatenate[Any, P], T]:
    """Return the method that waits for a coroutine of `_inner`, an object of the loop of `_thread`."""

    @wraps(asked)
    def method(self: Any, /, *args: P.args, **kwargs: P.kwargs) -> T:
        thread: LoopThread = self._thread
        return thread.wait(asked(self._inner, *args, **kwargs))

    method.__doc__ = (asked.__doc__ or "").replace("await ", "")
    return method


def called(asked: Callable[Concatenate[Any, P], T]) -> Callable[Concatenate[Any, P], T]:
    """Return the method that calls one of `_inner` in the loop of `_thread`."""

    @wraps(asked)
    def method(self: Any, /, *args: P.args, **kwargs: P.kwargs) -> T:
        thread: LoopThread = self._thread
        return thread.call(lambda: asked(self._inner, *args, **kwargs))

    return method


def as_of(
    inner: Callable[P, Inner],
) -> Callable[[Callable[[Inner], Outer]], Callable[P, Outer]]:
    """Let a function have the arguments of `inner`, and be called with its result."""

    def decorate(outer: Callable[[Inner], Outer]) -> Callable[P, Outer]:
        @wraps(inner)
        def call(*args: P.args, **kwargs: P.kwargs) -> Outer:
            return outer(inner(*args, **kwargs))

        call.__module__, call.__doc__ = outer.__module__, outer.__doc__
        return call

    return decorate
