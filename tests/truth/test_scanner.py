from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tickerplant.frames import PING, close_frame, control_frame, text_frame
from tickerplant.truth.scanner import Scanned, Scanner

ACCEPTED = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n"
REFUSED = b"HTTP/1.1 503 Service Unavailable\r\n\r\n"
FRAMES = st.lists(
    st.one_of(
        st.binary(max_size=300).map(lambda text: (text_frame(text), Scanned("text", text))),
        st.sampled_from([125, 126, 65_535, 65_536]).map(
            lambda size: (text_frame(b"x" * size), Scanned("text", b"x" * size))
        ),
        st.binary(max_size=9).map(lambda data: (control_frame(PING, data), Scanned("ping", data))),
        st.just((close_frame(1001, "bye"), Scanned("close", b"\x03\xe9bye"))),
    ),
    max_size=6,
)


@given(FRAMES, st.lists(st.integers(0, 400), max_size=8), st.binary(max_size=5))
def test_frames_are_found_however_they_are_cut(
    frames: list[tuple[bytes, Scanned]], cuts: list[int], invalid: bytes
) -> None:
    tail = b"\x91" + invalid  # a reserved bit
    data = ACCEPTED + b"".join(frame for frame, _ in frames) + tail
    scanner, found, start = Scanner(), list[Scanned](), 0
    for end in [*sorted(cuts), len(data)]:
        copied = scanner.copy().feed(data[start:end])
        assert copied == scanner.feed(data[start:end])
        found += copied
        start = max(start, end)
    whole = [Scanned("handshake", ACCEPTED), *(expected for _, expected in frames)]
    assert found[: len(whole)] == whole
    assert b"".join(each.data for each in found[len(whole) :]) == tail
    assert {each.kind for each in found[len(whole) :]} == {"bytes"}


def test_what_follows_a_refused_handshake_has_no_frames() -> None:
    scanner = Scanner()
    assert scanner.feed(REFUSED[:10]) == []
    assert scanner.rest == REFUSED[:10]
    assert scanner.feed(REFUSED[10:] + b"\x81\x01x") == [
        Scanned("handshake", REFUSED),
        Scanned("bytes", b"\x81\x01x"),
    ]


def test_a_masked_frame_is_none_of_ours() -> None:
    scanner = Scanner()
    scanner.feed(ACCEPTED)
    assert scanner.feed(b"\x81\x85") == [Scanned("bytes", b"\x81\x85")]
