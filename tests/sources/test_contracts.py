from __future__ import annotations

from loopback import looped
from msgspec import structs
from relaying import BTCUSDT, ETHUSDT, relay, serve


@looped
async def test_the_list_of_contracts_is_brought_up_to_date() -> None:
    async with serve() as house, relay(house) as near:
        found = near.upstream
        gone = structs.replace(ETHUSDT, status="CLOSE")
        dearer = structs.replace(BTCUSDT, tick_size=100)
        before = near.plant.markets["BTCUSDT"]
        found.update_contracts([dearer, gone])
        assert near.plant.markets["BTCUSDT"] is before
        assert before.instrument.tick_size == 100
        assert list(near.plant.venues["usdm"].by_symbol) == ["BTCUSDT"], "who is gone is not listed"
        found.update_contracts([dearer, ETHUSDT])
        assert list(near.plant.venues["usdm"].by_symbol) == ["BTCUSDT", "ETHUSDT"]
        found.update_contracts([ETHUSDT])
        assert list(near.plant.venues["usdm"].by_symbol) == ["ETHUSDT"]
