"""The table of the pages of the exchange's documentation, with what holds the server to each."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from page_text import Cells, code, table

from tickerplant.queries import QUERIES
from tickerplant.streams import CATALOGUE
from tickerplant.streams.pattern import Pattern

PAGES = Path(__file__).parent / "official_pages.txt"
TESTS = Path(__file__).parents[2] / "tests"
sys.path.append(str(TESTS))

from coverage_of import covered  # noqa: E402  # it is found among the tests

DOCS = "https://developers.binance.com/docs/derivatives"
GOLDENS = TESTS / "goldens"


class OfficialPage(NamedTuple):
    """A page of one venue or both, and the rows that it documents."""

    folder: str
    usdm: str
    coinm: str
    """The name of the page, `=` for the same and `-` for none."""
    names: list[str]

    def links(self) -> Iterator[str]:
        """Yield its links; that of COIN-M is short where the page has the same name."""
        if self.usdm != "-":
            yield f"[{self.usdm}]({DOCS}/usds-margined-futures/{self.folder}/{self.usdm})"
        if self.coinm != "-":
            name, shown = (self.usdm, "COIN-M") if self.coinm == "=" else (self.coinm, self.coinm)
            yield f"[{shown}]({DOCS}/coin-margined-futures/{self.folder}/{name})"


def _pages() -> Iterator[OfficialPage]:
    for line in PAGES.read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            folder, usdm, coinm, *names = line.split()
            yield OfficialPage(folder, usdm, coinm, names)


def conformance() -> str:
    """Return the table of the pages, the rows of each, their goldens and property tests.

    Raises:
        ValueError: a stream or query is on no page here, or a page has one that does not exist.
    """
    rows = _rows()
    listed = [name for page in _pages() for name in page.names]
    if sorted(listed) != sorted(rows):
        raise ValueError(f"expected each row on one page: {sorted({*listed} ^ {*rows})}")
    head = "official page | row | golden | property test"
    return table(head, (_cells(page, rows) for page in _pages()))


def _cells(page: OfficialPage, rows: dict[str, tuple[str, str]]) -> Cells:
    goldens = dict.fromkeys(golden for name in page.names if (golden := rows[name][1]))
    proofs = dict.fromkeys(
        test.replace(".py::test_", ": ") for name in page.names for test in _proofs(rows[name][0])
    )
    return (
        ", ".join(page.links()) or "none",
        code(*page.names),
        code(*goldens),
        code(*proofs),
    )


def _proofs(name: str) -> Iterable[str]:
    return covered().get(name, ())[:1]


def _rows() -> dict[str, tuple[str, str]]:
    """Return each row by its short name, with the name that tests cover and its golden."""
    found = {}
    for stream in CATALOGUE:
        found[_short(stream.pattern)] = stream.pattern.text, _stream_golden(stream.pattern)
    for query in QUERIES:
        for name in filter(None, (query.method, query.path)):
            found[name] = name, _query_golden(name)
    return found


def _short(pattern: Pattern) -> str:
    """Return a name without the choices for its parts."""
    text = pattern.text
    for part, choices in pattern.parts.items():
        if choices:
            text = text.replace(f"<{part}:{'|'.join(choices)}>", f"<{part}>")
    return text


def _stream_golden(pattern: Pattern) -> str:
    """Return the name of a golden file of a stream: of BTCUSDT, or of the pair BTCUSD."""
    names = {path.stem for path in (GOLDENS / "streams").rglob("*.json")}
    choose = min if pattern.text.startswith("<pair>@") else max
    return choose(name for name in names if pattern.match(name) is not None)


def _query_golden(name: str) -> str:
    """Return the name of a golden file of a query."""
    short = name.removeprefix("/v1").removeprefix("/futures/data").strip("/").replace("/", ".")
    prefix, end = ("rest", "") if name.startswith("/") else ("wsapi", ".response")
    golden = f"{prefix}.{short}{end}"
    names = {path.stem for path in (GOLDENS / "queries").rglob("*.json")}
    return golden if golden in names else min(each for each in names if each.startswith(golden))
