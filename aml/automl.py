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

from aml.columns import InputError
from aml.contract import ContractError, DatasetContract, load_contract
from aml.train import leave_reason, read_table


def main(argv: Sequence[str] | None = None) -> int:
    """Run the step; returns its exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m aml.automl", description="Write the table that AutoML searches on."
    )
    parser.add_argument("--dataset", required=True, help="name of a declared dataset, a classification")
    parser.add_argument("--data", required=True, type=Path, help="Parquet or plain CSV file")
    parser.add_argument("--table", required=True, type=Path, help="folder for the MLTable")
    arguments = parser.parse_args(argv)
    try:
        rows, columns = _write(load_contract(arguments.dataset), arguments.data, arguments.table)
    except (ContractError, InputError) as error:
        print(f"{error.code}: {error.message}", file=sys.stderr)
        leave_reason(arguments.table, error.code, error.message)
        return 2
    except Exception as error:
        leave_reason(arguments.table, "training_crashed", f"{type(error).__name__}: {error}")
        raise
    print(f"{rows} rows of {columns} columns")
    return 0


def _write(contract: DatasetContract, data: Path, folder: Path) -> tuple[int, int]:
    """Rows and columns of the table."""
    from aml.tabular.automl import table_of, write_table
    from aml.tabular.training import featured, hold_out, prepare

    held = hold_out(prepare(read_table(data), contract), contract)
    _, matrix, classes = featured(held, contract)
    table = table_of(matrix, classes, contract.split.seed)
    write_table(folder, table)
    return table.num_rows, table.num_columns - 1


if __name__ == "__main__":
    sys.exit(main())
