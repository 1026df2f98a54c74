"""Zstandard block by block: the text is what the library says, whatever is stored and how."""

from __future__ import annotations

import random

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from tickerplant.recording.stored_text import BLOCK_BYTES, MAX_BLOCKS, ZstdText

NOISE = random.Random(1).randbytes(300_000)
TEXTS = [b"", b"short", b"a" * 1_000_000, NOISE, NOISE[:5_000] * 100]
SKIPPABLE = b"\x5e\x2a\x4d\x18" + (100).to_bytes(4, "little") + bytes(100)

frames = st.builds(
    lambda text, level, checksum, size: (
        text,
        zstandard.ZstdCompressor(
            level=level, write_checksum=checksum, write_content_size=size
        ).compress(text),
    ),
    st.sampled_from(TEXTS),
    st.sampled_from([1, 3, 12]),
    st.booleans(),
    st.booleans(),
)


def chunks_of(stored: bytes, size: int) -> list[bytes]:
    return [stored[at : at + size] for at in range(0, len(stored), size)]


@pytest.mark.heavy
@given(st.lists(frames, max_size=3), st.sampled_from([1 << 14, 1_000, 37]), st.booleans())
def test_the_text_of_frames_is_what_was_stored(
    parts: list[tuple[bytes, bytes]], chunk_bytes: int, is_odd: bool
) -> None:
    between = SKIPPABLE + bytes(50) if is_odd else b""
    stored = between.join(stored for _, stored in parts)
    texts = ZstdText(chunks_of(stored, chunk_bytes))
    found = list(texts)
    assert b"".join(found) == b"".join(text for text, _ in parts)
    assert max(map(len, found), default=0) <= MAX_BLOCKS * BLOCK_BYTES
    assert not texts.is_torn


@given(frames, st.integers(1, 400_000))
def test_a_torn_frame_gives_the_beginning_of_its_text(
    part: tuple[bytes, bytes], cut_bytes: int
) -> None:
    text, stored = part
    kept = stored[: max(len(stored) - cut_bytes, 1)]
    texts = ZstdText(chunks_of(kept, 1 << 14))
    assert text.startswith(b"".join(texts))
    assert texts.is_torn


def test_frames_written_in_pieces_are_read() -> None:
    compress = zstandard.ZstdCompressor().compressobj()
    pieces = [
        compress.compress(b"line\n") + compress.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK)
        for _ in range(3_000)
    ]
    stored = b"".join(pieces) + compress.flush()
    found = list(ZstdText(chunks_of(stored, 1 << 14)))
    assert b"".join(found) == b"line\n" * 3_000
    assert len(found) < 500, "small blocks are decompressed together"


@pytest.mark.parametrize(
    "damaged",
    [
        b"no frame",
        b"\x28\xb5\x2f\xfd\x00\x58\xfd\xff\xff" + bytes(20),  # a block of 2 MB
        zstandard.compress(b"x")[:-1] + b"\xff" + zstandard.compress(b"x") + b"rest",
    ],
)
def test_text_that_is_not_a_zstd_frame_is_damaged(damaged: bytes) -> None:
    with pytest.raises(zstandard.ZstdError):
        list(ZstdText([damaged]))
