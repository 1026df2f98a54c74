"""The event loop in which a market was opened, and in which alone it works."""

from __future__ import annotations

from asyncio import AbstractEventLoop, get_running_loop


def running_loop(
    called: str = "a market",
    instead: str = "use tickerplant.blocking, under trio with `trio.to_thread.run_sync`",
) -> AbstractEventLoop:
    """Return the event loop that runs in this thread."""
    try:
        return get_running_loop()
    except RuntimeError:
        text = f"{called} needs an event loop of asyncio, and none runs here: {instead}"
        raise RuntimeError(text) from None


def check_loop(opened_in: AbstractEventLoop) -> None:
    """Do nothing in the event loop in which a market was opened."""
    if running_loop() is not opened_in:
        raise RuntimeError(
            "the market was opened in another event loop, and works only there: open it in the loop "
            "that uses it; with pytest-asyncio, give its fixture and its tests the same loop_scope"
        )
