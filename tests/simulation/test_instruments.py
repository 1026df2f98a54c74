"""The contracts of the simulated exchange."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import islice

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tickerplant.errors import ConfigError
from tickerplant.instrument import TRADIFI_PERPETUAL
from tickerplant.profile import CURRENT, PROFILES, Profile
from tickerplant.simulation.instruments import instruments
from tickerplant.simulation.underlyings import generate_underlyings
from tickerplant.venue import COINM, USDM


def at(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


def test_the_standard_exchange_has_both_venues_and_dated_contracts() -> None:
    listed = instruments(at("2026-02-10"))
    perpetual = [each for each in listed if each.venue == USDM and each.perpetual]
    tradfi = [each.symbol for each in perpetual if each.tradfi]
    indices = [each.symbol for each in perpetual if each.underlying_type == "INDEX"]
    dated = [each.symbol for each in listed if each.venue == USDM and not each.perpetual]
    coin = [each.symbol for each in listed if each.venue == COINM]
    in_usdc = [each.symbol for each in listed if each.quote_asset == "USDC"]
    assert len(perpetual) == 29, (
        "24 USDⓈ-M perpetuals on coins, three TradFi ones, an index, in USDC"
    )
    assert in_usdc == ["BTCUSDC"]
    assert tradfi == ["XAUUSDT", "TSLAUSDT", "NVDAUSDT"]
    assert indices == ["DEFIUSDT"]
    assert dated == ["BTCUSDT_260327", "BTCUSDT_260626", "ETHUSDT_260327"]
    assert coin == [
        "BTCUSD_PERP",
        "ETHUSD_PERP",
        "BNBUSD_PERP",
        "BTCUSD_260327",
        "BTCUSD_260626",
        "ETHUSD_260327",
    ]


def test_some_contracts_pay_funding_at_times_and_with_caps_of_their_own() -> None:
    rows = {each.symbol: each for each in instruments(at("2026-02-10"))}
    own = {
        symbol: (each.funding_interval_hours, each.funding_cap)
        for symbol, each in rows.items()
        if (each.funding_interval_hours, each.funding_cap) != (8, 2_000_000)
    }
    assert own["XAUUSDT"] == own["SUIUSDT"] == (4, 2_000_000)
    assert own["1000PEPEUSDT"] == (4, 3_000_000)
    assert "BTCUSDT" not in own


def test_shares_and_metals_have_contracts_of_their_own_type() -> None:
    rows = {each.symbol: each for each in instruments(at("2026-02-10"))}
    gold, share = rows["XAUUSDT"], rows["TSLAUSDT"]
    assert (gold.contract_type, gold.underlying_type) == ("TRADIFI_PERPETUAL", "COMMODITY")
    assert (share.contract_type, share.underlying_type) == ("TRADIFI_PERPETUAL", "EQUITY")
    assert rows["BTCUSDT"].underlying_type == rows["BTCUSD_PERP"].underlying_type == "COIN"


def test_each_profile_lists_the_kinds_of_underlying_of_its_time() -> None:
    start_ms = at("2026-11-10")
    usual = instruments(start_ms)
    for profile in PROFILES.values():
        listed = instruments(start_ms, underlying_types=profile.underlying_types)
        assert {each.underlying_type for each in listed} == set(profile.underlying_types)
        assert listed[: len(usual)] == usual, "the others come last, so that nothing else moves"
    rows = {each.symbol: each for each in listed}
    assert len(CURRENT.underlying_types) == 9
    assert rows["SAMSUNGUSDT"].contract_type == rows["EURUSDT"].contract_type == TRADIFI_PERPETUAL
    assert rows["MEGAUSDT"].contract_type == "PERPETUAL", "a coin before it is listed elsewhere"


def test_a_symbol_of_a_later_kind_is_listed_when_it_is_named() -> None:
    (named,) = instruments(at("2026-02-10"), ["EURUSDT"])
    assert named.underlying_type == "FX"


def test_rules_are_the_exchanges() -> None:
    rows = {each.symbol: each for each in instruments(at("2026-02-10"))}
    btc, coin, dated = rows["BTCUSDT"], rows["BTCUSD_PERP"], rows["BTCUSDT_260327"]
    assert (btc.price.text[btc.tick_size], btc.quantity.text[btc.step_size]) == ("0.10", "0.001")
    assert btc.min_notional == 100
    assert (coin.price.text[coin.tick_size], coin.contract_size) == ("0.1", 100)
    assert rows["ETHUSD_PERP"].contract_size == 10
    assert dated.price.decimals == 1
    assert dated.delivery_date_ms == at("2026-03-27T08:00:00")


@pytest.mark.parametrize(
    ("now", "current", "following"),
    [
        ("2026-03-27T07:59:59", "260327", "260626"),
        ("2026-03-27T08:00:00", "260626", "260925"),
        ("2026-03-31T23:59:59", "260626", "260925"),
        ("2026-12-25T08:00:00", "270326", "270625"),
        ("2027-01-01T00:00:00", "270326", "270625"),
        ("2025-06-01T00:00:00", "250627", "250926"),
    ],
)
def test_quarters_roll_at_their_delivery(now: str, current: str, following: str) -> None:
    symbols = [each.symbol for each in instruments(at(now))]
    assert f"BTCUSD_{current}" in symbols, f"the current quarter at {now}"
    assert f"BTCUSD_{following}" in symbols, f"the next quarter at {now}"


def test_symbols_are_chosen_by_name_in_the_given_order() -> None:
    chosen = instruments(at("2026-02-10"), symbols=["ethusdt", "BTCUSD_PERP", "ETHUSDT"])
    assert [each.symbol for each in chosen] == ["ETHUSDT", "BTCUSD_PERP"]


@pytest.mark.parametrize("symbol", ["NOSUCH", "BTCU\u017fDT"])
def test_an_unknown_symbol_is_named(symbol: str) -> None:
    with pytest.raises(ConfigError, match=symbol):
        instruments(at("2026-02-10"), symbols=["BTCUSDT", symbol])


def test_a_count_below_one_is_refused() -> None:
    with pytest.raises(ConfigError, match="symbol_count"):
        instruments(at("2026-02-10"), symbol_count=0)


def test_a_full_exchange_has_the_given_number_of_different_contracts() -> None:
    listed = instruments(at("2026-02-10"), symbol_count=500)
    assert len({each.symbol for each in listed}) == 500
    assert len({each.tick_size for each in listed}) > 3, "ticks vary"
    assert [each.symbol for each in listed] == [
        each.symbol for each in instruments(at("2026-02-10"), symbol_count=500)
    ]


@pytest.mark.parametrize("profile", PROFILES.values(), ids=PROFILES)
def test_from_fifty_on_a_list_has_names_of_all_kinds(profile: Profile) -> None:
    listed = instruments(at("2026-02-10"), None, 50, profile.underlying_types)
    names = {each.base_asset for each in listed if each.perpetual}
    assert any(not name.isascii() for name in names)
    assert any(len(name) == 1 for name in names)
    assert {name for name in names if name[0].isdigit()} > {"1000PEPE"}
    assert {each.symbol for each in listed} > {"BTCUSDC", "ETHUSDC", "BNBUSDC"}


def test_a_pair_in_usdc_is_a_contract_of_its_own_with_its_own_rules() -> None:
    btc, eth, shib = instruments(at("2026-02-10"), ["BTCUSDC", "ETHUSDC", "1000SHIBUSDC"])
    assert {each.quote_asset for each in (btc, eth, shib)} == {"USDC"}
    assert {each.margin_asset for each in (btc, eth, shib)} == {"USDC"}
    assert (btc.pair, btc.base_asset, btc.sub_types) == ("BTCUSDC", "BTC", ("USDC",))
    assert (btc.price.decimals, btc.price.text[btc.tick_size], btc.min_notional) == (1, "0.1", 100)
    assert btc.onboard_date_ms == at("2024-01-03T12:30"), "not with the first contracts"


def test_symbols_of_unusual_names_are_chosen_in_any_case() -> None:
    names = ["币安人生usdt", "1000shibUSDT", "4usdt", "wUSDT", "币安人生USDT"]
    chosen = instruments(at("2026-02-10"), names)
    assert [each.symbol for each in chosen] == ["币安人生USDT", "1000SHIBUSDT", "4USDT", "WUSDT"]


@pytest.mark.parametrize("symbol", ["BTCEUR", "BTCFDUSD", "BTC", "USDC"])
def test_a_pair_in_another_asset_is_refused(symbol: str) -> None:
    with pytest.raises(ConfigError, match="USDT and USDC"):
        instruments(at("2026-02-10"), [symbol])


def test_made_up_coins_never_share_a_name() -> None:
    names = [coin.name for coin in islice(generate_underlyings(), 2500)]
    assert len(set(names)) == len(names)


@settings(max_examples=20)
@given(st.integers(1_570_000_000_000, 2_800_000_000_000))
def test_rules_fit_together_at_any_start(start_ms: int) -> None:
    for each in instruments(start_ms, symbol_count=60):
        assert each.min_price % each.tick_size == 0 == each.max_price % each.tick_size
        assert each.step_size <= each.min_quantity < each.max_market_quantity < each.max_quantity
        assert each.onboard_date_ms < start_ms < each.delivery_date_ms, each.symbol
