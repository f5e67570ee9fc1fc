"""What any training file must hold before it is trained on, whatever the task: rows, and few that cannot be used."""

from __future__ import annotations

from collections.abc import Mapping

import pyarrow as pa

from aml.columns import InputError
from aml.contract.rules import TrainingRules

_UNUSABLE = b"dropscore.unusable"


def require_usable(problems: Mapping[int, str], total: int, rules: TrainingRules) -> None:
    """Refuse a file of `total` rows of which too many have a problem (position: why).

    Raises:
        InputError: ``no_rows``, ``too_many_unusable`` or ``too_few_rows``.
    """
    if total == 0:
        raise InputError("no_rows", "The file has a header and no rows.")
    share = len(problems) / total
    if share > rules.max_unusable_share:
        row, why = min(problems.items())
        raise InputError(
            "too_many_unusable",
            f"{len(problems)} of {total} rows cannot be used ({share:.0%}, allowed are "
            f"{rules.max_unusable_share:.0%}); the first is row {row + 1}: {why}.",
        )
    usable = total - len(problems)
    if usable < rules.min_rows:
        raise InputError("too_few_rows", f"{usable} usable rows are too few; at least {rules.min_rows} are needed.")


def unusable_share(table: pa.Table, problems: Mapping[int, str]) -> float:
    """Share of the dataset's rows that cannot be used: as the app says, which left them out of its Parquet file, or as
    was found here."""
    said = (table.schema.metadata or {}).get(_UNUSABLE)
    return float(said) if said is not None else len(problems) / max(table.num_rows, 1)
