"""Blocks: the parts a segment is made of, each whole in itself.

A block is a head and a Zstandard frame.  The frame holds whole lines of `<receive ns> <message>`,
its size and a checksum of what is in it.  The head is a *skippable frame*, which every Zstandard
program passes over, so that `zstdcat` prints the lines of a segment:

    offset  bytes  content (little-endian)
         0      4  0x184D2A5B, which makes it a skippable frame
         4      4  40, the bytes that follow in the head
         8      4  `TPB1`
        12      4  how many lines
        16      8  receive time of the first line, ns
        24      8  receive time of the last line, ns
        32      4  bytes of the lines, decompressed
        36      4  bytes of the Zstandard frame behind the head
        40      4  CRC-32 of the Zstandard frame
        44      4  CRC-32 of the head up to here

By the heads a reader goes from block to block without decompressing anything, finds a time, and
finds the next whole block behind a damaged one.
"""

from __future__ import annotations

from collections.abc import Iterator
from struct import Struct as Layout
from typing import BinaryIO, NamedTuple
from zlib import crc32

import zstandard

LEVEL = 6
"""Of compression: smaller than gzip, at a hundred megabytes of text a second."""
BLOCK_BYTES = 1 << 18
"""Text of a block when it is full: its lines should be in the processor's cache when they are read."""
MAX_BLOCK_BYTES = 1 << 26
"""No block is larger, compressed or not, and none is empty; a head that says so is damaged.  It is
a full block and the largest message that is ever received, with room."""
MAX_LINES = 1 << 16
"""No block has more lines: a full one of the shortest has a fifth of that."""
UNCHECKED_BYTES = 1 << 20
"""Lines are not counted before they are cut where the text is no larger: they take no memory."""
MAX_REREADS = 4
"""Bytes of blocks that turn out damaged are read so often at most, all in all, as the file is large:
heads that lie about what follows could have it read once for each."""
UNKNOWN_SIZE = -1
"""What a Zstandard frame says that does not tell its size."""
TIME_DIGITS = 19
"""Digits of every receive time, from 2001 to 2286."""
EARLIEST_NS, LATEST_NS = 10**18, 10**19 - 1

_LAYOUT = Layout("<II4sIqqIII")
_CHECK = Layout("<I")
_MAGIC = 0x184D2A5B
_NAME = b"TPB1"
HEAD_BYTES = _LAYOUT.size + _CHECK.size
_BEGIN = Layout("<II4s").pack(_MAGIC, HEAD_BYTES - 8, _NAME)
"""How every head begins."""


class Head(NamedTuple):
    """What a head says of its block."""

    lines: int
    first_ns: int
    last_ns: int
    text_bytes: int
    data_bytes: int
    """Bytes of the compressed frame."""
    crc: int
    """CRC-32 of the compressed frame."""


class Found(NamedTuple):
    """A block, or a damage, found in a file."""

    offset_bytes: int
    """Where it begins."""
    size_bytes: int
    """How many bytes of the file it takes."""
    head: Head | None
    """None if these bytes are no block."""
    data: bytes
    """The compressed frame; empty if it was not read, or is not whole."""
    reason: str = ""
    """What is wrong; empty for a whole block."""


class Packer:
    """Makes blocks, all with the same compression."""

    def __init__(self, level: int = LEVEL) -> None:
        self._compress = zstandard.ZstdCompressor(level=level, write_checksum=True).compress

    def pack(self, text: bytes, lines: int, first_ns: int, last_ns: int) -> bytes:
        """Return a block of `lines` whole lines."""
        data = self._compress(text)
        head = _LAYOUT.pack(
            _MAGIC,
            HEAD_BYTES - 8,
            _NAME,
            lines,
            first_ns,
            last_ns,
            len(text),
            len(data),
            crc32(data),
        )
        return head + _CHECK.pack(crc32(head)) + data


def read_head(raw: bytes) -> Head | None:
    """Return the head that stands at the beginning of `raw`; None if none does."""
    if len(raw) < HEAD_BYTES or not raw.startswith(_BEGIN):
        return None
    (check,) = _CHECK.unpack_from(raw, _LAYOUT.size)
    if crc32(raw[: _LAYOUT.size]) != check:
        return None
    head = Head(*_LAYOUT.unpack_from(raw)[3:])
    sizes = head.text_bytes, head.data_bytes
    return head if min(sizes) and max(sizes) <= MAX_BLOCK_BYTES else None


class Unpacker:
    """Makes text of blocks, one after the other; each thread needs one of its own."""

    def __init__(self) -> None:
        self._decompress = zstandard.ZstdDecompressor().decompress

    def unpack(self, data: bytes, head: Head) -> bytes:
        """Return the text of a block.

        Raises:
            ValueError: it is damaged.
        """
        try:
            said = zstandard.frame_content_size(data)
            if said not in {head.text_bytes, UNKNOWN_SIZE}:  # before so much memory is taken
                raise ValueError(f"{said} bytes of lines, expected {head.text_bytes}")
            text = self._decompress(data, max_output_size=head.text_bytes, allow_extra_data=False)
        except zstandard.ZstdError as error:
            raise ValueError(str(error)) from None
        if len(text) != head.text_bytes:
            raise ValueError(f"{len(text)} bytes of lines, expected {head.text_bytes}")
        if not text.endswith(b"\n"):
            raise ValueError("its last line has no end")
        if len(text) > UNCHECKED_BYTES and (lines := text.count(b"\n")) > MAX_LINES:
            raise ValueError(f"{lines:,} lines, expected {MAX_LINES:,} at most")
        return text


def is_block(raw: bytes) -> bool:
    """Whether a file that begins with `raw` is made of blocks."""
    return raw.startswith(_BEGIN[: len(raw)]) and bool(raw)


def walk(file: BinaryIO, start_ns: int = 0) -> Iterator[Found]:
    """Yield the blocks of a segment, and what is no block, in the order of the file.

    Blocks that end before `start_ns` are passed over: their data is not read, and is empty.
    A block whose data is damaged has a head and a reason.
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
            yield Found(offset, size - offset, None, b"", reason)
            return


def _block(file: BinaryIO, offset: int, size: int, head: Head, start_ns: int) -> Found:
    end = offset + HEAD_BYTES + head.data_bytes
    if end > size:
        after = _next_block(file, offset + 1, size)
        reason = "the last block is cut off" if after == size else "a block is cut off"
        return Found(offset, after - offset, None, b"", reason)
    if head.last_ns < start_ns:
        return Found(offset, end - offset, head, b"")
    data = file.read(head.data_bytes)
    reason = "" if crc32(data) == head.crc else "a block is damaged"
    if reason and (after := _next_block(file, offset + 1, size)) < end:
        # Something is missing in it: the next one begins before it should end.
        return Found(offset, after - offset, head, b"", reason)
    return Found(offset, end - offset, head, b"" if reason else data, reason)


def _damage(file: BinaryIO, offset: int, size: int) -> Found:
    after = _next_block(file, offset + 1, size)
    if after == size:
        file.seek(offset)
        begins = is_block(file.read(len(_BEGIN)))
        reason = "the last block is cut off" if begins else "this is no block, nor is what follows"
    else:
        reason = "this is no block"
    return Found(offset, after - offset, None, b"", reason)


def _next_block(file: BinaryIO, offset: int, size: int) -> int:
    """Return where the next whole head stands from `offset` on; the size of the file if none does."""
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
