"""Fixtures of the tests of the client."""

from __future__ import annotations

import pytest
from consumers import Ahead


@pytest.fixture
def ahead(monkeypatch: pytest.MonkeyPatch) -> Ahead:
    return Ahead(monkeypatch)
