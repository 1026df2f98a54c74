"""The checker of Prometheus, where there is one."""

from __future__ import annotations

import shutil
import subprocess

import pytest
from programs import ROOT

FOLDER = ROOT / "monitoring"
PROMTOOL = shutil.which("promtool")
with_promtool = pytest.mark.skipif(
    PROMTOOL is None, reason="there is no promtool here: make promtool"
)


def promtool(*arguments: str) -> str:
    """Run the checker, which must be content; return what it printed."""
    assert PROMTOOL
    done = subprocess.run(  # noqa: S603  # a tool of the system
        [PROMTOOL, *arguments], cwd=FOLDER, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
