from __future__ import annotations

import re

import pytest
from loopback import loopback, looped

from tickerplant.server.token import (
    GUESS_MS,
    GUESSES,
    LOGGED_EVERY_MS,
    MAX_ADDRESSES,
    Token,
)

TEXT = "correct horse battery"
RIGHT = {b"authorization": b"bearer " + TEXT.encode()}
WRONG = {b"authorization": b"Bearer wrong"}
HERE, THERE = "203.0.113.7", "203.0.113.8"


def statuses(token: Token, address: str, now_ms: int = 0) -> list[int]:
    """What an address gets that guesses once more than it may."""
    refusals = [token.refusal(WRONG, address, now_ms) for _ in range(GUESSES + 1)]
    return [each.status for each in refusals if each is not None]


@pytest.mark.parametrize(
    "given", [b"", b"Bearer", b"Bearer wrong", TEXT.encode(), b"Basic " + TEXT.encode()]
)
def test_only_the_token_opens_the_control_plane(given: bytes) -> None:
    token = Token(TEXT)
    headers = {b"authorization": given} if given else {}
    refusal = token.refusal(headers, HERE, 0)
    assert refusal is not None
    assert refusal.status == 401
    assert TEXT not in refusal.error + refusal.logged
    assert token.refusal(RIGHT, HERE, 0) is None
    assert Token().refusal(headers, HERE, 0) is None, "none is needed"


def test_an_address_that_guesses_waits_and_others_do_not() -> None:
    token = Token(TEXT)
    assert statuses(token, HERE) == [401] * GUESSES + [429]
    waits = token.refusal(RIGHT, HERE, GUESS_MS - 1)
    assert waits is not None
    assert (waits.status, waits.headers) == (429, (("Retry-After", "1"),))
    assert token.refusal(RIGHT, THERE, 0) is None
    assert token.refusal({}, HERE, 0) is not None, "no token is no guess"
    assert token.refusal(RIGHT, HERE, GUESS_MS) is None
    assert statuses(token, HERE, GUESS_MS)[:2] == [401, 429]


def test_addresses_of_one_client_guess_together() -> None:
    token = Token(TEXT)
    assert statuses(token, "2001:db8::1")[-1] == 429
    assert token.refusal(RIGHT, "2001:db8::ffff", 0) is not None
    assert token.refusal(RIGHT, "2001:db8:0:1::1", 0) is None
    assert statuses(token, f"::ffff:{HERE}")[-1] == 429
    assert token.refusal(RIGHT, HERE, 0) is not None


def test_what_is_remembered_of_guesses_is_bounded() -> None:
    token = Token(TEXT)
    assert statuses(token, HERE)[-1] == 429
    for number in range(MAX_ADDRESSES):
        token.refusal(WRONG, f"10.0.{number >> 8}.{number & 255}", 0)
    assert token.refusal(RIGHT, HERE, 0) is None


def test_the_log_says_again_and_again_how_many_wrong_tokens_came(
    capsys: pytest.CaptureFixture[str],
) -> None:
    token = Token(TEXT)
    for now_ms in (*[0] * 20, *[LOGGED_EVERY_MS] * 3):
        token.refusal(WRONG, HERE, now_ms)
    assert re.findall(r"wrong tokens +count=(\d+)", capsys.readouterr().out) == ["1", "10", "21"]


@looped
async def test_a_server_slows_guesses_and_counts_them() -> None:
    async with loopback(control_token=TEXT) as house:
        wrong = {"Authorization": "Bearer wrong"}
        for expected in [401] * GUESSES + [429]:
            found = await house.get("/plant/v1/nodes", headers=wrong)
            assert found.status == expected
        assert int(found.headers["retry-after"]) * 1_000 == GUESS_MS
        counts = house.server.complaints.counts
        assert (counts["/plant/v1/ 401"], counts["/plant/v1/ 429"]) == (GUESSES, 1)
