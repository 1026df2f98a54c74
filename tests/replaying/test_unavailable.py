"""The requests that a verbatim replay responds to, and those that it refuses."""

from __future__ import annotations

import pytest

from tickerplant.errors import RequestError
from tickerplant.queries import find_path
from tickerplant.replaying.unavailable import VerbatimForwarder
from tickerplant.venue import USDM


@pytest.mark.parametrize("name", ["depth", "klines", "ticker/24hr", "trades"])
def test_requests_for_the_state_of_a_market_are_refused(name: str) -> None:
    query = find_path(USDM, f"/fapi/v1/{name}")
    assert query is not None
    with pytest.raises(RequestError, match="verbatim") as refused:
        VerbatimForwarder().forwards(query, {"symbol": "BTCUSDT"})
    assert refused.value.status == 503


@pytest.mark.parametrize("name", ["ping", "time", "exchangeInfo"])
def test_other_requests_are_not_refused(name: str) -> None:
    query = find_path(USDM, f"/fapi/v1/{name}")
    assert query is not None
    assert not VerbatimForwarder().forwards(query, {}), "expected it to be answered here"
