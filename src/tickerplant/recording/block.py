"""Blocks: the parts of a segment, each of which can be read on its own.

A block is a head and a Zstandard frame.  The frame contains complete lines of `<receive ns>
<message>`, their size and a checksum.  The head is a *skippable frame*, which every Zstandard
program ignores, so that `zstdcat` prints the lines of a segment:

    offset  bytes  content (little-endian)
         0      4  0x184D2A5B, which makes it a skippable frame
         4      4  40, the size of the rest of the head
         8      4  `TPB1`
        12      4  number of lines
        16      8  receive time of the first line, ns
        24      8  receive time of the last line, ns
        32      4  size of the lines, decompressed
        36      4  size of the Zstandard frame behind the head
        40      4  CRC-32 of the Zstandard frame
        44      4  CRC-32 of the head up to here

With the heads a reader finds a time without decompressing anything, and the next intact block
behind a damaged one.
"""

from __future__ import annotations

from collections.abc import Iterator
from struct import Struct as Layout
from typing import BinaryIO, NamedTuple
from zlib import crc32

import zstandard

LEVEL = 6
"""Compression level: smaller than gzip, at a hundred megabytes of text a second."""
BLOCK_BYTES = 1 << 18
"""Size of the text of a full block, so that its lines stay in the processor's cache while they are
read."""
MAX_BLOCK_BYTES = 1 << 26
"""The largest size of a block, compressed or not: a full block and the largest message, with room.
A head with a larger size, or with 0, is damaged."""
MAX_LINES = 1 << 16
"""The most lines in a block: a full block of the shortest lines has a fifth of that."""
UNCHECKED_BYTES = 1 << 20
"""Lines of a smaller text are not counted before they are split: they take little memory."""
MAX_REREADS = 4
"""Damaged blocks are read up to this many times the size of the file, in total: wrong heads could
have the same bytes read once for each."""
UNKNOWN_SIZE = -1
"""The content size of a Zstandard frame that does not state it."""
TIME_DIGITS = 19
"""Digits of every receive time, from 2001 to 2286."""

_LAYOUT = Layout("<II4sIqqIII")
_CHECK = Layout("<I")
_MAGIC = 0x184D2A5B
_NAME = b"TPB1"
HEAD_BYTES = _LAYOUT.size + _CHECK.size
_BEGIN = Layout("<II4s").pack(_MAGIC, HEAD_BYTES - 8, _NAME)
"""The beginning of every head."""


class Head(NamedTuple):
    """The head of a block."""

    lines: int
    first_ns: int
    last_ns: int
    text_bytes: int
    data_bytes: int
    """Bytes of the compressed frame."""
    crc: int
    """CRC-32 of the compressed frame."""


class Region(NamedTuple):
    """A block, or a damaged region, of a segment."""

    offset_bytes: int
    size_bytes: int
    head: Head | None
    """None if the region is not a block."""
    data: bytes
    """The compressed frame; empty if it was not read, or is damaged."""
    reason: str = ""
    """What is wrong; empty for an intact block."""


class Packer:
    """Makes blocks, all with the same compression."""

    def __init__(self, level: int = LEVEL) -> None:
        self._compress = zstandard.ZstdCompressor(level=level, write_checksum=True).compress

    def pack(self, text: bytes, lines: int, first_ns: int, last_ns: int) -> bytes:
        """Return a block of `lines` complete lines."""
        data = self._compress(text)
        head = Head(lines, first_ns, last_ns, len(text), len(data), crc32(data))
        return head_bytes(head) + data


def head_bytes(head: Head) -> bytes:
    """Return a head as it is stored."""
    stored = _LAYOUT.pack(_MAGIC, HEAD_BYTES - 8, _NAME, *head)
    return stored + _CHECK.pack(crc32(stored))


def read_head(raw: bytes) -> Head | None:
    """Return the head at the beginning of `raw`; None if there is none."""
    if len(raw) < HEAD_BYTES or not raw.startswith(_BEGIN):
        return None
    (check,) = _CHECK.unpack_from(raw, _LAYOUT.size)
    if crc32(raw[: _LAYOUT.size]) != check:
        return None
    head = Head(*_LAYOUT.unpack_from(raw)[3:])
    sizes = head.text_bytes, head.data_bytes
    return head if min(sizes) and max(sizes) <= MAX_BLOCK_BYTES else None


