from __future__ import annotations

from coverage_of import covers
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs
from stage import BTCUSD_PERP, BTCUSDT, ETHUSDT, START_MS, listen, open_plant, sent_to

from tickerplant.events import Bracket, ContractChanged
from tickerplant.instrument import Instrument

CONTRACTS = (BTCUSDT, ETHUSDT, BTCUSD_PERP)
STATUSES = ("PENDING_TRADING", "TRADING", "SETTLING", "CLOSE")
BRACKETS = st.lists(
    st.builds(
        Bracket,
        st.integers(1, 9),
        st.integers(0, 5000),
        st.integers(5000, 10**9),
        st.sampled_from([0.004, 0.01, 0.125]),
        st.sampled_from([0.0, 75.0, 75.5]),
        st.integers(1, 20),
        st.integers(21, 125),
    ),
    max_size=3,
).map(tuple)


@covers("!contractInfo")
@given(
    st.lists(
        st.tuples(st.sampled_from(CONTRACTS), st.sampled_from(STATUSES), BRACKETS), max_size=12
    )
)
def test_every_change_of_the_venue_is_sent_at_once_and_in_order(
    steps: list[tuple[Instrument, str, tuple[Bracket, ...]]],
) -> None:
    plant = open_plant(CONTRACTS)
    listeners = {venue: listen(plant, "!contractInfo", venue) for venue in plant.hubs}
    expected: dict[str, list[object]] = {venue: [] for venue in plant.hubs}
    for number, (contract, status, brackets) in enumerate(steps):
        plant.advance(plant.now_ms + 7)
        changed = structs.replace(contract, status=status, onboard_date_ms=number)
        plant.publish(ContractChanged(contract.symbol, changed, brackets, plant.now_ms))
        wanted = {
            "e": "contractInfo",
            "E": plant.now_ms,
            "s": contract.symbol,
            "ps": contract.pair,
            "ct": "PERPETUAL",
            "dt": 4_133_404_800_000,
            "ot": number,
            "cs": status,
        }
        if brackets:
            wanted["bks"] = [
                dict(zip(("bs", "bnf", "bnc", "mmr", "cf", "mi", "ma"), structs.astuple(each), strict=True))
                for each in brackets
            ]  # fmt: skip
        expected[contract.venue.name].append(wanted)
    for venue, listener in listeners.items():
        assert sent_to(plant, listener) == expected[venue]


def test_integers_are_integers_on_the_wire() -> None:
    plant = open_plant()
    listener = listen(plant, "!contractInfo")
    brackets = (Bracket(1, 0, 5000, 0.01, 0.0, 21, 50), Bracket(2, 5000, 9000, 0.025, 75.5, 11, 20))
    plant.publish(ContractChanged("BTCUSDT", BTCUSDT, brackets, START_MS))
    plant.hubs["usdm"].flush()
    (text,) = listener.texts()
    assert b'"mmr":0.01,"cf":0,"mi":21,"ma":50' in text
    assert b'"mmr":0.025,"cf":75.5,"mi":11,"ma":20' in text
