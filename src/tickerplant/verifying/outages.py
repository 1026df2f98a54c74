"""Whether an outage of a stream may have lost messages: the manifest weighed against the ids."""

from __future__ import annotations

from tickerplant.archive.outage_log import NEVER, UNREADABLE, OutageLog
from tickerplant.verifying.findings import PROVEN, StreamFinding


def judge_outages(log: OutageLog, found: StreamFinding, most: int) -> None:
    """Add the outages of a stream to its findings, and whether they may have lost messages."""
    for each in log.outages.get(found.stream, ()):
        if each.cause == NEVER and each.from_ns <= found.last_ns and found.first_ns <= each.to_ns:
            continue  # it was received, although no entry says that it was connected
        middle_ns = (each.from_ns + each.to_ns) // 2  # its ends are rounded outwards
        is_bridged = 0 < found.first_ns <= middle_ns < found.last_ns
        if found.proof not in PROVEN or not is_bridged:
            each.verdict = "may have lost"
        elif each.verdict == "lost" and not found.gaps:  # all of them came late
            each.verdict = "nothing lost"
        if each.cause.startswith(UNREADABLE) and found.unreadable:
            continue  # it was recorded
        found.outages += 1
        found.outage_ns += each.length_ns
        found.lossy_outages += each.verdict == "may have lost"
        if len(found.first_outages) < most:
            found.first_outages.append(each)
