"""Any file people drop, as exact rows of text and typed columns; and the way every result table is written.

found = survey(source, contract)  # first pass: dialect, counts, whether it can be scored
for chunk in read(source, found, contract, rows_per_chunk=20_000):  # second pass
    answer = ...  # what the model says to chunk.batch
    render_scored(chunk.cells, [*render_predictions(answer, names, chunk.usable), chunk.errors])
"""

from shared.tables.cells import Cells
from shared.tables.kept import Kept
from shared.tables.model import (
    Block,
    Boundary,
    BytesSource,
    Chunk,
    Dialect,
    Example,
    Flaws,
    PartSource,
    Range,
    RangedSource,
    RecordsSource,
    Reject,
    Source,
    Survey,
    TableError,
    Tally,
    TimeFormat,
)
from shared.tables.reading import CHUNK_BYTES, read
from shared.tables.rendering import (
    REJECTS_HEADER,
    render_header,
    render_predictions,
    render_rejects,
    render_rows,
    render_scored,
    scored_header,
)
from shared.tables.surveying import Follower, survey
from shared.tables.typed import IMPUTED

__all__ = [
    "CHUNK_BYTES",
    "IMPUTED",
    "REJECTS_HEADER",
    "Block",
    "Boundary",
    "BytesSource",
    "Cells",
    "Chunk",
    "Dialect",
    "Example",
    "Flaws",
    "Follower",
    "Kept",
    "PartSource",
    "Range",
    "RangedSource",
    "RecordsSource",
    "Reject",
    "Source",
    "Survey",
    "TableError",
    "Tally",
    "TimeFormat",
    "read",
    "render_header",
    "render_predictions",
    "render_rejects",
    "render_rows",
    "render_scored",
    "scored_header",
    "survey",
]
