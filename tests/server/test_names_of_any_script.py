"""Names that are not ASCII in a request target: percent-encoded, or raw as some clients send them."""

from __future__ import annotations

import asyncio
from urllib.parse import quote

import pytest
from loopback import (
    START_MS,
    UPGRADE,
    bare,
    instrument,
    loopback,
    looped,
    receive,
    receive_all,
    say,
)

from tickerplant.events import ContractChanged, Trade
from tickerplant.plant import Plant
from tickerplant.venue import USDM

NAME = "币安人生"
SPELLINGS = pytest.mark.parametrize("name", [NAME, quote(NAME)])
PIECES = pytest.mark.parametrize("at", [0, 20, 60], ids="cut at {}".format)
"""Where a request is cut into two; the first bytes alone already say what it is not."""


def trade(plant: Plant) -> None:
    listed = instrument(USDM, f"{NAME}USDT", f"{NAME}USDT")
    plant.publish(ContractChanged(listed.symbol, listed, (), START_MS))
    plant.publish(Trade(listed.symbol, 1, 6_528_010, 1, False, START_MS))


@SPELLINGS
@PIECES
@looped
async def test_a_contract_is_asked_for_in_either_spelling(name: str, at: int) -> None:
    async with loopback() as house:
        trade(house.plant)
        async with bare(house) as sock:
            head = f"GET /fapi/v1/ticker/price?symbol={name}USDT HTTP/1.1\r\nX-Name: {NAME}\r\n"
            request = f"{head}Host: test\r\nConnection: close\r\n\r\n".encode()
            for part in (request[:at], request[at:]):
                await say(sock, part)
                await asyncio.sleep(0.01)
            answer = await receive_all(sock)
            assert answer.startswith(b"HTTP/1.1 200 ")
            assert f'"symbol":"{NAME}USDT"'.encode() in answer


@SPELLINGS
@PIECES
@looped
async def test_a_stream_is_opened_in_either_spelling(name: str, at: int) -> None:
    async with loopback() as house, bare(house) as sock:
        request = UPGRADE.format(path=f"/ws/{name}usdt@trade").encode()
        for part in (request[:at], request[at:]):
            await say(sock, part)
            await asyncio.sleep(0.01)
        assert (await receive(sock)).startswith(b"HTTP/1.1 101 ")
        trade(house.plant)
        assert f'"s":"{NAME}USDT"'.encode() in await receive(sock)
