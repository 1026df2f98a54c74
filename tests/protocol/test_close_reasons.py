import pytest

from tickerplant.protocol import close_reasons
from tickerplant.protocol.close_reasons import CLOSE_REASONS, CloseReason


def test_every_reason_is_listed_once() -> None:
    defined = [row for row in vars(close_reasons).values() if isinstance(row, CloseReason)]
    assert list(CLOSE_REASONS) == defined, "CLOSE_REASONS lists the rows as they are written"
    assert len({row.name for row in CLOSE_REASONS}) == len(CLOSE_REASONS), "names are labels"


@pytest.mark.parametrize("row", CLOSE_REASONS, ids=lambda row: row.name)
def test_a_reason_fits_into_a_close_frame(row: CloseReason) -> None:
    assert 0 < len(row.reason.encode()) <= 123, "control frames hold 125 bytes, 2 are the code"
    assert row.code in {1000, 1001, 1002, 1007, 1008, 1009, 1013}, (
        "codes a server may send that are used here"
    )