class Unpacker:
    """Decompresses blocks, one after the other; each thread needs its own."""

    def __init__(self) -> None:
        self._decompress = zstandard.ZstdDecompressor().decompress

    def unpack(self, data: bytes, head: Head) -> bytes:
        """Return the text of a block.

        Raises:
            ValueError: The block is damaged.
        """
        try:
            size_bytes = zstandard.frame_content_size(data)
            if size_bytes not in {head.text_bytes, UNKNOWN_SIZE}:  # before memory is allocated
                raise ValueError(f"{size_bytes} bytes of lines, expected {head.text_bytes}")
            text = self._decompress(data, max_output_size=head.text_bytes, allow_extra_data=False)
        except zstandard.ZstdError as error:
            raise ValueError(str(error)) from None
        if len(text) != head.text_bytes:
            raise ValueError(f"{len(text)} bytes of lines, expected {head.text_bytes}")
        if not text.endswith(b"\n"):
            raise ValueError("its last line has no newline")
        if len(text) > UNCHECKED_BYTES and (lines := text.count(b"\n")) > MAX_LINES:
            raise ValueError(f"{lines:,} lines, expected {MAX_LINES:,} at most")
        return text


def is_block(raw: bytes) -> bool:
    """Whether a file that begins with `raw` is a segment."""
    return raw.startswith(_BEGIN[: len(raw)]) and bool(raw)


def walk(file: BinaryIO, start_ns: int = 0) -> Iterator[Region]:
    """Yield the blocks and damaged regions of a segment, in the order of the file.

    The data of blocks that end before `start_ns` is not read, and is empty.  A block whose data is
    damaged has a head and a reason.
    """
    size = file.seek(0, 2)
    offset = file.seek(0)
    left_bytes = MAX_REREADS * size
    while offset < size:
        raw = file.read(HEAD_BYTES)
        head = read_head(raw)
        if head is None:
            found = _damage(file, offset, size)
        else:
            found = _block(file, offset, size, head, start_ns)
            if found.reason and found.head:
                left_bytes -= head.data_bytes
        yield found
        offset = file.seek(found.offset_bytes + found.size_bytes)
        if left_bytes < 0 and offset < size:
            reason = "too much is damaged: the rest is not read"
            yield Region(offset, size - offset, None, b"", reason)
            return


def _block(file: BinaryIO, offset: int, size: int, head: Head, start_ns: int) -> Region:
    end = offset + HEAD_BYTES + head.data_bytes
    if end > size:
        after = _next_block(file, offset + 1, size)
        reason = "the last block is cut off" if after == size else "a block is cut off"
        return Region(offset, after - offset, None, b"", reason)
    if head.last_ns < start_ns:
        return Region(offset, end - offset, head, b"")
    data = file.read(head.data_bytes)
    reason = "" if crc32(data) == head.crc else "a block is damaged"
    if reason and (after := _next_block(file, offset + 1, size)) < end:
        # Bytes are missing: the next block begins before this one should end.
        return Region(offset, after - offset, head, b"", reason)
    return Region(offset, end - offset, head, b"" if reason else data, reason)


def _damage(file: BinaryIO, offset: int, size: int) -> Region:
    after = _next_block(file, offset + 1, size)
    if after == size:
        file.seek(offset)
        is_start = is_block(file.read(len(_BEGIN)))
        reason = "the last block is cut off" if is_start else "not a block, and no block follows"
    else:
        reason = "not a block"
    return Region(offset, after - offset, None, b"", reason)


def _next_block(file: BinaryIO, offset: int, size: int) -> int:
    """Return the offset of the next intact head from `offset` on; the size of the file if none."""
    chunk_bytes = 1 << 10
    while offset < size:
        file.seek(offset)
        chunk = file.read(chunk_bytes + HEAD_BYTES)
        at = chunk.find(_BEGIN)
        while at >= 0:
            if read_head(chunk[at : at + HEAD_BYTES]) is not None:
                return offset + at
            at = chunk.find(_BEGIN, at + 1)
        offset += chunk_bytes
        chunk_bytes = min(4 * chunk_bytes, 1 << 20)  # the next one is near, or nowhere
    return size
