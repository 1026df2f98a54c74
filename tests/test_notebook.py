"""The notebook of the examples can be opened, and all its cells do what they say."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import nbformat
import pytest
from programs import ROOT, run

NOTEBOOK = ROOT / "examples" / "notebook.ipynb"
BEFORE = "import matplotlib.pyplot\nmatplotlib.pyplot.show = lambda: None\n"
"""Without a screen; figures stay open, so that they can be looked at afterwards."""
AFTER = """
import json
def drawn(axes):
    return {
        "title": axes.get_title(),
        "label": axes.get_ylabel(),
        "lines": [len(line.get_xdata()) for line in axes.lines],
        "bars": sorted({bool(bar.get_height() > 0) for bar in axes.patches}),
        "points": [len(each.get_offsets()) for each in axes.collections],
        "values": [int((each.get_array() > 0).sum()) for each in axes.collections
                   if each.get_array() is not None],
        "areas": [len(each.get_paths()[0].vertices) for each in axes.collections
                  if each.get_paths()],
    }
figures = map(plt.figure, plt.get_fignums())
print(json.dumps({
    "figures": [[drawn(axes) for axes in figure.axes] for figure in figures],
    "quotes": len(quotes),
    "trades": [trade.price for trade in trades],
    "table": table.height,
    "seconds": [seconds.height, seconds["bought"].sum() + seconds["sold"].sum()],
    "quantity": table["quantity"].sum(),
    "tape": str(tape),
    "sampled": [[bids[0].price, mid, asks[0].price] for _, mid, bids, asks in sampled],
}))
"""
SHORTER = {'duration="1m"': 'duration="20s"', '"--duration", "2m"': '"--duration", "40s"'}
"""The lengths of its markets, and those for the test."""

Facts = dict[str, Any]
slow = pytest.mark.slow("its cells are run as a program")


def cells(kind: str) -> list[str]:
    document = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    return ["".join(cell["source"]) for cell in document["cells"] if cell["cell_type"] == kind]


@pytest.fixture(scope="module")
def facts(tmp_path_factory: pytest.TempPathFactory) -> Facts:
    """What is known when all cells have run, one after the other in one program."""
    folder = tmp_path_factory.mktemp("notebook")
    program = "\n".join([BEFORE, *cells("code"), AFTER])
    for usual, short in SHORTER.items():
        assert usual in program
        program = program.replace(usual, short)
    (folder / "cells.py").write_text(program, encoding="utf-8")
    env = {**os.environ, "MPLBACKEND": "agg", "TMPDIR": str(folder)}
    printed = run(["-W", "error", "cells.py"], folder, env)
    facts: Facts = json.loads(printed.splitlines()[-1])
    assert Path(facts["tape"]).is_relative_to(folder), "what it writes is temporary"
    return facts


def test_jupyter_can_open_the_notebook() -> None:
    nbformat.validate(json.loads(NOTEBOOK.read_text(encoding="utf-8")))


def test_the_notebook_is_kept_without_outputs() -> None:
    document = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    for cell in document["cells"]:
        if cell["cell_type"] == "code":
            assert (cell["outputs"], cell["execution_count"]) == ([], None), cell["id"]


@slow
def test_a_minute_is_watched_and_drawn(facts: Facts) -> None:
    assert facts["quotes"] > 300
    assert len(facts["trades"]) > 30
    ((minute,), *_) = facts["figures"]
    assert minute["lines"] == [facts["quotes"]] * 2
    assert minute["points"] == [len(facts["trades"])]


@slow
def test_the_recording_is_read_as_a_table_and_drawn_by_seconds(facts: Facts) -> None:
    assert facts["table"] > 300
    seconds, quantity = facts["seconds"]
    assert 20 < seconds <= 41
    assert quantity == pytest.approx(facts["quantity"]), "each trade was bought or sold"
    upper, lower = facts["figures"][1]
    assert upper["lines"] == [seconds]
    assert lower["bars"] == [False, True]


@slow
def test_a_book_is_drawn_over_time(facts: Facts) -> None:
    assert 35 < len(facts["sampled"]) <= 41
    assert all(bid < mid < ask for bid, mid, ask in facts["sampled"])
    ((depth,), (heat, bar)) = facts["figures"][2:]
    assert len(depth["areas"]) == 2
    assert min(depth["areas"]) > 200, "two corners for each of a hundred levels"
    assert heat["lines"] == [len(facts["sampled"])]
    assert heat["values"][0] > 10 * len(facts["sampled"]), "prices with a quantity"
    assert bar["label"] == "quantity, BTC"
