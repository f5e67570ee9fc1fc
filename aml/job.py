"""What the entries of the training job have in common: words of their command lines, and how they end."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path

from aml.columns import InputError
from aml.contract import ContractError


def carry_out(work: Callable[[], str], folder: Path) -> int:
    """Do the work and print what it has to say; whatever it fails of is written into the folder.

    Args:
        work: raises ContractError or InputError where the data or the contract are at fault.
        folder: of the job's output; is made when it is not there. A job that fails leaves `error.json` in it, an object
            of `code` and `message`: Azure ML keeps what was written into a mounted output, and the app reads it there.

    Returns:
        The exit code: 0; or 2 where the data or the contract are at fault, with `code: message` on stderr.

    Raises:
        Exception: any other, as it came; its code is ``training_crashed``.
    """
    try:
        print(work())
    except (ContractError, InputError) as error:
        print(f"{error.code}: {error.message}", file=sys.stderr)
        _leave_reason(folder, error.code, error.message)
        return 2
    except Exception as error:
        _leave_reason(folder, "training_crashed", f"{type(error).__name__}: {error}")
        raise
    return 0


def folder_of(text: str) -> Path | None:
    """The folder that a command line names; None for `none`."""
    # A command job has no optional inputs, so the job's YAML says "none" where there is no model to compare with.
    return None if text == "none" else Path(text)


def version_of(text: str) -> int:
    """The model version that a command line names."""
    version = int(text)
    if version < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return version


def contamination_of(text: str) -> float | None:
    """The share that a command line names; None for `contract`: that which the contract declares."""
    # A pipeline hands every input to its steps, so that there is a word for none.
    if text == "contract":
        return None
    share = float(text)
    if not 0 < share <= 0.5:
        raise argparse.ArgumentTypeError("must be above 0 and at most 0.5")
    return share


def _leave_reason(folder: Path, code: str, message: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "error.json").write_text(json.dumps({"code": code, "message": message}), encoding="utf-8")
