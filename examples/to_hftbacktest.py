"""Convert a symbol of a recording to the events of hftbacktest, version 2.

Run `python examples/to_hftbacktest.py tape BTCUSDT btcusdt.npz`; it needs pyarrow and numpy.
"""

import sys
from typing import Any

import numpy as np

import tickerplant

DEPTH, TRADE, CLEAR, SNAPSHOT = 1, 2, 3, 4
SELL, BUY, LOCAL, EXCHANGE = 1 << 28, 1 << 29, 1 << 30, 1 << 31
EVENT = np.dtype("u8,i8,i8,f8,f8,u8,i8,f8")
EVENT.names = ("ev", "exch_ts", "local_ts", "px", "qty", "order_id", "ival", "fval")


def events(kinds: Any, batch: Any, times: str = "transaction_time") -> Any:
    """Return an event for each row of a batch."""
    rows = np.zeros(batch.num_rows, EVENT)
    rows["ev"] = kinds
    for name, column in (("exch_ts", times), ("local_ts", "received_time")):
        rows[name] = batch[column].to_numpy(zero_copy_only=False).view("i8")
    rows["px"], rows["qty"] = batch["price"], batch["quantity"]
    return rows


def cleared(levels: Any) -> Any:
    """Put an event before each side of a snapshot that clears it as far as the snapshot reaches."""
    ends = np.flatnonzero(levels[["ev", "local_ts"]][1:] != levels[["ev", "local_ts"]][:-1]) + 1
    for side in np.split(levels, ends):
        clear = side[-1:].copy()
        clear["ev"] -= SNAPSHOT - CLEAR
        clear["qty"] = 0
        yield from (clear, side)


recording: Any = tickerplant.open_recording(sys.argv[1], symbols=[sys.argv[2]])
found: list[Any] = []
for read in recording.batches("depth_updates", "float"):
    batch = read.filter(read["side"].is_valid())
    sides = np.where(np.asarray(batch["side"]) == "bid", BUY, SELL)
    is_rest = np.asarray(batch["stream"].is_null())  # a partial book is neither
    rows = events(np.where(is_rest, SNAPSHOT, DEPTH) | sides, batch)
    found.append(rows[~np.asarray(batch["is_snapshot"])])
    found.extend(cleared(rows[is_rest]) if is_rest.any() else ())
for read in recording.batches("trades", "float"):
    batch = read.filter(np.asarray(read["origin"]) == "MARKET")
    found.append(events(TRADE | np.where(batch["buyer_is_maker"], SELL, BUY), batch, "trade_time"))
rows = np.concatenate(found)
rows = rows[np.argsort(rows["local_ts"], kind="stable")]
rows["local_ts"] += max(0, (rows["exch_ts"] - rows["local_ts"]).max())  # a clock that was behind
is_late = rows["exch_ts"] < np.maximum.accumulate(rows["exch_ts"])
late = rows[is_late][np.argsort(rows["exch_ts"][is_late], kind="stable")]
late["ev"] |= EXCHANGE
rows["ev"] |= np.where(is_late, LOCAL, LOCAL | EXCHANGE).astype("u8")
in_both = np.flatnonzero(~is_late)
places = in_both[np.searchsorted(rows["exch_ts"][in_both], late["exch_ts"], side="right")]
np.savez_compressed(sys.argv[3], data=np.insert(rows, places, late))
