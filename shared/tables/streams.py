"""Bytes on their way in: digest, blocks of one size, gzip, encodings, and a file on disk for readers that must seek."""

from __future__ import annotations

import codecs
import hashlib
import tempfile
import zlib
from collections.abc import Iterable, Iterator
from typing import IO

from shared.tables.model import TableError

BLOCK = 1 << 20
"""Bytes in a block. Blocks are cut by position alone, so that nothing depends on how the source was cut."""

_MAGIC = (
    (b"PK\x03\x04", "an Excel workbook or another zip archive"),
    (b"PAR1", "a Parquet file"),
    (b"ARROW1", "an Arrow file"),
    (b"\x1f\x8b", "gzip-compressed"),
    (b"\x89PNG", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"GIF8", "a GIF image"),
    (b"%PDF", "a PDF document"),
    (b"\xd0\xcf\x11\xe0", "an old Excel or Word document"),
    (b"BZh", "bzip2-compressed"),
    (b"7z\xbc\xaf", "a 7-Zip archive"),
    (b"\x28\xb5\x2f\xfd", "zstandard-compressed"),
    (b"SQLite format 3", "an SQLite database"),
)
_BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_NO_TEXT = "".join(map(chr, set(range(32)) - {9, 10, 11, 12, 13, 26, 27})) + "\x7f"
_MARK_MISREAD = codecs.BOM_UTF8.decode("cp1252")
_HEAD = 1 << 16


class Digest:
    """SHA-256 and size of what passes through."""

    def __init__(self) -> None:
        self._sha256 = hashlib.sha256()
        self.size = 0

    def watch(self, pieces: Iterable[bytes]) -> Iterator[bytes]:
        """The same pieces, counted."""
        for piece in pieces:
            self._sha256.update(piece)
            self.size += len(piece)
            yield piece

    def hexdigest(self) -> str:
        """SHA-256 so far."""
        return self._sha256.hexdigest()


