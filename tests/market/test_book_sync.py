from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from tickerplant.events import BookSnapshot, DepthUpdate
from tickerplant.market.book_sync import BookSync


def update(first: int, final: int, previous: int) -> DepthUpdate:
    return DepthUpdate("BTCUSDT", first, final, previous, [(first, final)], [], 0)


def snapshot(last: int) -> BookSnapshot:
    return BookSnapshot("BTCUSDT", last, [], [], 0)


def live_at(last: int) -> BookSync[DepthUpdate]:
    sync = BookSync[DepthUpdate]()
    sync.load(snapshot(last))
    return sync


def chain(count: int, *, step: int = 10) -> list[DepthUpdate]:
    """Updates 1–10, 11–20 …, each continuing the previous one."""
    return [update(n * step + 1, (n + 1) * step, n * step) for n in range(count)]


def test_a_book_without_a_snapshot_waits_and_says_so() -> None:
    sync = BookSync[DepthUpdate]()
    assert sync.add(update(1, 10, 0)) == [], "nothing may be applied before a snapshot"
    assert (sync.live, sync.reason, sync.gaps) == (False, "no snapshot yet", 0)


def test_updates_older_than_the_snapshot_are_left_out_and_counted() -> None:
    sync = live_at(20)
    assert sync.add(update(1, 10, 0)) == []
    assert (sync.live, sync.stale) == (True, 1)


@given(st.integers(0, 6), st.sets(st.integers(0, 7)))
def test_updates_are_followed_together_as_one_by_one(last: int, missing: set[int]) -> None:
    updates = [each for n, each in enumerate(chain(8)) if n not in missing]
    together, apart = live_at(10 * last), live_at(10 * last)
    followed = together.accept_run(updates)
    expected = 0
    while expected < len(updates) and apart.accept_next(updates[expected]):
        expected += 1
    assert followed == expected, "expected those that simply continue, and no more"
    left = updates[followed:]
    assert [together.add(each) for each in left] == [apart.add(each) for each in left]
    assert (together.live, together.reason) == (apart.live, apart.reason)


def test_nothing_is_followed_while_a_book_waits() -> None:
    assert BookSync[DepthUpdate]().accept_run(chain(3)) == 0


def test_a_gap_makes_the_book_wait_and_is_named() -> None:
    sync = live_at(20)
    sync.add(update(21, 30, 20))
    assert sync.add(update(51, 60, 50)) == []
    assert not sync.live
    assert sync.gaps == 1
    assert sync.reason == "a gap after u=30: the next update has U=51 pu=50"


def test_a_snapshot_older_than_the_buffered_updates_is_useless() -> None:
    sync = BookSync[DepthUpdate]()
    sync.add(update(51, 60, 50))
    assert sync.load(snapshot(20)) == []
    assert not sync.live
    assert "20 is older" in sync.reason
    assert sync.load(snapshot(55)) == [update(51, 60, 50)], "the update is kept for a better one"


def test_a_gap_among_the_buffered_updates_is_found_when_loading() -> None:
    sync = BookSync[DepthUpdate]()
    for each in (update(1, 10, 0), update(11, 20, 10), update(31, 40, 30)):
        sync.add(each)
    assert sync.load(snapshot(15)) == []
    assert not sync.live
    assert sync.reason.startswith("a gap after u=20")
    assert sync.load(snapshot(35)) == [update(31, 40, 30)]


def test_the_oldest_updates_are_dropped_at_the_bound() -> None:
    sync = BookSync[DepthUpdate](max_buffered=2)
    updates = chain(3)
    for each in updates:
        sync.add(each)
    assert sync.overflowed == 1
    assert sync.load(snapshot(15)) == updates[1:]


@given(
    cuts=st.lists(st.integers(1, 9), min_size=1, max_size=20),
    missed=st.integers(0, 20),
    before=st.integers(0, 20),
    last=st.integers(0, 200),
)
def test_the_book_equals_applying_every_change_after_the_snapshot(
    cuts: list[int], missed: int, before: int, last: int
) -> None:
    """Naive model: change number n sets level n % 7 to n."""
    ids = [0]
    for cut in cuts:
        ids.append(ids[-1] + cut)
    updates = [
        DepthUpdate("X", a + 1, b, a, [(n % 7, n) for n in range(a + 1, b + 1)], [], 0)
        for a, b in pairwise(ids)
    ]
    last = min(last, ids[-1])
    has_listener = updates[min(missed, len(updates) - 1) :]
    sync = BookSync[DepthUpdate]()
    for each in has_listener[:before]:
        assert sync.add(each) == [], "no snapshot, nothing to apply"
    applied = sync.load(snapshot(last))
    for each in has_listener[before:]:
        applied += sync.add(each)
    if not sync.live:
        assert has_listener[0].previous_update_id > last, "only a snapshot too old may fail"
        return
    book = {n % 7: n for n in range(1, last + 1)}
    for update in applied:
        assert isinstance(update, DepthUpdate)
        book.update(update.bids)
    assert book == {n % 7: n for n in range(1, ids[-1] + 1)}, "no change is lost or undone"


@given(st.integers(0, 9), st.integers(0, 6), st.integers(0, 120))
def test_a_live_book_is_reloaded_with_what_is_newer_than_the_snapshot(
    applied: int, kept: int, last: int
) -> None:
    """Whether the updates at hand reach back to the snapshot decides, not which are at hand."""
    sync = BookSync[DepthUpdate](max_recent=kept)
    sync.load(snapshot(0))
    updates = chain(10)
    assert sync.accept_run(updates[:applied]) == applied
    newer = [each for each in updates[:applied] if each.final_update_id > last]
    found = sync.reload(snapshot(last))
    assert found == (newer if len(newer) <= min(kept, applied) else None)
    assert sync.live
    following = updates[applied:]
    joined = [each for each in following if sync.add(each)]
    assert joined == [each for each in following if each.final_update_id >= last]
