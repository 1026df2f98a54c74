"""The text of a stored file, plain, gzip or zstd, decompressed in small parts.

However small a file is as stored, no part takes more than about a megabyte of memory.  Damage ends
the text with a reason instead of an exception.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator
from typing import BinaryIO, cast

import zstandard
from isal import isal_zlib

CHUNK_BYTES = 1 << 14
"""Bytes read from a file at once.  Compressed text grows about tenfold, and the lines of a chunk
should still be in the processor's cache when they are played."""
TEXT_BYTES = 1 << 18
"""The most gzip text that is decompressed at once: a chunk may hold a thousand times its size."""
SALVAGE_BYTES = 64
"""Bytes read at once from a damaged gzip file, up to the chunk with the damage."""
BLOCK_BYTES = 1 << 17
"""The most text in a zstd block."""
MAX_BLOCKS = 8
"""The most zstd blocks that are decompressed at once: a megabyte of text at most."""
ENOUGH_BYTES = 1 << 13
"""Stored bytes that are decompressed without waiting for more blocks: about one ordinary block,
whose lines should still be in the processor's cache when they are played."""
WINDOW_BYTES = 1 << 27
"""How far a zstd frame may look back, which takes as much memory: the default of `zstd` itself."""

_GZIP = b"\x1f\x8b"
_ZSTD = b"\x28\xb5\x2f\xfd"
_SKIPPABLE = b"\x2a\x4d\x18"
"""The beginning of a zstd frame without text, after the first byte."""
_SKIPPABLE_BYTES = 8
_HEAD_BYTES = 5
"""Enough of a zstd frame to determine the size of its header."""
_ID_BYTES = (0, 1, 2, 4)
_SIZE_BYTES = (0, 2, 4, 8)
_BLOCK_HEAD_BYTES = 3
_CHECKSUM_BYTES = 4
_RLE = 1

_IsalError = cast("type[Exception]", isal_zlib.error)  # its stub says an instance


class StoredText:
    """The decompressed text of a file, up to its end or to damage."""

    def __init__(self, file: BinaryIO) -> None:
        self.position_bytes = 0
        """How much of the stored file has been decompressed."""
        self.damage = ""
        """Why the text ends early; empty if it does not, or has not ended yet."""
        self._file = file

    def __iter__(self) -> Iterator[bytes]:
        """Yield the text in parts."""
        magic = self._file.read(len(_ZSTD))
        self._file.seek(0)
        if magic.startswith(_GZIP):
            return self._gzip()
        if magic.startswith(_ZSTD):
            return self._zstd()
        return self._chunks()

    def _chunks(self) -> Iterator[bytes]:
        """Yield stored bytes; each chunk counts as decompressed when the next one is read."""
        while chunk := self._file.read(CHUNK_BYTES):
            yield chunk
            self.position_bytes += len(chunk)

    def _zstd(self) -> Iterator[bytes]:
        text = ZstdText(self._chunks())
        try:
            yield from text
        except zstandard.ZstdError:
            self.damage = f"zstd data is damaged near byte {self.position_bytes}"
            return
        if text.is_torn:
            self.damage = f"zstd data ends early, at byte {self.position_bytes}"

    def _gzip(self) -> Iterator[bytes]:
        """Decompress one member after the other, as `cat a.gz b.gz` joins them."""
        inflater, is_started = isal_zlib.decompressobj(31), False
        yielded_bytes = 0
        for chunk in self._chunks():
            data, text = chunk, b""
            while data or len(text) == TEXT_BYTES:
                if not is_started and not (data := data.lstrip(b"\0")):
                    break  # some programs pad with zeros
                try:
                    text = inflater.decompress(data, TEXT_BYTES)
                except _IsalError:
                    yield from self._salvaged(yielded_bytes)
                    self.damage = f"gzip data is damaged near byte {self.position_bytes}"
                    return
                yield text
                yielded_bytes += len(text)
                is_started, data = True, inflater.unconsumed_tail
                if inflater.eof:
                    data = inflater.unused_data
                    inflater, is_started, text = isal_zlib.decompressobj(31), False, b""
        if is_started:
            self.damage = f"gzip data ends early, at byte {self.position_bytes}"

    def _salvaged(self, known_bytes: int) -> Iterator[bytes]:
        """Yield the text of a gzip file between the first `known_bytes` and the damage.

        The fast decompressor loses a complete chunk to its damage, so the file is read again, byte
        by byte from where the text is new.
        """
        inflater = zlib.decompressobj(31)
        self._file.seek(0)
        try:
            while data := self._file.read(1 if known_bytes <= 0 else SALVAGE_BYTES):
                while data:
                    text = inflater.decompress(data)
                    if new := text[max(known_bytes, 0) :]:
                        yield new
                    known_bytes -= len(text)
                    data = inflater.unused_data.lstrip(b"\0") if inflater.eof else b""
                    inflater = zlib.decompressobj(31) if inflater.eof else inflater
        except zlib.error:
            pass


class ZstdText:
    """The text of zstd frames that follow each other, decompressed a few blocks at a time.

    A zstd block is at most 128 KiB of text and may be stored in four bytes: what looks harmless as
    stored may be half a gigabyte.  The library returns all that a piece of a frame holds, so it is
    given pieces that end where a block does.  RFC 8878 describes the format.
    """

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self.is_torn = False
        """Whether the stored bytes end within a frame, once all text was read."""
        self._chunks = iter(chunks)
        self._stored = b""
        self._at = 0

    def __iter__(self) -> Iterator[bytes]:
        """Yield the text; raise `zstandard.ZstdError` if it is damaged."""
        while self._has(1):
            if not self._has(len(_ZSTD)):
                self.is_torn = True
            elif self._stored.startswith(_SKIPPABLE, self._at + 1):
                self._skip()
            elif self._stored.startswith(_ZSTD, self._at):
                yield from self._frame()
            elif self._stored[self._at] == 0:
                self._skip_padding()
            else:
                raise zstandard.ZstdError("no frame begins here")
            if self.is_torn:
                return

    def _has(self, count: int) -> bool:
        """Read until `count` bytes are available; return whether they are."""
        while len(self._stored) - self._at < count:
            chunk = next(self._chunks, b"")
            if not chunk:
                return False
            self._stored = self._stored[self._at :] + chunk
            self._at = 0
        return True

    def _skip_padding(self) -> None:
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
        """Yield a frame in pieces of at most a few blocks."""
        if not self._has(_HEAD_BYTES):
            self.is_torn = True
            return
        descriptor = self._stored[self._at + 4]
        is_single = descriptor >> 5 & 1
        size_bytes = _SIZE_BYTES[descriptor >> 6] or is_single
        head_bytes = _HEAD_BYTES + 1 - is_single + _ID_BYTES[descriptor & 3] + size_bytes
        has_checksum = descriptor >> 2 & 1
        end = head_bytes
        """The end of the current piece so far, relative to `_at`."""
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
