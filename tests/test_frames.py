from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stage import frames, payloads
from websockets.frames import Opcode

from tickerplant.frames import text_frame


@pytest.mark.parametrize("size", [0, 1, 124, 125, 126, 127, 65534, 65535, 65536, 65537, 1 << 20])
def test_a_client_reads_back_a_payload_of_every_length_class(size: int) -> None:
    payload = b"x" * size
    (frame,) = frames(text_frame(payload))
    assert (frame.opcode, frame.fin, frame.rsv1) == (Opcode.TEXT, True, False)
    assert bytes(frame.data) == payload, f"{size} bytes must come back as they were"


@pytest.mark.parametrize(("size", "header"), [(125, 2), (126, 4), (65535, 4), (65536, 10)])
def test_the_length_is_written_in_the_fewest_bytes(size: int, header: int) -> None:
    framed = text_frame(b"x" * size)
    assert len(framed) - size == header, "RFC 6455 section 5.2: the minimal number of bytes"
    assert not framed[1] & 0x80, "a server's frame is not masked"


@given(st.lists(st.text(max_size=300), max_size=10))
def test_joined_frames_come_apart_again(texts: list[str]) -> None:
    sent = [text.encode(errors="ignore") for text in texts]
    joined = b"".join(map(text_frame, sent))
    assert [bytes(frame.data) for frame in frames(joined)] == sent
    assert payloads(joined) == sent
