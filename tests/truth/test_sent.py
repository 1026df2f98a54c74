from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tickerplant.envelope import wrap
from tickerplant.errors import RequestError
from tickerplant.frames import PONG, close_frame, control_frame, text_frame
from tickerplant.truth import sent
from tickerplant.truth.answers import MAX_SENT_BYTES, SentEntry, sent_connections, sent_page
from tickerplant.truth.scanner import Scanned, Scanner
from tickerplant.truth.sent import WRITE_BYTES, SentJournal

ACCEPTED = b"HTTP/1.1 101 Switching Protocols\r\n\r\n"


def always() -> bool:
    return True


def never() -> bool:
    return False


def written(path: str, *frames: bytes) -> tuple[SentJournal, list[SentEntry]]:
    """What is known of a connection to which the handshake and `frames` were written."""
    journal = SentJournal()
    log = journal.open("c1", "usdm", path, always)
    for time_ms, data in enumerate((ACCEPTED, *frames), 1):
        journal.now_ms = iter([time_ms]).__next__
        log.write(data)
    return journal, sent_page(journal, "c1").sent


@given(st.lists(st.tuples(st.sampled_from("ab"), st.binary(max_size=40)), max_size=30), st.data())
def test_what_is_kept_is_the_end_of_what_was_written(
    writes: list[tuple[str, bytes]], data: st.DataObject
) -> None:
    most_bytes = data.draw(st.integers(0, 30 * (WRITE_BYTES + 40)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sent, "MARKED_WRITES", data.draw(st.integers(1, 5)))
        journal = SentJournal(most_bytes)
        logs = {name: journal.open(name, "usdm", "/ws", always) for name in "ab"}
        whole = dict.fromkeys("ab", b"")
        for name, payload in writes:
            piece = text_frame(payload) if whole[name] else ACCEPTED + text_frame(payload)
            for part in (piece[:3], piece[3:]):
                logs[name].write(part)
                whole[name] += part
                if len(part) % 3 == 0:
                    list(logs[name].entries(len(payload) % 7))
        assert journal.kept_bytes <= most_bytes
        for name, log in logs.items():
            everything: list[Scanned] = Scanner().feed(whole[name])
            kept = list(log.entries())
            for first in data.draw(st.lists(st.integers(0, 40), max_size=4)):
                assert list(log.entries(first)) == [each for each in kept if each.number >= first]
            assert log.written_bytes == len(whole[name])
            assert whole[name].endswith(log.data)
            assert [each.number for each in kept] == list(range(log.forgotten, len(everything)))
            assert [(each.kind, each.data) for each in kept] == [
                (each.kind, each.data) for each in everything[log.forgotten :]
            ]


def test_the_stream_of_a_message_is_known_from_its_envelope() -> None:
    _, sent = written("/stream", text_frame(wrap("btcusdt@trade", b'{"e":"trade"}')))
    assert [each.kind for each in sent] == ["handshake", "text"]
    assert sent[1].stream == "btcusdt@trade"
    assert sent[1].text == '{"stream":"btcusdt@trade","data":{"e":"trade"}}'
    assert [each.time_ms for each in sent] == [1, 2]


def test_the_only_stream_of_a_path_is_that_of_its_messages_until_a_request_is_answered() -> None:
    message, reply = text_frame(b'{"e":"trade"}'), text_frame(b'{"result":null,"id":1}')
    _, sent = written("/ws/btcusdt@trade?delivery=latest", message, reply, message)
    assert [each.stream for each in sent] == [None, "btcusdt@trade", None, None]
    _, several = written("/ws/btcusdt@trade/btcusdt@depth", message)
    assert several[1].stream is None


def test_a_stream_stays_unknown_when_the_answer_was_forgotten() -> None:
    message, reply = text_frame(b'{"e":"trade"}'), text_frame(b'{"result":null,"id":1}')
    journal, _ = written("/ws/btcusdt@trade", reply, message)
    log = journal.of("c1")
    log.forget()
    log.forget()
    assert [(each.number, each.stream) for each in log.entries()] == [(2, None)]
    assert sent_page(journal, "c1").connection.forgotten == 2


def test_control_frames_and_bytes_that_are_no_frames_are_shown() -> None:
    frames = (
        control_frame(PONG, b"\xff"),
        text_frame(b"\xc3\x28"),
        close_frame(1008, "too slow"),
        b"\xffgarbage",
    )
    _, sent = written("/ws", *frames)
    assert [each.kind for each in sent] == ["handshake", "pong", "text", "close", "bytes"]
    assert sent[1].base64 == "/w=="
    assert sent[2].base64 == "wyg="
    assert (sent[3].code, sent[3].reason) == (1008, "too slow")
    assert sent[4].base64 == "/2dhcmJhZ2U="


def test_a_page_begins_anywhere_and_says_whether_there_is_more() -> None:
    journal, _ = written("/ws", *(text_frame(b"%d" % number) for number in range(5)))
    page = sent_page(journal, "c1", from_number=2, limit=2)
    assert [each.text for each in page.sent] == ["1", "2"]
    assert page.more
    assert not sent_page(journal, "c1", from_number=4, limit=2).more


def test_a_page_is_bounded_in_bytes_but_has_a_frame() -> None:
    journal, _ = written("/ws", *[text_frame(b"x" * (MAX_SENT_BYTES + 1))] * 2)
    pages = [sent_page(journal, "c1", from_number=number) for number in range(3)]
    assert [[each.number for each in page.sent] for page in pages] == [[0], [1], [2]]
    assert [page.more for page in pages] == [True, True, False]


def test_connections_that_have_ended_are_forgotten_first() -> None:
    journal = SentJournal(max_logs=2)
    for name, ended in (("c1", False), ("c2", True), ("c3", False)):
        journal.open(name, "usdm", "/ws", never if ended else always)
    page = sent_connections(journal)
    assert [each.connection for each in page.connections] == ["c1", "c3"]
    assert page.forgotten == 1
    with pytest.raises(RequestError, match="the latest connections are c1, c3"):
        sent_page(journal, "c2")
