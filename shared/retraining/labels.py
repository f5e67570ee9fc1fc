"""What the label column of a dropped dataset says, where its contract declares one and the file has it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from aml.contract import DatasetContract
from aml.contract.labels import UNREADABLE, label_of
from shared.retraining.findings import Finding
from shared.tables import Chunk, Example, Tally

_EXAMPLES = 5
_SHOWN = 60


@dataclass
class Labels:
    """Counts, chunk by chunk; an empty field is no label."""

    column: str
    anomalies: int = 0
    normal: int = 0
    unreadable: int = 0
    examples: list[Example] = field(default_factory=list)

    def add(self, rows: pa.Table, chunk: Chunk) -> None:
        """The usable rows of the next chunk, with the contract's columns."""
        coded = rows.column(self.column).combine_chunks().dictionary_encode(null_encoding="encode")
        coded = coded.combine_chunks() if isinstance(coded, pa.ChunkedArray) else coded
        texts = coded.dictionary.to_pylist()
        said = np.array([label_of(text) for text in texts], np.int8)[coded.indices.to_numpy()]
        self.anomalies += int((said == 1).sum())
        self.normal += int((said == 0).sum())
        bad = np.flatnonzero(said == UNREADABLE)
        self.unreadable += len(bad)
        places, lines = np.flatnonzero(chunk.usable), [line for portion in chunk.lines for line in portion]
        first: list[int] = bad[: _EXAMPLES - len(self.examples)].tolist()
        for at in first:
            place: int = places[at].item()
            reason = f"{self.column}: {texts[coded.indices[at].as_py()][:_SHOWN]!r} is no label"
            if place < len(lines):  # a chunk of what the survey has kept knows no lines
                self.examples.append(Example(lines[place], reason))

    @property
    def there(self) -> bool:
        """Whether the file labels anything."""
        return bool(self.anomalies or self.normal or self.unreadable)

    def errors(self) -> Iterator[Finding]:
        """A column of which nothing can be read is another column, or says it in other words."""
        if self.unreadable and not (self.anomalies or self.normal):
            yield Finding("no_readable_label", self._words("none of its rows has another"), self._tally())

    def warnings(self) -> Iterator[Finding]:
        """Rows whose label counts as none."""
        if self.unreadable and (self.anomalies or self.normal):
            yield Finding("unreadable_label", self._words("they count as rows without one"), self._tally())

    def as_dict(self) -> dict[str, int]:
        """As it stands in the run record."""
        return {"anomalies": self.anomalies, "normal": self.normal, "unreadable": self.unreadable}

    def _words(self, then: str) -> str:
        rows = f"{self.unreadable} row{'' if self.unreadable == 1 else 's'}"
        return f"{self.column} holds neither 1 (or true) nor 0 (or false) in {rows}; {then}."

    def _tally(self) -> Tally:
        return Tally(self.unreadable, tuple(self.examples))


def labels_to_read(contract: DatasetContract) -> Labels | None:
    """None where the contract declares no label."""
    return None if contract.label is None else Labels(contract.label)