def blocks(pieces: Iterable[bytes], offset: int = 0) -> Iterator[bytes]:
    """The same bytes in blocks of `BLOCK` bytes; only the last may be shorter, none is empty.

    Args:
        offset: where in a file the bytes begin, other than its beginning. The file's blocks are kept, and the first one
            reaches to the end of the block after the one that holds the byte before `offset`.
    """
    begun = bytearray()  # of a block; the pieces, which may be large, are not copied as a whole
    size = BLOCK if not offset else ((offset - 1) // BLOCK + 2) * BLOCK - offset
    for piece in pieces:
        at = 0
        while len(begun) + len(piece) - at >= size:
            end = at + size - len(begun)
            yield bytes(begun + piece[at:end]) if begun else piece[at:end]
            begun.clear()
            at, size = end, BLOCK
        begun += piece[at:] if at else piece
    if begun:
        yield bytes(begun)


def gunzip(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Decompress gzip (one member or several, zero padding allowed), at most `BLOCK` bytes at a time.

    Raises:
        TableError: `unreadable_file` when it is no gzip or ends too early.
    """
    inflater = zlib.decompressobj(wbits=31)
    begun = False
    for piece in pieces:
        rest, more = piece, False
        while rest or more:
            if inflater.eof:
                rest = rest.lstrip(b"\0")
                if not rest:
                    break
                inflater = zlib.decompressobj(wbits=31)
            begun = True
            try:
                out = inflater.decompress(rest, BLOCK)
            except zlib.error as error:
                raise TableError("unreadable_file", f"The file is no sound gzip file ({error}).") from error
            rest = inflater.unused_data if inflater.eof else inflater.unconsumed_tail
            more = len(out) == BLOCK and not inflater.eof
            yield out
    if begun and not inflater.eof:
        raise TableError("unreadable_file", "The gzip file is cut short: its end is missing.")


def spool(pieces: Iterable[bytes]) -> IO[bytes]:
    """A temporary file with these bytes, gone when it is closed: for formats whose readers seek."""
    file = tempfile.TemporaryFile()  # noqa: SIM115 - the caller closes it
    try:
        for piece in pieces:
            file.write(piece)
    except BaseException:
        file.close()
        raise
    file.seek(0)
    return file


def refuse_binary(head: bytes) -> None:
    """Raise TableError `binary_file` when a file's first bytes are those of a well-known binary format."""
    for magic, what in _MAGIC:
        if head.startswith(magic):
            raise TableError("binary_file", f"The file is named like a text table, but it looks like {what}.")


def encoding_of(head: bytes) -> str:
    """The encoding that a file's first block speaks for; plain `utf-8` is a guess that its further bytes may refute."""
    for bom, encoding in _BOMS:
        if head.startswith(bom):
            return encoding
    first, second = head[:_HEAD:2], head[1:_HEAD:2]
    zeros, others = first.count(0), second.count(0)
    # UTF-16 without a mark: in a table most characters are ASCII, so every other byte is zero, and only every other.
    if others >= 0.4 * max(len(second), 1) and not zeros:
        return "utf-16-le"
    if zeros >= 0.4 * max(len(first), 1) and not others:
        return "utf-16-be"
    return "utf-8"


def weaker_encoding(error: UnicodeDecodeError) -> str:
    """What to try after an encoding did not fit some byte of the file.

    Raises:
        TableError: `unknown_encoding` when it was no guess.
    """
    if error.encoding == "utf-8":
        return "cp1252"
    if error.encoding == "charmap":  # what Python calls cp1252 here
        return "latin-1"
    message = f"The file begins like {error.encoding.upper()}, but it is not: {error.reason}."
    raise TableError("unknown_encoding", message) from error


def decode(data: Iterable[bytes], encoding: str) -> Iterator[str]:
    """Text of blocks of bytes, without a byte order mark; nothing empty.

    Raises:
        UnicodeDecodeError: some byte does not fit the encoding.
        TableError: `binary_file` when the text holds NUL characters, or many control characters at its beginning.
    """
    decoder = codecs.getincrementaldecoder(encoding)()
    first = True
    for text in _decoded(data, decoder):
        if first:
            text = text.removeprefix("\ufeff").removeprefix(_MARK_MISREAD)
            head = text[:_HEAD]
            if 50 * sum(map(head.count, _NO_TEXT)) > len(head):
                raise TableError("binary_file", "The file is named like a text table, but it holds no text.")
        if "\0" in text:
            raise TableError("binary_file", "The file holds NUL characters: it is no text table.")
        first = False
        if text:
            yield text


def encoded_size(text: str, encoding: str) -> int:
    """How many bytes of a file a part of its text took."""
    if text.isascii() and not encoding.startswith(("utf-16", "utf-32")):
        return len(text)
    return len(text.encode(encoding.removesuffix("-sig")))


def mark_size(head: bytes, encoding: str) -> int:
    """How many bytes at the beginning of a file `decode` leaves out: byte order marks."""
    size = 0
    marks = ["\ufeff", "\ufeff"] if encoding.endswith("-sig") else ["\ufeff"]
    for mark in (*marks, _MARK_MISREAD):
        written = mark.encode(encoding.removesuffix("-sig"), "ignore")
        size += len(written) if written and head.startswith(written, size) else 0
    return size


def decode_from(data: Iterable[bytes], encoding: str) -> Iterator[str]:
    """Text of blocks of bytes from the middle of a text that `decode` has read before; nothing empty."""
    decoder = codecs.getincrementaldecoder(encoding.removesuffix("-sig"))()
    return (text for text in _decoded(data, decoder) if text)


def _decoded(data: Iterable[bytes], decoder: codecs.IncrementalDecoder) -> Iterator[str]:
    for block in data:
        yield decoder.decode(block)
    yield decoder.decode(b"", True)
