"""The replay: recent real files scored by a new deployment, pinned by name, and by the live one, before it has traffic.

Where models go into service without an endpoint, both bundles answer in process, by the endpoint's own code.

A run record's `replay` holds `files` (blob, run, rows), `rows`, `errors` (usable rows that the new model leaves without
an answer), and where rows were scored `alert_rate` (for contracts with a column `anomaly`); with a live model
`compared`, the rows that both scored, `champion_alert_rate` and `agreement`, the share of them which both answer alike
in every discrete column; and `promote` with `reasons`, as the contract's `replay` asks.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from aml.contract import DatasetContract, ReplayRules
from shared.errors import ConflictError, DropscoreError, InvalidInputError, NotFoundError
from shared.retraining.stage import Stage
from shared.runs import Run
from shared.scoring.context import conform, no_rows, time_order
from shared.scoring.revisions import place_of
from shared.scoring.scorer import Conversation, Scorer
from shared.scoring.sizing import RequestSize
from shared.scoring.targets import Target
from shared.scoring.task import BlobSource
from shared.storage import BlobInfo
from shared.tables import read, survey

_log = logging.getLogger(__name__)

ANOMALY = "anomaly"
_LOOKED_THROUGH = 50
"""So many completed runs are looked through for files that are still there."""
_LARGEST_BYTES = 20_000_000
"""A larger file is left out: a replay is one look long."""
_PATIENCE_SECONDS = 10


@dataclass(frozen=True)
class _Replayed:
    """The rows of one file as both models answered them, in the same order; null where one did not."""

    challenger: pa.Table
    champion: pa.Table | None


class Replay(Stage):
    """Finds the files, scores them twice, and compares."""

    def run(self, contract: DatasetContract, challenger: Target, champion: Target | None) -> dict[str, Any]:
        """What the record keeps.

        Raises:
            DropscoreError: the new model does not answer (`TryAgainError`), or refuses everything.
        """
        files: list[dict[str, Any]] = []
        replayed: list[_Replayed] = []
        left = self._settings.replay_rows
        for run, blob in self._recent(contract.name):
            try:
                rows, before = self._read(contract, blob, left)
            except (InvalidInputError, ConflictError, NotFoundError) as error:
                _log.info("replay leaves out %s: %s", run.blob, error)
                continue
            new = self._answers(contract, challenger, rows, before)
            old = self._champions(contract, champion, rows, before) if champion else None
            replayed.append(_Replayed(new, old))
            files.append({"blob": run.blob, "run": run.id, "rows": rows.num_rows})
            left -= rows.num_rows
            if left <= 0:
                break
        summary = {"files": files, **_compared(contract, replayed)}
        reasons = judged(summary, contract.replay)
        return {**summary, "promote": not reasons, "reasons": reasons}

    def _recent(self, dataset: str) -> Iterator[tuple[Run, BlobInfo]]:
        """The inputs of the latest completed runs that are still what they were, newest run first."""
        seen: set[str] = set()
        if not self._settings.replay_files:
            return
        for held in self._runs.search(dataset=dataset, kind="score", states=("completed",), limit=_LOOKED_THROUGH):
            run = held.run
            try:
                blob = self._blobs.info(*run.blob.split("/", 1))
            except NotFoundError:
                continue
            if blob.etag == run.etag and run.blob not in seen and blob.size <= _LARGEST_BYTES:
                seen.add(run.blob)
                yield run, blob
            if len(seen) == self._settings.replay_files:
                return

    def _read(self, contract: DatasetContract, blob: BlobInfo, at_most: int) -> tuple[pa.Table, pa.Table]:
        """The file's first usable rows in time order, and what is known from before them."""
        source = BlobSource(self._blobs, blob.container, blob.name, blob.etag, lambda: None)
        found = survey(source, contract)
        batches, count = [no_rows(contract)], 0
        for chunk in read(source, found, contract, rows_per_chunk=at_most):
            batches.append(conform(pa.Table.from_batches([chunk.batch]), contract))
            count += chunk.batch.num_rows
            if count >= at_most:
                break
        rows = pa.concat_tables(batches).slice(0, at_most).combine_chunks()
        place = place_of(f"{blob.container}/{blob.name}", contract, source, found)
        before = pa.table({}) if place is None else self._history.before(contract, place)
        return rows.take(pa.array(time_order(rows, contract))), before

    def _champions(
        self, contract: DatasetContract, target: Target, rows: pa.Table, before: pa.Table
    ) -> pa.Table | None:
        """The live model's answers; None where it gives none, which is nothing against the new one."""
        try:
            return self._answers(contract, target, rows, before)
        except DropscoreError as error:
            _log.warning("the live model did not answer the replay: %s", error, extra=error.where)
            return None

    def _answers(self, contract: DatasetContract, target: Target, rows: pa.Table, before: pa.Table) -> pa.Table:
        settings = self._settings
        with closing(self._targets.connect(target, patience=_PATIENCE_SECONDS)) as client:
            talk = Conversation(deployment=target.deployment, wire=settings.score_wire)
            size = RequestSize(settings.score_rows_per_request, settings.score_bytes_per_request)
            scorer = Scorer(client, contract, talk, in_flight=1, size=size)
            return pa.concat_tables([each.predictions for each in scorer.score([rows], before)]).combine_chunks()


