from __future__ import annotations

import io
import json
import logging

import pytest
import structlog

from tickerplant import logs


@pytest.fixture
def written() -> io.StringIO:
    return io.StringIO()


@pytest.fixture(autouse=True)
def _own_configuration() -> object:
    yield
    structlog.reset_defaults()
    logging.getLogger().handlers.clear()


def test_a_text_line_has_time_text_and_fields(written: io.StringIO) -> None:
    logs.configure("text", "info", written)
    logs.logger().info("c1 = open", path="/ws", note="two words")
    time, _, rest = written.getvalue().partition(" ")
    assert time.endswith("Z")
    assert rest == "c1 = open path=/ws note='two words'\n"


def test_a_json_line_is_one_object(written: io.StringIO) -> None:
    logs.configure("json", "info", written)
    logs.logger().warning("c1 ! bad", code=3)
    line = json.loads(written.getvalue())
    del line["timestamp"]
    assert line == {
        "event": "bad",
        "connection": "c1",
        "sign": "!",
        "level": "warning",
        "code": 3,
    }
    logs.logger().info("= replay")
    assert json.loads(written.getvalue().splitlines()[1])["event"] == "replay"


def test_lines_below_the_level_are_dropped(written: io.StringIO) -> None:
    logs.configure("text", "warning", written)
    logs.logger().info("c1 = open")
    assert written.getvalue() == ""


def test_text_of_a_client_or_an_upstream_cannot_forge_a_line(written: io.StringIO) -> None:
    logs.configure("text", "info", written)
    said = "\x1b]0;title\x07\x9b2J\n2026-01-01T00:00:00Z c2 = forged\u202e"
    logs.logger().info("c1 = open", path="/ws/\x1b[2J\nc2 = forged")
    assert "\x1b" not in written.getvalue()
    assert written.getvalue().count("\n") == 1
    logs.logger().warning(f"! the upstream does not answer: {said}")
    assert written.getvalue().endswith(
        "Z WARNING ! the upstream does not answer: ·]0;title··2J·2026-01-01T00:00:00Z c2 = forged·\n"
    )


def test_library_log_lines_are_made_printable_and_tracebacks_indented(
    written: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger(), "handlers", [])  # without those of pytest
    logs.configure("text", "info", written)
    try:
        json.loads("{")
    except ValueError as error:
        error.add_note("\x1b[2J\n2026-01-01T00:00:00Z c2 = forged")
        logging.getLogger("library").exception("failed: %s", "\x9b31m")
    first, *more = written.getvalue().splitlines()
    assert first == "library: failed: ·31m"
    assert more[0] == "  Traceback (most recent call last):"
    assert "  2026-01-01T00:00:00Z c2 = forged" in more
    assert all(line.startswith("  ") and line.isprintable() for line in more)


def test_each_kind_of_problem_is_logged_once_and_always_counted(written: io.StringIO) -> None:
    logs.configure("text", "info", written)
    complaints = logs.Complaints()
    for number in range(3):
        complaints.add("flood", f"c{number} ! flood")
    complaints.add("other thing", "c9 ! other thing")
    assert complaints.counts == {"flood": 3, "other thing": 1}
    assert written.getvalue().count("\n") == 2
    assert "c0 ! flood" in written.getvalue()


def test_everyday_lines_are_logged_up_to_a_rate_and_the_others_counted(
    written: io.StringIO,
) -> None:
    logs.configure("text", "info", written)
    now_s = 0.0
    complaints = logs.Complaints(lambda: now_s)
    for now_s in (1.0, 59.0, 61.0):
        rooms = [complaints.has_room("open") for _ in range(logs.MAX_PER_MINUTE)]
        assert all(rooms) == (now_s != 59)
        assert complaints.has_room("closed")
    assert complaints.counts == {"not logged: open": logs.MAX_PER_MINUTE}
    assert written.getvalue().count("not logged: open") == 1


def test_kinds_beyond_the_bound_are_counted_together() -> None:
    complaints = logs.Complaints()
    for number in range(logs.MAX_KINDS + 5):
        complaints.add(f"kind {number}", "!")
    assert len(complaints.counts) == logs.MAX_KINDS + 1
    assert complaints.counts["other"] == 5
