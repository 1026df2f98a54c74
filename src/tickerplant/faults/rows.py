"""All faults, as rows."""

from __future__ import annotations

from tickerplant.faults.content_rows import CONTENT_ROWS
from tickerplant.faults.network_rows import NETWORK_ROWS
from tickerplant.faults.row import FaultRow
from tickerplant.faults.snapshot_rows import SNAPSHOT_ROWS

FAULT_ROWS: tuple[FaultRow, ...] = (*NETWORK_ROWS, *CONTENT_ROWS, *SNAPSHOT_ROWS)
FAULT_BY_NAME = {row.name: row for row in FAULT_ROWS}
EXEMPT_HEADER = "X-Tickerplant-Exempt"
"""Handshakes and requests with this header set to `1` are never faulted."""
EXEMPT_KEY = EXEMPT_HEADER.lower().encode()
"""The same as it is looked up."""
