"""Entry of the training job.

    python -m aml.train --dataset gas --data FILE --model FOLDER [--contamination 0.01] [--champion FOLDER|none]
    python -m aml.train --dataset penguins --data FILE --model FOLDER [--version 3] [--champion FOLDER|none]

A table's contract that asks for AutoML needs what that has left: `--automl FOLDER`, the outputs of its best child job,
and `--automl-table FOLDER`, what `aml.automl` wrote for it.

FILE is Parquet or a plain CSV (comma, semicolon, tab or bar; canonical or alias names). The folder of `--model`
receives `bundle.joblib`, `metrics.json` (one flat object, but for `champion`: what `aml.comparison` measured of the
model whose folder `--champion` names), `contract.json`, `profile.json` (what drift is measured
against: `aml/profile.py`), and the held-out rows (`holdout.parquet`). Bad data: one line
`code: message` on stderr and exit code 2. Whatever it fails of, the folder receives `error.json` (`aml.job`).

Where the contract has `candidates`, it chooses one of them first (`aml.selection`); where its `tuning` says so, it
searches for the model's parameters. `--trees`, `--max-samples` and `--max-features` give them instead, and `--trial`
makes it one trial of an Azure ML sweep, which logs how good it is as it goes (`aml.tuning`). All metrics are logged to
the workspace too (`aml.tracking`).

A table has a job of its own (`aml.tabular.training`, `aml.tabular.outliers`): the bundle is named after the best
algorithm, the dataset and the version that the model will have (`rf_penguins_v3.joblib`), and figures lie beside it.
"""

from __future__ import annotations

import argparse
import csv
import os
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from aml.bundle import save_bundle
from aml.choosing import DEFAULTS, Chosen, add_arguments, choose
from aml.columns import InputError, Parsed, rows_from_table
from aml.comparison import compare
from aml.contract import DatasetContract, load_contract
from aml.evaluation import Evaluation, describe, evaluate
from aml.forest import SEED, Scorer
from aml.holdout import TooFewRowsError
from aml.job import carry_out, contamination_of, folder_of, version_of
from aml.metrics_file import write_metrics
from aml.profile import Profile, make_profile, write_profile
from aml.rows import Floats, Rows
from aml.tracking import Tracker
from aml.tuning import builder
from aml.usable import require_usable, unusable_share

if TYPE_CHECKING:
    from aml.tabular.automl import FoundByAutoml

_PARQUET_MAGIC = b"PAR1"
_DELIMITERS = ",;\t|"
_DAY_US = 86_400_000_000
_SCORES_PROFILED = 200_000


def main(argv: Sequence[str] | None = None) -> int:
    """Run the job; returns its exit code, see `aml.job.carry_out`."""
    arguments = _arguments(argv)
    return carry_out(lambda: _trained(arguments), arguments.model)


def _trained(arguments: argparse.Namespace) -> str:
    contract = load_contract(arguments.dataset)
    run = _detector
    if contract.is_table:
        run = _classifiers if contract.task == "classification" else _outliers
    said = run(contract, read_table(arguments.data), arguments, Tracker.of(os.environ))
    return f"trained {contract.model_name} on {said}"


def _detector(contract: DatasetContract, table: pa.Table, arguments: argparse.Namespace, tracker: Tracker) -> str:
    """Train the detector of a series; returns what there is to say of it."""
    parsed = rows_from_table(table, contract)
    rows = usable_rows(parsed, contract)
    contamination = arguments.contamination or contract.contamination or 0.0
    unusable = unusable_share(table, parsed.problems)
    chosen = choose(rows, contract, contamination, arguments, tracker.log)
    metrics = train(rows, contract, contamination, arguments.model, arguments.champion, unusable, chosen)
    tracker.log(metrics)
    return (
        f"{metrics['rows']} rows ({len(parsed.problems)} unusable): "
        f"alert rate {metrics['alert_rate']:.4f}, recall of injected faults {metrics['recall']:.2f}"
    )


def _classifiers(contract: DatasetContract, table: pa.Table, arguments: argparse.Namespace, tracker: Tracker) -> str:
    """Train the classifiers of a table; returns what there is to say of them."""
    from aml.tabular.training import train_table  # which a series has no use for

    date = datetime.now(UTC).strftime("%Y%m%d")
    metrics = train_table(
        table,
        contract,
        arguments.model,
        arguments.champion,
        version=arguments.version,
        date=date,
        automl=_by_automl(arguments),
    )
    tracker.log(metrics)
    return (
        f"{metrics['rows']} rows: {metrics['champion_model']} is the best of {len(metrics['models'])} models, "
        f"accuracy {metrics['accuracy']:.4f}, balanced {metrics['balanced_accuracy']:.4f}"
    )


def _by_automl(arguments: argparse.Namespace) -> FoundByAutoml | None:
    from aml.tabular.automl import FoundByAutoml  # likewise

    if arguments.automl is None or arguments.automl_table is None:
        return None
    return FoundByAutoml(arguments.automl, arguments.automl_table)


def _outliers(contract: DatasetContract, table: pa.Table, arguments: argparse.Namespace, tracker: Tracker) -> str:
    """Train the isolation forest of a table; returns what there is to say of it."""
    from aml.tabular.outliers import train_outliers  # likewise

    contamination = arguments.contamination or contract.contamination or 0.0
    metrics = train_outliers(
        table,
        contract,
        arguments.model,
        arguments.champion,
        contamination=contamination,
        version=arguments.version,
    )
    tracker.log(metrics)
    return f"{metrics['rows']} rows: alert rate {metrics['alert_rate']:.4f}"


