"""Zstandard text that is decompressed block by block, so that none of it takes memory at once.

A block of Zstandard is at most 128 KiB of text and may be stored in four bytes: what looks harmless
as stored may be half a gigabyte.  The library returns all that a piece of a frame holds, so it is
given pieces that end where a block does.  RFC 8878 says how a frame is made.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import zstandard

BLOCK_BYTES = 1 << 17
"""The most text that is in a block."""
MAX_BLOCKS = 8
"""As many are decompressed at once: a megabyte of text, at most."""
ENOUGH_BYTES = 1 << 13
"""As much as stored is decompressed without waiting for more blocks: it is about one as it is
usual, and its lines should still be in the processor's cache when they are played."""
WINDOW_BYTES = 1 << 27
"""So far a frame may look back, and takes as much memory: what `zstd` itself reads by default."""
MAGIC = b"\x28\xb5\x2f\xfd"

_SKIPPABLE = b"\x2a\x4d\x18"
"""How a frame begins that holds no text, after the first byte."""
_SKIPPABLE_BYTES = 8
_HEAD_BYTES = 5
"""Enough of a frame to know how long its head is."""
_ID_BYTES = (0, 1, 2, 4)
_SIZE_BYTES = (0, 2, 4, 8)
_BLOCK_HEAD_BYTES = 3
_CHECKSUM_BYTES = 4
_RLE = 1


class ZstdText:
    """The text of frames that follow each other.

    Args:
        chunks: What is stored.
    """

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self.is_torn = False
        """Whether what is stored ended within a frame, once all text was taken."""
        self._chunks = iter(chunks)
        self._stored = b""
        self._at = 0

    def __iter__(self) -> Iterator[bytes]:
        """Yield the text; `zstandard.ZstdError` if it is damaged."""
        while self._has(1):
            if not self._has(len(MAGIC)):
                self.is_torn = True
            elif self._stored.startswith(_SKIPPABLE, self._at + 1):
                self._skip()
            elif self._stored.startswith(MAGIC, self._at):
                yield from self._frame()
            elif self._stored[self._at] == 0:
                self._skip_padding()
            else:
                raise zstandard.ZstdError("no frame begins here")
            if self.is_torn:
                return

    def _has(self, count: int) -> bool:
        """Whether so many more bytes are stored, which then can be looked at."""
        while len(self._stored) - self._at < count:
            chunk = next(self._chunks, b"")
            if not chunk:
                return False
            self._stored = self._stored[self._at :] + chunk
            self._at = 0
        return True

    def _skip_padding(self) -> None:
        """Pass over zeros between frames."""
        rest = self._stored[self._at :].lstrip(b"\0")
        self._at = len(self._stored) - len(rest)

    def _skip(self) -> None:
        if not self._has(_SKIPPABLE_BYTES):
            self.is_torn = True
            return
        left = _SKIPPABLE_BYTES + int.from_bytes(self._stored[self._at + 4 :][:4], "little")
        while left:
            if not self._has(1):
                self.is_torn = True
                return
            step = min(left, len(self._stored) - self._at)
            self._at += step
            left -= step

    def _frame(self) -> Iterator[bytes]:
        decompress = zstandard.ZstdDecompressor(max_window_size=WINDOW_BYTES).decompressobj()
        for piece in self._pieces():
            yield decompress.decompress(piece)

    def _pieces(self) -> Iterator[bytes]:
        """Yield a frame in pieces, none of which holds more than a few blocks."""
        if not self._has(_HEAD_BYTES):
            self.is_torn = True
            return
        descriptor = self._stored[self._at + 4]
        is_single = descriptor >> 5 & 1
        size_bytes = _SIZE_BYTES[descriptor >> 6] or is_single
        head_bytes = _HEAD_BYTES + 1 - is_single + _ID_BYTES[descriptor & 3] + size_bytes
        has_checksum = descriptor >> 2 & 1
        end = head_bytes
        """Of what belongs to the piece, as far as it is known; it begins at `_at`."""
        is_last, blocks = 0, 0
        while not is_last:
            if not self._has(end + _BLOCK_HEAD_BYTES):
                break
            begins = self._at + end
            block = int.from_bytes(self._stored[begins : begins + _BLOCK_HEAD_BYTES], "little")
            is_last, kind, length = block & 1, block >> 1 & 3, block >> 3
            if length > BLOCK_BYTES:
                raise zstandard.ZstdError("a block is larger than blocks can be")
            end += _BLOCK_HEAD_BYTES + (1 if kind == _RLE else length)
            blocks += 1
            if is_last and has_checksum:
                end += _CHECKSUM_BYTES
            if not self._has(end):
                break
            if is_last or blocks == MAX_BLOCKS or end >= ENOUGH_BYTES:
                yield self._take(end)
                end, blocks = 0, 0
        else:
            return
        self.is_torn = True
        yield self._take(len(self._stored) - self._at)

    def _take(self, count: int) -> bytes:
        piece = self._stored[self._at : self._at + count]
        self._at += count
        return piece
