from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from stage import BRACKETS, BTCUSD_PERP, BTCUSDT, START_MS, retail, snapshot, trade, update

from tickerplant.errors import ConfigError, RequestError
from tickerplant.events import ContractChanged, Level
from tickerplant.plant import Plant
from tickerplant.truth import book_log
from tickerplant.truth.answers import truth_book, truth_trades
from tickerplant.truth.journal import Journal

LEVELS = st.lists(
    st.tuples(st.integers(1, 30), st.integers(0, 3)), max_size=4, unique_by=lambda level: level[0]
)
CHANGES = st.lists(st.tuples(st.integers(1, 5), LEVELS, LEVELS, st.booleans()), max_size=40)


def witnessed(journal: Journal) -> Plant:
    return Plant(
        (BTCUSDT, BTCUSD_PERP),
        start_ms=START_MS,
        reserved_snapshot_ids=True,
        witness=journal.on_event,
    )


def positive(side: dict[int, int], *, falling: bool = False) -> list[Level]:
    return sorted(((price, size) for price, size in side.items() if size), reverse=falling)


@given(CHANGES, st.integers(1, 7), st.integers(0, 400), st.integers(0, 3))
def test_the_book_at_any_id_equals_a_naive_replay_or_is_said_to_be_forgotten(
    steps: list[tuple[int, list[Level], list[Level], bool]],
    chunk: int,
    most_bytes: int,
    most_loose: int,
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(book_log, "CHUNK_CHANGES", chunk)
        journal = Journal(most_bytes, most_loose)
        plant = witnessed(journal)
        bids, asks = {10: 1}, {20: 1}
        plant.publish(snapshot(100, [(10, 1)], [(20, 1)]))
        naive = {100: (dict(bids), dict(asks))}
        last_id = book_id = 100
        for ids, bid_changes, ask_changes, is_retail in steps:
            last_id += 2 * ids
            if is_retail:
                plant.publish(retail(last_id, bid_changes, ask_changes))
                continue
            plant.publish(update(book_id, last_id, bid_changes, ask_changes))
            bids.update(bid_changes)
            asks.update(ask_changes)
            naive[last_id] = (dict(bids), dict(asks))
            book_id = last_id
        forgotten = 0
        for asked in range(100, last_id + 2):  # the last one is that of a snapshot
            change_id = max(each for each in naive if each <= asked)
            if asked < journal.symbols["BTCUSDT"].book.oldest_id:  # type: ignore[union-attr]
                with pytest.raises(RequestError, match="it is forgotten"):
                    journal.book("BTCUSDT", asked)
                forgotten += 1
                continue
            found = journal.book("BTCUSDT", asked)
            instrument, book = found.instrument, found.book
            assert (found.asked_id, found.newest_id) == (asked, last_id + 1)
            expected = naive[change_id]
            assert instrument is BTCUSDT
            assert book.last_update_id == change_id
            assert (list(book.bids), list(book.asks)) == (
                positive(expected[0], falling=True),
                positive(expected[1]),
            )
        assert bool(forgotten) <= bool(journal.forgotten_chunks)
        assert journal.book_bytes <= most_bytes
        with pytest.raises(RequestError, match="has not reached it yet"):
            journal.book("BTCUSDT", last_id + 2)
        with pytest.raises(RequestError, match="first book"):
            journal.book("BTCUSDT", 99)


def test_a_book_is_answered_in_the_number_formats_of_the_exchange() -> None:
    journal = Journal()
    plant = witnessed(journal)
    plant.publish(snapshot(100, [(6_528_000, 5)], [(6_528_010, 1500), (6_528_020, 7)]))
    plant.publish(update(100, 110, [(6_527_990, 12)], [(6_528_010, 0)], START_MS + 5))
    found = truth_book(journal, "btcusdt", 105)
    assert found.last_update_id == 100
    assert found.asked_id == 105
    latest = truth_book(journal, "BTCUSDT")
    assert (latest.asked_id, latest.last_update_id) == (111, 110)
    assert (latest.oldest_id, latest.newest_id) == (100, 111)
    assert latest.transaction_time_ms == START_MS + 5
    assert latest.bids == [("65280.00", "0.005"), ("65279.90", "0.012")]
    assert latest.asks == [("65280.20", "0.007")]


def test_a_book_that_begins_anew_forgets_what_was_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(book_log, "CHUNK_CHANGES", 1)
    journal = Journal(max_loose=1)
    plant = witnessed(journal)
    plant.publish(snapshot(100, [(10, 1)], [(20, 1)]))
    plant.publish(update(100, 110, [(11, 1)], []))
    plant.publish(update(110, 120, [(11, 2)], []))
    assert journal.book_bytes
    plant.publish(snapshot(200, [(10, 1)], [(20, 1)]))
    assert (journal.book_bytes, journal.forgotten_chunks) == (0, 2)
    plant.publish(update(200, 210, [(11, 2)], []))
    plant.publish(update(210, 220, [(11, 2)], []))
    with pytest.raises(RequestError, match="from update id 200 to 221 are kept"):
        journal.book("BTCUSDT", 110)
    assert journal.book("BTCUSDT", 200).book.bids == [(10, 1)]


def test_a_contract_that_is_gone_keeps_its_book() -> None:
    journal = Journal()
    plant = witnessed(journal)
    plant.publish(snapshot(100, [(10, 1)], [(20, 1)]))
    gone = replace(BTCUSDT, status="CLOSE")
    plant.publish(ContractChanged("BTCUSDT", gone, BRACKETS, START_MS))
    assert "BTCUSDT" not in plant.markets
    assert journal.book("BTCUSDT").book.bids == [(10, 1)]


def test_trades_are_found_by_id_and_time_also_those_off_the_book() -> None:
    journal = Journal()
    plant = witnessed(journal)
    for number in range(1, 6):
        time_ms = START_MS + 1_000 * number
        plant.advance_before(time_ms)
        origin = "INSURANCE_FUND" if number == 3 else "MARKET"
        plant.publish(trade(number, time_ms, origin=origin))
    plant.advance(START_MS + 10_000)
    ids = [each.id for each in truth_trades(journal, "BTCUSDT", from_id=2, limit=3).trades]
    assert ids == [2, 3, 4]
    between = truth_trades(
        journal, "BTCUSDT", start_ms=START_MS + 3_000, end_ms=START_MS + 4_000
    ).trades
    assert [each.time for each in between] == [START_MS + 3_000, START_MS + 4_000]
    latest = truth_trades(journal, "BTCUSDT", limit=1)
    assert latest.published == 5
    assert latest.trades[0].price == "65280.00"
    aggregates = truth_trades(journal, "BTCUSDT", kind="aggTrade")
    assert [each.first_trade_id for each in aggregates.trades] == [1, 2, 4, 5]


def test_forgotten_trades_are_said_to_be_forgotten() -> None:
    journal = Journal()
    plant = witnessed(journal)
    plant.publish(trade(1, START_MS))
    kept = 100_000
    for number in range(2, kept + 600):
        journal.symbols["BTCUSDT"].trades.append(trade(number, START_MS + number))
    with pytest.raises(RequestError, match=r"forgotten: those from id \d+, time \d+, are kept"):
        truth_trades(journal, "BTCUSDT", from_id=1)
    with pytest.raises(RequestError, match="forgotten"):
        truth_trades(journal, "BTCUSDT", start_ms=START_MS)
    assert len(truth_trades(journal, "BTCUSDT", limit=7).trades) == 7


def test_an_unknown_symbol_and_an_id_with_times_are_refused() -> None:
    journal = Journal()
    plant = witnessed(journal)
    plant.publish(snapshot(100, [(10, 1)], [(20, 1)]))
    with pytest.raises(ConfigError, match="BTCUSDT"):
        truth_book(journal, "BTCUSD")
    with pytest.raises(ConfigError, match="an id or times, not both"):
        truth_trades(journal, "BTCUSDT", from_id=1, start_ms=2)
    plant.publish(trade(1, START_MS))
    plant.publish(retail(8, [(10, 1)], [], symbol="BTCUSD_PERP"))
    with pytest.raises(RequestError, match="has no book yet"):
        truth_book(journal, "BTCUSD_PERP")
