from __future__ import annotations

import pytest
from coverage_of import covers
from hypothesis import given
from hypothesis import strategies as st
from stage import START_MS, Listener, listen, open_plant, sent_to

from tickerplant.hub.hub import UNKNOWN_STREAM
from tickerplant.profile import CURRENT, PROFILES, Profile
from tickerplant.units import DAY_MS

EVENTS = [
    "EquityUpdate",
    "CommodityUpdate",
    "KR_EquityUpdate",
    "HK_EquityUpdate",
    "CN_EquityUpdate",
]


@covers("tradingSession")
@given(st.integers(0, 400 * DAY_MS), st.sampled_from(list(PROFILES.values())))
def test_every_market_is_sent_each_second_with_its_session(after_ms: int, profile: Profile) -> None:
    plant = open_plant([], start_ms=START_MS + after_ms, profile=profile)
    listener = listen(plant, "tradingSession")
    plant.advance(plant.now_ms + 3000)
    messages = sent_to(plant, listener)
    events = EVENTS if profile is CURRENT else EVENTS[:2]
    assert [message["e"] for message in messages] == events * 3
    for message in messages:
        assert " ".join(message) == "e E t T S"
        assert message["t"] <= message["E"] < message["T"]
        assert message["E"] % 1000 == 0


def test_a_session_ends_where_the_next_begins() -> None:
    plant = open_plant([], start_ms=START_MS // DAY_MS * DAY_MS + 9 * 3_600_000 - 2000)
    listener = listen(plant, "tradingSession")
    plant.advance(plant.now_ms + 2000)
    reported = [each for each in sent_to(plant, listener) if each["e"] == "EquityUpdate"]
    assert [each["S"] for each in reported] == ["OVERNIGHT", "PRE_MARKET"]
    assert reported[0]["T"] == reported[1]["t"] == reported[1]["E"]


@pytest.mark.parametrize("profile", PROFILES.values(), ids=lambda profile: profile.name)
def test_sessions_are_sent_on_usdm_only(profile: Profile) -> None:
    plant = open_plant([], profile=profile)
    there, here = Listener(), listen(plant, "tradingSession")
    silent = plant.hubs["coinm"].subscribe(there, ["tradingSession"])
    assert silent == {"tradingSession": UNKNOWN_STREAM}
    plant.advance(START_MS + 1000)
    assert sent_to(plant, here)
    assert sent_to(plant, there) == []
