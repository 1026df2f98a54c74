"""What a server prints when it is ready, and at the end."""

from __future__ import annotations

import msgspec
import pytest
from loopback import looped
from msgspec import structs
from stage import BTCUSDT, open_plant

from tickerplant.server.server import Server
from tickerplant.serving.lines import Ready, Totals
from tickerplant.serving.ready import ready_json, ready_text, totals_json
from tickerplant.venue import COINM, USDM

pytestmark = pytest.mark.sockets

HOSTILE = "X'; echo PWNED; #\x1b]0;title\x07"


@pytest.mark.parametrize(
    ("symbols", "offered"),
    [
        (("BTCUSDT",), "/v1/ticker/bookTicker?symbol=BTCUSDT'"),
        ((HOSTILE, "币安人生USDT"), "/v1/ticker/bookTicker?symbol=币安人生USDT'"),
        ((HOSTILE, "A\n"), "/v1/exchangeInfo'"),
    ],
)
def test_what_is_offered_to_paste_holds_nothing_for_a_shell(
    symbols: tuple[str, ...], offered: str
) -> None:
    @looped
    async def test() -> None:
        plant = open_plant([structs.replace(BTCUSDT, symbol=each, pair=each) for each in symbols])
        server = Server(plant, host="127.0.0.1", ports={USDM.name: 0, COINM.name: 0})
        await server.start()
        text, address = ready_text(server, plant, {}), server.urls[USDM.name]
        await server.stop()
        assert "PWNED" not in text
        _, _, title, curl, *_ = lines = text.split("\n")
        assert title == "Try:"
        assert curl.startswith(f"  curl 'http://{address}/fapi")
        assert curl.endswith(offered)
        assert all(line.isprintable() for line in lines)

    test()


@looped
async def test_json_lines_hold_the_addresses_and_the_totals() -> None:
    plant = open_plant([BTCUSDT])
    server = Server(plant, host="127.0.0.1", ports={USDM.name: 0, COINM.name: 0})
    await server.start()
    address = server.urls[USDM.name]
    line = ready_json(server, plant, {})
    ready = msgspec.json.decode(line, type=Ready)
    await server.stop()
    assert "\n" not in line
    assert ready.profile == plant.profile.name
    assert list(ready.venues) == ["usdm", "coinm"]
    usdm = ready.venues["usdm"]
    assert (usdm.streams, usdm.rest) == (f"ws://{address}", f"http://{address}")
    assert usdm.api == f"ws://{address}/ws-fapi/v1"
    assert (usdm.symbols, ready.venues["coinm"].symbols) == (1, 0)
    totals = msgspec.json.decode(
        totals_json(server, plant, 1.23456, "interrupted", ["a line"]), type=Totals
    )
    assert totals.ended == "interrupted"
    assert totals.seconds == 1.235
    assert totals.recorded == ("a line",)
    assert totals.events == plant.published.total()
