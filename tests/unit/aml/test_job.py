"""How every entry of the training job ends, and the words that their command lines share."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from aml.columns import InputError
from aml.contract import ContractError
from aml.job import carry_out, contamination_of, folder_of, version_of


def _failing(error: Exception) -> Callable[[], str]:
    def work() -> str:
        raise error

    return work


def test_a_job_that_succeeds_says_so_and_leaves_nothing_of_its_own(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert carry_out(lambda: "trained on 720 rows", tmp_path / "model") == 0

    assert capsys.readouterr() == ("trained on 720 rows\n", "")
    assert not (tmp_path / "model").exists()


@pytest.mark.parametrize(
    "error", [ContractError("unknown_dataset", "There is no é."), InputError("no_rows", "There is no row.", row=3)]
)
def test_what_is_wrong_with_data_or_contract_is_one_line_and_a_file(
    error: ContractError | InputError, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert carry_out(_failing(error), tmp_path / "not" / "there") == 2

    assert capsys.readouterr() == ("", f"{error.code}: {error.message}\n")
    left = json.loads((tmp_path / "not" / "there" / "error.json").read_text(encoding="utf-8"))
    assert left == {"code": error.code, "message": error.message}


def test_a_crash_leaves_its_reason_and_is_raised_as_it_came(tmp_path: Path) -> None:
    error = MemoryError("no room for 300 trees")

    with pytest.raises(MemoryError) as raised:
        carry_out(_failing(error), tmp_path)

    assert raised.value is error
    left = json.loads((tmp_path / "error.json").read_text(encoding="utf-8"))
    assert left == {"code": "training_crashed", "message": "MemoryError: no room for 300 trees"}


def test_words_of_a_command_line_stand_for_what_a_job_cannot_leave_out() -> None:
    assert folder_of("none") is None
    assert folder_of("some/folder") == Path("some/folder")
    assert contamination_of("contract") is None
    assert (contamination_of("0.5"), version_of("12")) == (0.5, 12)


@pytest.mark.parametrize("text", ["0", "0.51", "-1", "nan"])
def test_a_share_that_nothing_can_have_is_refused(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="at most"):
        contamination_of(text)


def test_versions_are_counted_from_one() -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="at least 1"):
        version_of("0")
