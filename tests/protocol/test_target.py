from urllib.parse import quote

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tickerplant.protocol.limits import LIMITS
from tickerplant.protocol.target import (
    ROUTES,
    ApiTarget,
    BadTarget,
    StreamTarget,
    parse_target,
)
from tickerplant.venue import COINM, USDM, VENUES, Venue

NAMES = st.lists(
    st.text(st.characters(exclude_characters="/", exclude_categories=["Cs"]), min_size=1)
    .map(str.strip)
    .filter(bool),
    max_size=5,
)


@pytest.mark.parametrize("venue", VENUES, ids=lambda venue: venue.name)
@pytest.mark.parametrize("route", ["", *ROUTES])
@pytest.mark.parametrize(
    ("path", "combined", "names"),
    [
        ("/ws", False, ()),
        ("/ws/", False, ()),
        ("/ws/btcusdt@trade", False, ("btcusdt@trade",)),
        ("/ws/btcusdt@trade/", False, ("btcusdt@trade",)),
        ("/ws//a//b", False, ("a", "b")),
        ("/ws/!bookTicker", False, ("!bookTicker",)),
        ("/ws/%21bookTicker/btcusdt%40trade", False, ("!bookTicker", "btcusdt@trade")),
        ("/ws/a%2Fb", False, ("a", "b")),
        ("/ws/a?streams=b", False, ("a",)),
        ("/ws?listenKey=k&events=e", False, ()),
        ("/stream", True, ()),
        ("/stream/", True, ()),
        ("/stream?streams=", True, ()),
        ("/stream?streams=a/b", True, ("a", "b")),
        ("/stream?streams=/a/b", True, ("a", "b")),
        ("/stream?streams=/ a/ b", True, ("a", "b")),
        ("/stream?streams=/%20a%2Fb", True, ("a", "b")),
        ("/stream?timeUnit=MICROSECOND&streams=a&x", True, ("a",)),
        ("/stream?streams=b/a/b/a", True, ("b", "a")),
        ("/stream?streams=a&streams=b", True, ("a", "b")),
    ],
)
def test_every_form_of_a_stream_url_is_understood(
    venue: Venue, route: str, path: str, combined: bool, names: tuple[str, ...]
) -> None:
    prefix = f"/{route}" if route else ""
    assert parse_target(prefix + path, venue) == StreamTarget(route, combined, names), path


@pytest.mark.parametrize(
    "raw",
    [
        "币安人生usdt@trade",
        "币安人生usdt@trade".encode().decode("ascii", "surrogateescape"),
        quote("币安人生usdt@trade"),
    ],
    ids=["text", "escaped bytes", "percent"],
)
def test_symbols_beyond_ascii_are_read_however_they_are_sent(raw: str) -> None:
    target = parse_target(f"/ws/{raw}", USDM)
    assert target == StreamTarget("", False, ("币安人生usdt@trade",)), "one name, decoded"


@given(names=NAMES)
def test_percent_encoded_names_come_back_once_and_in_order(names: list[str]) -> None:
    target = parse_target(f"/stream?streams={quote('/'.join(names), safe='/')}", USDM)
    assert isinstance(target, StreamTarget), "a stream path"
    assert target.names == tuple(dict.fromkeys(names)), "duplicates collapse, order is kept"


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        ("/ws-fapi/v1", True),
        ("/ws-fapi/v1/", True),
        ("/ws-fapi/v1?returnRateLimits=true", True),
        ("/ws-fapi/v1?returnRateLimits=false", False),
        ("/ws-fapi/v1?a=b&returnRateLimits=False", False),
    ],
)
def test_the_api_path_says_whether_rate_limits_are_shown(path: str, shown: bool) -> None:
    assert parse_target(path, USDM) == ApiTarget(shown), path


def test_each_venue_has_its_own_api_path() -> None:
    assert parse_target("/ws-dapi/v1", COINM) == ApiTarget(True), "COIN-M's own"
    with pytest.raises(BadTarget) as caught:
        parse_target("/ws-fapi/v1", COINM)
    assert caught.value.status == 404, "USDⓈ-M's is not served by COIN-M"
    assert "/ws-dapi/v1" in caught.value.message, "the message names the right path"


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "",
        "/wss",
        "/WS",
        "/stream/a",
        "/spot/ws",
        "/public",
        "/public/market/ws",
        "/ws-fapi/v2",
    ],
)
def test_other_paths_are_not_found(path: str) -> None:
    with pytest.raises(BadTarget) as caught:
        parse_target(path, USDM)
    assert caught.value.status == 404, path


@pytest.mark.parametrize(
    ("path", "part"),
    [
        ("/ws/%ff", "not UTF-8 at byte 4"),
        ("/ws/\ud800", "not Unicode at character 4"),
        ("/ws-fapi/v1?returnRateLimits=no", "'no', expected true or false"),
    ],
)
def test_what_cannot_be_read_is_a_bad_request(path: str, part: str) -> None:
    with pytest.raises(BadTarget) as caught:
        parse_target(path, USDM)
    assert caught.value.status == 400, path
    assert part in caught.value.message, "the message says what is wrong"


def test_a_url_may_be_as_long_as_the_limit_and_no_longer() -> None:
    limits = msgspec.structs.replace(LIMITS, max_uri_bytes=12)
    assert parse_target("/ws/a/b/c/de", USDM, limits), "12 bytes are allowed"
    with pytest.raises(BadTarget) as caught:
        parse_target("/ws/a/b/c/币", USDM, limits)
    assert caught.value.status == 414, "13 bytes are too many"


def _status(raw_path: str) -> int:
    try:
        parse_target(raw_path, USDM)
    except BadTarget as error:
        return error.status
    return 101


@given(st.text())
def test_any_text_is_a_target_or_a_bad_one(raw_path: str) -> None:
    assert _status(raw_path) in {101, 400, 404, 414}, "a status with a meaning"


@pytest.mark.parametrize(
    ("query", "policy", "is_stamped"),
    [
        ("", None, False),
        ("?delivery=latest", "latest", False),
        ("?streams=a@trade&delivery=latest&stamps=1", "latest", True),
        ("?delivery=every&delivery=latest&stamps=0", "every", False),
    ],
)
def test_a_url_may_ask_for_a_delivery_and_stamps(
    query: str, policy: str | None, is_stamped: bool
) -> None:
    target = parse_target(f"/stream{query}", USDM)
    assert isinstance(target, StreamTarget)
    assert (target.policy, target.is_stamped) == (policy, is_stamped)


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("/ws?delivery=LATEST", "delivery is 'LATEST', expected every or latest."),
        ("/stream?stamps=true", "stamps is 'true', expected 0 or 1."),
        ("/ws/a@trade?stamps=1", "needs /stream"),
    ],
)
def test_a_delivery_that_there_is_not_is_refused_with_the_choices(path: str, message: str) -> None:
    with pytest.raises(BadTarget, match=message) as refused:
        parse_target(path, USDM)
    assert refused.value.status == 400
