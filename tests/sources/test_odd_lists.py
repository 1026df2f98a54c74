"""Lists of contracts that make no sense, of upstreams that are not asked here."""

from __future__ import annotations

import io
from collections.abc import Iterable

import pytest
from loopback import looped, until
from msgspec import structs
from relaying import BTCUSDT as HOUSE_BTCUSDT
from relaying import ETHUSDT as HOUSE_ETHUSDT
from relaying import relay, serve
from stage import BTCUSD_PERP, BTCUSDT, BTCUSDT_260626, DEFIUSDT, ETHUSDT, open_plant

from tickerplant.errors import DecodeError
from tickerplant.events import ContractChanged
from tickerplant.instrument import Instrument
from tickerplant.plant import Plant
from tickerplant.sources.contracts import CONFIRMATION_MS, ContractList
from tickerplant.sources.discovery import Retries
from tickerplant.sources.relay import RelayTiming
from tickerplant.venue import COINM, USDM, Venue

LISTED = (BTCUSDT, ETHUSDT, BTCUSDT_260626)
FOREIGN = structs.replace(BTCUSD_PERP, symbol="BTCUSDT")


def lists_of(plant: Plant, venue: Venue = USDM) -> ContractList:
    return ContractList(plant, venue, lambda _: None)


def symbols(plant: Plant, venue: Venue = USDM) -> list[str]:
    return list(plant.venues[venue.name].by_symbol)


def gone(instruments: Iterable[Instrument]) -> list[Instrument]:
    return [structs.replace(each, status="CLOSE") for each in instruments]


@pytest.mark.parametrize(
    "listed",
    [[], [DEFIUSDT], [BTCUSDT], gone(LISTED), [BTCUSDT, *gone((ETHUSDT, BTCUSDT_260626))]],
    ids=["nothing", "others", "one of three", "all gone", "two gone"],
)
def test_the_loss_of_most_contracts_is_accepted_when_it_is_confirmed(
    listed: list[Instrument],
) -> None:
    plant = open_plant(LISTED)
    contracts = lists_of(plant)
    with pytest.raises(DecodeError, match=r"exchangeInfo lacks \d of 3 contracts"):
        contracts.update(listed, 1_000)
    with pytest.raises(DecodeError, match="they are delisted if that stays so for 60 s"):
        contracts.update(listed, CONFIRMATION_MS + 999)
    assert symbols(plant) == ["BTCUSDT", "ETHUSDT", "BTCUSDT_260626"], "nothing has changed"
    contracts.update(listed, CONFIRMATION_MS + 1_000)
    assert symbols(plant) == [each.symbol for each in listed if each.status == "TRADING"]


def test_responses_in_between_must_be_the_same() -> None:
    plant = open_plant(LISTED)
    contracts = lists_of(plant)
    for number, listed in enumerate(([], [BTCUSDT], [])):
        with pytest.raises(DecodeError):
            contracts.update(listed, CONFIRMATION_MS * number)
    contracts.update(LISTED, CONFIRMATION_MS * 3)
    with pytest.raises(DecodeError):
        contracts.update([], CONFIRMATION_MS * 4)
    assert symbols(plant) == ["BTCUSDT", "ETHUSDT", "BTCUSDT_260626"]


def test_less_than_most_may_go_at_once_and_where_nothing_was_nothing_is_lost() -> None:
    plant = open_plant((*LISTED, DEFIUSDT))
    lists_of(plant).update([BTCUSDT, ETHUSDT], 0)
    assert symbols(plant) == ["BTCUSDT", "ETHUSDT"]
    lists_of(plant, COINM).update([], 0)
    assert symbols(plant, COINM) == []


@looped
async def test_a_relay_asks_again_before_it_believes(log: io.StringIO) -> None:
    timing = RelayTiming(relist_delay_s=0.001, retries=Retries(first_pause_s=0.001))
    async with (
        serve((HOUSE_BTCUSDT, HOUSE_ETHUSDT)) as house,
        relay(house, timing=timing, confirmation_ms=1) as near,
    ):
        for listed in (HOUSE_BTCUSDT, HOUSE_ETHUSDT):
            (change,) = gone([listed])
            house.plant.publish(ContractChanged(listed.symbol, change, (), house.plant.now_ms))
        near.upstream.contracts_changed = True
        await until(lambda: not near.plant.markets)
    assert "exchangeInfo lacks 2 of 2 contracts" in log.getvalue()
    assert "WARNING" in log.getvalue()


def test_a_symbol_that_another_venue_has_is_left_out(log: io.StringIO) -> None:
    plant = open_plant((BTCUSDT, BTCUSD_PERP))
    market = plant.markets["BTCUSDT"]
    contracts = lists_of(plant, COINM)
    for foreign in (FOREIGN, *gone([FOREIGN]), FOREIGN):
        contracts.update([BTCUSD_PERP, foreign], 0)
    assert plant.markets["BTCUSDT"] is market
    assert market.instrument == BTCUSDT
    assert (symbols(plant), symbols(plant, COINM)) == (["BTCUSDT"], ["BTCUSD_PERP"])
    assert "! contracts are left out: another venue has their symbols venue=coinm count=1" in (
        log.getvalue()
    )
