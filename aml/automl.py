"""The step before an AutoML job: the table that AutoML is to search on.

    python -m aml.automl --dataset penguins --data FILE --table FOLDER

FILE is as for `aml.train`. The folder receives an MLTable of the rows that the training job afterwards, under the same
contract, does not hold out, with the contract's features worked out (`aml.tabular.automl`). Bad data end as they do in
`aml.train`: exit code 2 and `error.json`.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from aml.contract import load_contract
from aml.job import carry_out
from aml.tabular.automl import table_of, write_table
from aml.tabular.training import featured, hold_out, prepare
from aml.train import read_table


def main(argv: Sequence[str] | None = None) -> int:
    """Run the step; returns its exit code, see `aml.job.carry_out`."""
    parser = argparse.ArgumentParser(
        prog="python -m aml.automl", description="Write the table that AutoML searches on."
    )
    parser.add_argument("--dataset", required=True, help="name of a declared dataset, a classification")
    parser.add_argument("--data", required=True, type=Path, help="Parquet or plain CSV file")
    parser.add_argument("--table", required=True, type=Path, help="folder for the MLTable")
    arguments = parser.parse_args(argv)
    return carry_out(lambda: _written(arguments), arguments.table)


def _written(arguments: argparse.Namespace) -> str:
    contract = load_contract(arguments.dataset)
    held = hold_out(prepare(read_table(arguments.data), contract), contract)
    _, matrix, classes = featured(held, contract)
    table = table_of(matrix, classes, contract.split.seed)
    write_table(arguments.table, table)
    return f"{table.num_rows} rows of {table.num_columns - 1} columns"


if __name__ == "__main__":
    sys.exit(main())
