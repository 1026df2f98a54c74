"""The results as a page: what works with which library, and every failure with its reason."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from compat.trial import Outcome, Result

HEAD = """# Compatibility

<!-- Written by `make compat`; change the programs in `compat/` instead. -->

Public client libraries, pointed at a simulated market by nothing but their base URLs.

Each stream a library offers must bring a message, and each market-data method over REST and the WebSocket API an answer.
Where a library has types, messages and answers must parse into them, without keys that the types do not know.
A recipe is a program of [Use your own client](../how-to/use-your-client.md), as it stands there: it must come to its end, and its order must be refused.
Nothing may reach another machine, or ask for its name: that would be a failure.
How to run this, and how to add a library: [Test public clients](../contributing/test-public-clients.md).
"""


@dataclass(frozen=True)
class Row:
    """A result and the profile the market had."""

    profile: str
    result: Result


def page(rows: Sequence[Row], date: str, python: str) -> str:
    """Return the whole page."""
    failed = [row for row in rows if row.result.outcome is Outcome.FAILED]
    differing = [row for row in rows if row.result.outcome is Outcome.DIFFERS]
    others = [row for row in rows if row.result.outcome in (Outcome.NOT_OFFERED, Outcome.ELSEWHERE)]
    parts = [HEAD, f"Run on {date} with Python {python}.\n", "## Summary\n", _summary(rows)]
    parts += _listed("Failures", "What did not work, and why.", failed, "None.")
    parts += _listed(
        "Where a library differs from the exchange",
        "The server follows the exchange or its documentation, and the library expects something else.",
        differing,
    )
    parts += _listed("Not tried", "What a library does not have, or cannot name.", others)
    return "\n".join(parts)


def _summary(rows: Iterable[Row]) -> str:
    counts: dict[tuple[str, str, str, str, str], Counter[Outcome]] = {}
    for row in rows:
        found = row.result
        key = (found.library, found.version, found.venue, row.profile, found.kind)
        counts.setdefault(key, Counter())[found.outcome] += 1
    lines = [
        "| library | version | venue | profile | what | ok | failed | differs |",
        "| --- | --- | --- | --- | --- | --: | --: | --: |",
    ]
    for key, counted in sorted(counts.items()):
        figures = [counted[o] for o in (Outcome.OK, Outcome.FAILED, Outcome.DIFFERS)]
        if any(figures):
            lines.append("| " + " | ".join((*key, *map(str, figures))) + " |")
    return "\n".join(lines) + "\n"


def _listed(title: str, sentence: str, rows: Sequence[Row], nothing: str = "") -> list[str]:
    if not rows:
        return [f"## {title}\n", f"{nothing}\n"] if nothing else []
    lines = [
        "| library | venue | profile | what | name | why |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    merged: dict[tuple[str, ...], list[str]] = {}
    for row in rows:
        found = row.result
        key = (found.library, found.venue, found.kind, found.name, found.reason)
        merged.setdefault(key, []).append(row.profile)
    for (library, venue, kind, name, reason), profiles in sorted(merged.items()):
        cells = (library, venue, ", ".join(profiles), kind, f"`{name}`", reason)
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return [f"## {title}\n", f"{sentence}\n", "\n".join(lines) + "\n"]