def _compared(contract: DatasetContract, replayed: list[_Replayed]) -> dict[str, Any]:
    names = [column.name for column in contract.predictions if column.type != "number"]
    discrete = [ANOMALY] if ANOMALY in names else names  # the words that go with a flag may differ
    rows = sum(each.challenger.num_rows for each in replayed)
    scored = sum(_count(_scored(each.challenger)) for each in replayed)
    about: dict[str, Any] = {"rows": rows, "errors": rows - scored}
    flags = ANOMALY in discrete
    if scored and flags:
        about["alert_rate"] = round(sum(_count(_alerts(each.challenger)) for each in replayed) / scored, 6)
    both = alike = theirs = 0
    for each in replayed:
        if each.champion is not None:
            mask = pc.and_(_scored(each.challenger), _scored(each.champion))
            both += _count(mask)
            alike += _count(_alike(each.challenger.filter(mask), each.champion.filter(mask), discrete))
            theirs += _count(_alerts(each.champion.filter(mask))) if flags else 0
    if both:
        about |= {"compared": both, "agreement": round(alike / both, 6)}
        about |= {"champion_alert_rate": round(theirs / both, 6)} if flags else {}
    return about


def _scored(predictions: pa.Table) -> pa.ChunkedArray:
    return pc.is_valid(predictions.column(0))


def _alerts(predictions: pa.Table) -> pa.ChunkedArray:
    return pc.equal(predictions.column(ANOMALY), 1)


def _alike(mine: pa.Table, other: pa.Table, names: list[str]) -> pa.ChunkedArray:
    """Where every discrete column is equal; two nulls are."""
    same = _scored(mine)
    for name in names:
        left, right = mine.column(name), other.column(name)
        nulls = pc.and_(pc.is_null(left), pc.is_null(right))
        same = pc.and_(same, pc.or_(pc.fill_null(pc.equal(left, right), False), nulls))
    return same


def _count(mask: pa.ChunkedArray) -> int:
    return int(pc.sum(mask).as_py() or 0)


def judged(summary: dict[str, Any], rules: ReplayRules) -> list[str]:
    """Why a replay's outcome is not good enough; nothing where no row could be compared, or nothing is asked for."""
    found = {
        "alert_rate": (summary.get("alert_rate"), rules.max_alert_rate, "above"),
        "error_rate": (summary["errors"] / summary["rows"] if summary["rows"] else None, rules.max_error_rate, "above"),
        "agreement": (summary.get("agreement"), rules.min_agreement, "below"),
    }
    return [
        f"in the replay of recent files {name} is {value:.4g}, {side} {limit:g}"
        for name, (value, limit, side) in found.items()
        if value is not None and limit is not None and (value > limit if side == "above" else value < limit)
    ]