def train(
    rows: Rows,
    contract: DatasetContract,
    contamination: float,
    folder: Path,
    champion: Path | None = None,
    unusable: float = 0.0,
    chosen: Chosen = DEFAULTS,
) -> dict[str, Any]:
    """Measure on a hold-out, fit the final model on all rows, and write the five files.

    Args:
        rows: usable rows, in order of series and time.
        contamination: share of the rows, above 0 and at most 0.5, beyond the model's threshold.
        folder: is made when it is not there.
        champion: the folder of the model in service, measured on the same rows; None when there is none.
        unusable: share of the dataset's rows that are not among `rows` because they cannot be used.
        chosen: the model's parameters, where they are not the defaults, and the search that found them.

    Returns:
        What `metrics.json` holds. The bundle holds the same but for what depends on the champion and for the search.

    Raises:
        InputError: ``too_few_rows`` when nothing can be held out.
    """
    build = builder(contract, contamination, chosen.parameters, chosen.candidate)
    try:
        measured = evaluate(rows, build, contract.context_rows)
    except TooFewRowsError as error:
        raise InputError("too_few_rows", f"The file cannot train a model: {error}.") from error
    return finish(rows, contract, contamination, folder, champion, unusable, chosen, measured)


def finish(
    rows: Rows,
    contract: DatasetContract,
    contamination: float,
    folder: Path,
    champion: Path | None,
    unusable: float,
    chosen: Chosen,
    measured: Evaluation,
) -> dict[str, Any]:
    """Fit the final model, compare the `measured` one with the model in service, and write the five files.

    What `train` says of the other arguments holds here.
    """
    pipeline = builder(contract, contamination, chosen.parameters, chosen.candidate)().fit(rows)
    scorer = Scorer(pipeline)
    scores = scorer.scores(rows)
    share = float(chosen.parameters.get("contamination", contamination))
    metrics = {**describe(rows, scorer, share), **measured.metrics}
    metrics |= chosen.metrics
    compared = {**metrics, **compare(measured, champion), **chosen.as_dict()}
    profile = _profile(rows, contract, scores, unusable)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "contract.json").write_text(contract.model_dump_json(indent=1), encoding="utf-8")
    write_metrics(folder, compared)
    write_profile(folder, profile)
    measured.ground.save(folder)
    save_bundle(folder, pipeline, contract, metrics, profile)
    return compared


def _profile(rows: Rows, contract: DatasetContract, scores: Floats, unusable: float) -> Profile:
    """Of all values; of the scores of all rows or, where they are very many, of so many of them drawn by lot."""
    drawn = np.arange(len(rows))
    if len(rows) > _SCORES_PROFILED:
        drawn = np.sort(np.random.default_rng(SEED).choice(len(rows), _SCORES_PROFILED, replace=False))
    name = next(column.name for column in contract.predictions if column.type == "number")
    columns = {contract.value_column: rows.value}
    return make_profile(contract.name, rows.time, rows.series, columns, (name, scores[drawn], drawn), unusable)


def read_table(path: Path) -> pa.Table:
    """The file's columns: typed as they are in Parquet, all text in a CSV.

    Raises:
        InputError: ``unreadable_file``.
    """
    try:
        with path.open("rb") as file:
            start = file.read(4)
        if start == _PARQUET_MAGIC:
            return pa.parquet.read_table(path)
        return _read_csv(path)
    except (OSError, UnicodeDecodeError, pa.ArrowException) as error:
        why = " ".join(str(error).split())
        raise InputError("unreadable_file", f"{path.name} is neither Parquet nor a plain CSV: {why}") from error


def usable_rows(parsed: Parsed, contract: DatasetContract) -> Rows:
    """The usable rows in order of series and time, when they are enough for the contract.

    Raises:
        InputError: ``no_rows``, ``too_many_unusable``, ``too_few_rows`` or ``too_few_days``.
    """
    rules = contract.training
    require_usable(parsed.problems, len(parsed.rows), rules)
    rows = parsed.usable()
    days = (int(rows.time.max()) - int(rows.time.min())) / _DAY_US
    if days < rules.min_days:
        raise InputError("too_few_days", f"The rows span {days:.1f} days; at least {rules.min_days:g} are needed.")
    return rows.take(rows.by_series_and_time())


def _read_csv(path: Path) -> pa.Table:
    with path.open(encoding="utf-8-sig") as file:
        header = file.readline().rstrip("\r\n")
    delimiter = max(_DELIMITERS, key=header.count)
    names = next(csv.reader([header], delimiter=delimiter), [])
    return pa.csv.read_csv(
        path,
        parse_options=pa.csv.ParseOptions(delimiter=delimiter),
        convert_options=pa.csv.ConvertOptions(
            column_types={name: pa.string() for name in names}, strings_can_be_null=False
        ),
    )


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m aml.train", description="Train the model of a dataset.")
    parser.add_argument("--dataset", required=True, help="name of a declared dataset, e.g. gas")
    parser.add_argument("--data", required=True, type=Path, help="Parquet or plain CSV file")
    parser.add_argument("--model", required=True, type=Path, help="folder for the bundle, metrics and contract")
    parser.add_argument(
        "--contamination", type=contamination_of, help="share of anomalous rows; default: the contract's"
    )
    parser.add_argument(
        "--champion", type=folder_of, help="folder of the model in service; none: there is no such model"
    )
    parser.add_argument("--version", type=version_of, default=1, help="that the model will have; for the bundle's name")
    parser.add_argument("--automl", type=folder_of, help="folder of what AutoML found; none: it was not asked")
    parser.add_argument("--automl-table", type=folder_of, help="folder of the table that AutoML was given, or none")
    add_arguments(parser)
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())
