"""Text into rows: lines, quoted fields, and the lines that are no rows.

A line ends with `\\n`, `\\r\\n` or `\\r`. A field that begins with `"` is quoted as in RFC 4180 and may hold line ends;
a quote further on in an unquoted field is an ordinary character. Lines of nothing but blanks are no rows. A quoted
field that never closes, or is followed by more text, costs the line on which it opens; the lines after it are read as
if it had not been there.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from shared.tables.cells import DELIMITER, LineRows, TextRows
from shared.tables.model import Block, Reject, TableError

MAX_LINE = 1 << 24
"""Characters that one line may have."""
MAX_FIELD = 4 * MAX_LINE
"""Characters of a field that the csv module is to take, whose own limit (131072) is far below."""
MAX_RECORD = 1 << 22
"""Characters after which a quoted field that has not closed is taken to be a mistake."""

_LINE = re.compile(r"[^\r\n]*(?:\r\n?|\n)|[^\r\n]+")
_BLANKS = " \t\r\n"
_NEWLINE, _SEPARATOR, _QUOTE = b"\n" + DELIMITER.encode() + b'"'
_UNCLOSED = "a quoted field opens here and does not close"
_MALFORMED = "text follows the closing quote of a field"


def whole_lines(texts: Iterator[str]) -> Iterator[tuple[str, bool]]:
    """The same text cut after line ends, and whether it is the last of it; only the last may lack its line end.

    Raises:
        TableError: `line_too_long`.
    """
    carry, line = "", 1
    for text in texts:
        text = carry + text
        # A final \r stays back: the \n that belongs to it may come next.
        cut = max(text.rfind("\n"), text.rfind("\r", 0, -1)) + 1
        if cut:
            line += text.count("\n", 0, cut)
            yield text[:cut], False
        carry = text[cut:]
        if len(carry) > MAX_LINE:
            raise TableError("line_too_long", f"Line {line} has more than {MAX_LINE} characters.", line)
    yield carry, True


class Splitter:
    """Splits a text, given in whole lines, into its header and its rows.

    Args:
        header, line: for a text that begins in the middle of a table: what is known already, and the number of its
            first line.

    Attributes:
        header: the first row's fields, once it has been met.
        quoted: a quote has been met.
        ends: the kinds of line ends met.
    """

    def __init__(self, delimiter: str, header: Sequence[str] | None = None, line: int = 1) -> None:
        self.header: list[str] | None = None if header is None else list(header)
        self.quoted = False
        self.ends: set[str] = set()
        self._delimiter = delimiter
        self._line = line  # number of the next physical line
        self._carry: list[str] = []  # lines of a record that is still open
        self._alone = 0  # lines before this one are read one by one, see _broken
        # whole_lines and MAX_RECORD bound the fields for us
        csv.field_size_limit(max(csv.field_size_limit(), MAX_FIELD))

    @property
    def next_line(self) -> int | None:
        """The number of the line that comes next, where a splitter that knows nothing but the header would go on as
        this one does; None where a record is open, or lines are still read one by one."""
        free = self.header is not None and not self._carry and self._line >= self._alone
        return self._line if free else None

    def split(self, text: str, last: bool) -> Block:
        """The rows that `text` completes. Pass `last` with the end of the file, so that nothing is left waiting.

        Raises:
            TableError: `bad_header` when the first line is broken.
        """
        self._note_ends(text)
        if '"' in text or self._carry or self._line < self._alone:
            self.quoted = self.quoted or '"' in text
            return self._split_quoted(text, last)
        if "\r" in text:
            text = text.replace("\r\n", "\n").replace("\r", "\n")
        while self.header is None and (cut := text.find("\n") + 1):
            self._split_plain(text[:cut])  # the header by itself, or a blank line before it
            text = text[cut:]
        return self._split_evenly(text) or self._split_plain(text)

    def _note_ends(self, text: str) -> None:
        returns = text.count("\r\n") if "\r" in text else 0
        if returns:
            self.ends.add("\r\n")
        if "\n" in text and (not returns or text.count("\n") > returns):
            self.ends.add("\n")
        if "\r" in text and text.count("\r") > returns:
            self.ends.add("\r")

    def _split_evenly(self, text: str) -> Block | None:
        """Lines that are all as wide as the header, left whole; None when they are not."""
        if not self._delimiter.isascii() or text.startswith("\ufeff"):
            return None
        if self._delimiter != DELIMITER:
            if DELIMITER in text:
                return None
            text = text.replace(self._delimiter, DELIMITER)
        data = _ended(text.encode())
        codes = np.frombuffer(data, np.uint8)
        return self._even(data, np.flatnonzero((codes == _NEWLINE) | (codes == _SEPARATOR)))

    def _even(self, data: bytes, ends: NDArray[np.intp]) -> Block | None:
        """Lines with `;` between their fields, left whole; None when not all are as wide as the header.

        Args:
            ends: where the fields end.
        """
        width = len(self.header or ())
        if width < 2:
            return None
        lines = ends[width - 1 :: width]
        codes = np.frombuffer(data, np.uint8)
        if len(ends) != len(lines) * width or len(lines) != data.count(b"\n") or (codes[lines] != _NEWLINE).any():
            return None
        numbers = range(self._line, self._line + len(lines))
        self._line += len(lines)
        return Block(LineRows(data, np.concatenate(([0], lines + 1)), width, b'"' in data), numbers, [])

    def _split_plain(self, text: str) -> Block:
        raws = text.split("\n")
        if not raws[-1]:
            raws.pop()
        delimiter = self._delimiter
        rows = [raw.split(delimiter) for raw in raws] if delimiter else [[raw] for raw in raws]
        lines = range(self._line, self._line + len(raws))
        self._line += len(raws)
        return self._fit(rows, raws.__getitem__, lines, [])

    def _split_quoted(self, text: str, last: bool) -> Block:
        if self.header is not None and not self._carry and self._line >= self._alone:
            plain = fewest_quotes(text, self._delimiter)
            block = None if plain is None else self._even(*plain)
            if block is not None:
                return block
        raws = self._carry + _LINE.findall(text)
        rows = self._one_a_line(raws)
        if rows is not None:
            lines = range(self._line, self._line + len(raws))
            self._line += len(raws)
            self._carry = []
            return self._fit(rows, lambda at: raws[at].rstrip("\r\n"), lines, [])
        return self._split_carefully(raws, last)

    def _one_a_line(self, raws: list[str]) -> list[list[str]] | None:
        """The rows when each line is one, as is nearly always so; else None."""
        if self._line < self._alone:
            return None
        reader = self._reader(raws)
        try:
            rows = list(reader)
        except csv.Error:
            return None
        return rows if len(rows) == len(raws) else None

    def _reader(self, lines: Iterable[str]) -> Iterator[list[str]]:
        return csv.reader(lines, delimiter=self._delimiter or "\0", strict=True)

    def _split_carefully(self, raws: list[str], last: bool) -> Block:
        self._carry = []
        rows: list[list[str]] = []
        spans: list[tuple[int, int]] = []
        broken: list[Reject] = []
        at, line = 0, self._line
        while at < len(raws):
            until = at + 1 if line + at < self._alone else len(raws)
            feed = _Feed(raws, at, until)
            try:
                for row in self._reader(feed):
                    rows.append(row)
                    spans.append((at, feed.at))
                    at = feed.at
            except csv.Error:
                waiting = feed.exhausted and until == len(raws) and line + at >= self._alone and not last
                if waiting and sum(map(len, raws[at:])) <= MAX_RECORD:
                    self._carry = raws[at:]
                    break
                broken.append(self._broken(feed, line + at, line + feed.at, raws[at]))
                at += 1
        self._line = line + at

        def raw(place: int) -> str:
            return "".join(raws[slice(*spans[place])]).rstrip("\r\n")

        return self._fit(rows, raw, [line + start for start, _ in spans], broken)

    def _broken(self, feed: _Feed, line: int, read_to: int, raw: str) -> Reject:
        """Give up the line on which a record went wrong.

        The lines that its quoted field had swallowed are read one by one, never again across line ends: so a file full
        of stray quotes takes linear time. After trouble in the middle the line of the trouble is free again.
        """
        self._alone = max(self._alone, read_to if feed.exhausted else read_to - 1)
        return Reject(line, _UNCLOSED if feed.exhausted else _MALFORMED, raw.rstrip("\r\n"))

    def _fit(
        self, rows: list[list[str]], raw: Callable[[int], str], lines: Sequence[int], rejects: list[Reject]
    ) -> Block:
        """Keep what is as wide as the header. `raw(i)` is row i as it stood, without its line end."""
        start = 0
        if self.header is None:
            start = self._take_header(rows, raw)
            if rejects and (self.header is None or rejects[0].line < lines[start - 1]):
                line, reason = rejects[0].line, rejects[0].reason
                raise TableError("bad_header", f"Line {line} should be the header, but {reason}.", line)
            if self.header is None:
                return Block(TextRows([]), [], rejects)
        width = len(self.header)
        if width > 1 and set(map(len, rows)) == {width}:
            return Block(TextRows(rows[start:]), lines[start:], rejects)
        kept: list[list[str]] = []
        kept_lines: list[int] = []
        for at in range(start, len(rows)):
            row = rows[at]
            if len(row) < 2 and not raw(at).strip(_BLANKS):
                continue
            fitted = row if len(row) == width else self._fitted(row, width)
            if fitted is None:
                fields = "1 field" if len(row) == 1 else f"{len(row)} fields"
                rejects.append(Reject(lines[at], f"{fields}, the header has {width}", raw(at)))
            else:
                kept.append(fitted)
                kept_lines.append(lines[at])
        rejects.sort(key=lambda reject: reject.line)
        return Block(TextRows(kept), kept_lines, rejects)

    def _take_header(self, rows: list[list[str]], raw: Callable[[int], str]) -> int:
        """Find the header among the first rows; answers how many rows it and what stands before it take."""
        for at, row in enumerate(rows):
            if raw(at).strip(_BLANKS) and separator_line(raw(at)) is None:
                self.header = row
                return at + 1
        return len(rows)

    def _fitted(self, row: list[str], width: int) -> list[str] | None:
        """Empty fields at the end of a row (trailing delimiters) are no fields, and nameless columns may lack them."""
        if len(row) > width:
            return None if any(row[width:]) else row[:width]
        header = self.header or []
        return None if any(header[len(row) :]) or not row else row + [""] * (width - len(row))


def _ended(data: bytes) -> bytes:
    return data if data.endswith(b"\n") else data + b"\n"


def fewest_quotes(text: str, delimiter: str) -> tuple[bytes, NDArray[np.intp]] | None:
    """The same rows with `;` between their fields, of which only those are quoted that need it, and where the fields
    end; None where a field has a line end in it, or quotes that are not as RFC 4180 has them."""
    if "\r" in text:
        text = text.replace("\r\n", "\n")  # inside quotes that is a line end too, and ends the matter below
    if len(delimiter) != 1 or not delimiter.isascii() or not text or "\r" in text:
        return None
    data, mark = _ended(text.encode()), ord(delimiter)
    codes = np.frombuffer(data, np.uint8)
    special = np.flatnonzero((codes == _NEWLINE) | (codes == _SEPARATOR) | (codes == mark) | (codes == _QUOTE))
    kinds = codes[special]
    quoting = kinds == _QUOTE
    quotes, marks, kinds = special[quoting], special[~quoting], kinds[~quoting]
    if not _well_placed(codes, quotes, mark):
        return None
    within = (np.cumsum(quoting)[~quoting] & 1).astype(np.bool_)
    bare = (kinds == _SEPARATOR) & ~within & (mark != _SEPARATOR)  # in a field that would need quotes, and has none
    if bare.any() or (within & (kinds == _NEWLINE)).any():
        return None
    dropped = np.zeros(len(special), np.bool_)
    dropped[quoting] = ~_needed(codes, quotes, marks[within & (kinds == _SEPARATOR)])
    ends = marks[~within]
    moved = ends - np.cumsum(dropped)[~quoting][~within]
    if mark != _SEPARATOR:
        codes = codes.copy()
        codes[ends[kinds[~within] == mark]] = _SEPARATOR
    if dropped.sum() == len(quotes):
        return codes.tobytes().replace(b'"', b""), moved
    kept = np.ones(len(codes), np.bool_)
    kept[special[dropped]] = False
    return codes[kept].tobytes(), moved


def _needed(codes: NDArray[np.uint8], quotes: NDArray[np.intp], separators: NDArray[np.intp]) -> NDArray[np.bool_]:
    """Which of the quotes are of fields that need them: for quotes inside, or for one of these separators."""
    # Of two quotes that stand for one, the first closes and the second opens again: between them there is nothing.
    opens = quotes[::2][(quotes[::2] == 0) | (codes[quotes[::2] - 1] != _QUOTE)]
    field = np.searchsorted(opens, quotes, side="right") - 1
    needed = np.bincount(field, minlength=len(opens)) > 2
    needed[np.searchsorted(opens, separators, side="right") - 1] = True
    found: NDArray[np.bool_] = needed[field]
    return found


def _well_placed(codes: NDArray[np.uint8], quotes: NDArray[np.intp], mark: int) -> bool:
    """Whether all quotes are at the ends of fields or stand two by two for one inside."""
    if len(quotes) % 2:
        return False
    before = np.where(quotes[::2] > 0, codes[quotes[::2] - 1], _NEWLINE)
    around = np.concatenate([before, codes[quotes[1::2] + 1]])
    return bool(((around == mark) | (around == _NEWLINE) | (around == _QUOTE)).all())


class _Feed:
    """Lines for a csv.reader. `at` is the line it takes next; `exhausted` tells that it wants more than there is."""

    def __init__(self, raws: list[str], at: int, until: int) -> None:
        self._raws = raws
        self._until = until
        self.at = at
        self.exhausted = False

    def __iter__(self) -> Iterator[str]:
        while self.at < self._until:
            self.at += 1
            yield self._raws[self.at - 1]
        self.exhausted = True


def separator_line(raw: str) -> str | None:
    """The delimiter that Excel's own first line `sep=;` declares; None for any other line."""
    found = re.fullmatch(r'"?sep=(.)"?\s*', raw)
    return found[1] if found else None
