"""What a test has switched on at its exchange, so that it can be switched off again."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Self

from tickerplant.formatting import count_text
from tickerplant.testing.server import ServerProcess


def parameters_of(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return parameters without the underscore that a keyword of Python needs: `for_`, `from_`."""
    return {name.removesuffix("_"): value for name, value in given.items()}


class _Handle:
    """What is on, until its `with` block ends."""

    def __init__(
        self, server: ServerProcess, row: Mapping[str, Any], end: Callable[[], None]
    ) -> None:
        self._server = server
        self._row = dict(row)
        self._end = end

    @property
    def id(self) -> str:
        """What the exchange calls it: `f1`, `s1` or `l1`, for example."""
        return str(self._row["id"])

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._end()


class Fault(_Handle):
    """A fault that was added to an exchange; what `Exchange.fault` returns."""

    def __init__(self, server: ServerProcess, row: Mapping[str, Any]) -> None:
        super().__init__(server, row, self.remove)
        self.is_removed = False
        """Whether it was removed, as far as this handle knows."""

    @property
    def text(self) -> str:
        """All of it, as `--fault` takes it."""
        return str(self._row["text"])

    @property
    def hits(self) -> int:
        """How often it has happened; after its removal, up to then."""
        return int(self._now()["hits"])

    @property
    def hint(self) -> str:
        """When it can happen, if it has not happened yet; empty if it has."""
        return str(self._now()["hint"])

    @property
    def happened(self) -> str:
        """How often it has happened, as far as this handle knows, in words."""
        if self.is_hit:
            return count_text(int(self._row["hits"]), "hit")
        return f"never happened: {self._row['hint']}"

    @property
    def is_hit(self) -> bool:
        """Whether it has happened, as far as this handle knows."""
        return bool(self._row["hits"])

    def note(self, rows: Mapping[str, Mapping[str, Any]]) -> None:
        """Take it as the exchange has it, one of `rows` by id; without one it was removed."""
        if not self.is_removed:
            row = rows.get(self.id)
            self.is_removed, self._row = row is None, dict(row or self._row)

    @property
    def state(self) -> str:
        """`waiting`, `on` or `over`; `removed` after its removal."""
        row = self._now()
        return "removed" if self.is_removed else str(row["state"])

    def remove(self) -> None:
        """Let the exchange behave again.  Does nothing if it was removed before."""
        self._now()
        if not self.is_removed:
            self.is_removed = True
            self._server.ask(lambda it: it.remove_fault(self.id))

    def _now(self) -> Mapping[str, Any]:
        """Return it as the exchange has it, or as it had it last."""
        if not self.is_removed:
            self.note({each["id"]: each for each in self._server.faults()})
        return self._row

    def __repr__(self) -> str:
        return f"<Fault {self.id} {self.text}>"


class Scenario(_Handle):
    """A scenario that was started at an exchange; what `Exchange.scenario` returns."""

    def __init__(self, server: ServerProcess, row: Mapping[str, Any]) -> None:
        super().__init__(server, row, self.stop)

    @property
    def state(self) -> str:
        """`waiting`, `running`, or `over`: at its end, or when it was stopped."""
        rows = self._server.scenarios()
        return next((str(each["state"]) for each in rows if each["id"] == self.id), "over")

    def stop(self) -> None:
        """End it, with all that it has changed.  Does nothing if it is over."""
        if self.state != "over":
            self._server.ask(lambda it: it.stop_scenario(self.id))


class Lever(_Handle):
    """A change of the market; what `Exchange.lever` returns."""

    def __init__(self, server: ServerProcess, row: Mapping[str, Any]) -> None:
        super().__init__(server, row, self.release)
        self.is_released = False
        """Whether it was released by this handle; the market goes back when its time goes on."""

    def release(self) -> None:
        """Let the market go back.  Does nothing if it was released before."""
        if not self.is_released:
            self.is_released = True
            self._server.ask(lambda it: it.release_lever(self.id))
