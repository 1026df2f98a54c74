"""The model of `docs/explanation/scaling.md`: the page shows what the script prints."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "explanation" / "scaling.md"
SHOWN = re.compile(r"^\$ python -m (benchmarks\.sizing .*)\n((?:.+\n)+?)```$", re.MULTILINE)

pytestmark = [pytest.mark.sockets, pytest.mark.heavy]


def size(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603  # a program of this repository
        [sys.executable, "-m", *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )


def edges(*options: str) -> int:
    return int(size("benchmarks.sizing", *options).stdout.split()[1].replace(",", ""))


def test_the_page_shows_what_the_model_says() -> None:
    found = SHOWN.findall(PAGE.read_text(encoding="utf-8"))
    assert found
    for command, printed in found:
        assert size(*command.split()).stdout == printed


def test_more_clients_take_more_edges_and_busier_processes_take_fewer() -> None:
    million = edges("--clients", "1000000")
    assert edges("--clients", "2000000") == pytest.approx(2 * million, abs=1)
    assert edges("--clients", "1000000", "--load", "0.9") < million
    assert edges("--clients", "1") == 1


def test_a_market_that_fills_an_edge_alone_is_refused_with_what_it_can_take() -> None:
    refused = size("benchmarks.sizing", "--events", "1000000")
    assert refused.returncode == 2
    assert re.search(r"--events 1,000,000: .* at most [\d,]+ with --load 0\.5", refused.stderr)
    assert not refused.stdout
