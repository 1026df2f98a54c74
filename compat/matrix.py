"""The results as a page: what works with which library, and every failure with its reason."""

from __future__ import annotations

from collections.abc import Sequence

from compat.trial import Outcome, Result

HEAD = """# Compatibility

<!-- Written by `make compat`; change the programs in `compat/` instead. -->

Public client libraries, pointed at a simulated market by nothing but their base URLs, for each profile.

Each stream a library offers must bring a message, and each market-data method over REST and the WebSocket API an answer.
Where a library has types, messages and answers must parse into them, without keys that the types do not know.
A recipe is a program of [Use your own client](../how-to/use-your-client.md), as it stands there: it must come to its end, and its order must be refused.
Nothing may reach another machine, or ask for its name: that would be a failure.
How to run this, and how to add a library: [Test public clients](../contributing/test-public-clients.md).
"""
KINDS = ("stream", "REST", "WS API", "recipe")


def page(rows: Sequence[Result], date: str, python: str) -> str:
    """Return the whole page."""
    of = {outcome: [row for row in rows if row.outcome is outcome] for outcome in Outcome}
    parts = [HEAD, f"Run on {date} with Python {python}; counts are of all profiles.\n"]
    parts += [_summary(of[Outcome.OK]), "## Failures\n"]
    parts += _listed(of[Outcome.FAILED]) or ["None.\n"]
    parts += ["## Where a library differs from the exchange\n"]
    parts += ["The server follows the exchange, and the library expects something else.\n"]
    parts += _listed(of[Outcome.DIFFERS])
    parts += ["## Not tried\n", "What a library does not have, or cannot name.\n"]
    parts += _listed(of[Outcome.NOT_OFFERED])
    return "\n".join(parts)


def _summary(rows: Sequence[Result]) -> str:
    """Return a row for each library: how many of each kind work."""
    counts: dict[tuple[str, str], dict[str, int]] = {}
    for row in rows:
        of_library = counts.setdefault((row.library, row.version), {})
        of_library[row.kind] = of_library.get(row.kind, 0) + 1
    lines = ["| library | version | streams | REST | WS API | recipes |"]
    lines += ["| --- | --- | --: | --: | --: | --: |"]
    for key, counted in sorted(counts.items()):
        lines.append("| " + " | ".join((*key, *(str(counted.get(k, "")) for k in KINDS))) + " |")
    return "\n".join(lines) + "\n"


def _listed(rows: Sequence[Result]) -> list[str]:
    """Return a table of results; those of one reason are one row."""
    merged: dict[tuple[str, str], dict[str, None]] = {}
    for row in rows:
        name = f"`{row.name}`"
        merged.setdefault((row.library, row.reason), {})[name] = None
    if not merged:
        return []
    lines = ["| library | what | why |", "| --- | --- | --- |"]
    for (library, reason), names in sorted(merged.items()):
        cells = (library, ", ".join(names), reason)
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return ["\n".join(lines) + "\n"]
