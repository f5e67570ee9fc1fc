"""What stands in a job's command."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from local.azureml.commands import fill, require_durations, required_references, seconds
from local.azureml.errors import ArmError


def test_references_give_way_to_values() -> None:
    command = "python -m aml.train --data ${{inputs.data}} --model ${{ outputs.model }} --share ${{inputs.share}}"

    filled = fill(command, {"data": "'/a b/data.parquet'", "share": "0.01"}, {"model": "/out/model"})

    assert filled == "python -m aml.train --data '/a b/data.parquet' --model /out/model --share 0.01"


def test_an_optional_part_stands_only_with_its_value() -> None:
    command = "train $[[--share ${{inputs.share}}]] $[[--depth ${{inputs.depth}}]]"

    assert fill(command, {"share": "0.01"}, {}).split() == ["train", "--share", "0.01"]
    assert required_references(command + " ${{outputs.model}}") == [("outputs", "model")]


@given(st.text(alphabet=st.characters(exclude_characters="$")))
def test_a_command_without_references_stays_as_it_is(command: str) -> None:
    assert fill(command, {}, {}) == command


@pytest.mark.parametrize(
    ("duration", "expected"), [("PT5S", 5), ("PT1M30S", 90), ("PT1H", 3600), ("PT0.5S", 0.5), ("PT2H3M4S", 7384)]
)
def test_durations(duration: str, expected: float) -> None:
    assert seconds(duration) == expected


@pytest.mark.parametrize("duration", ["", "PT", "5", "P1D", "PT5", "PT-5S"])
def test_what_is_no_duration_is_refused(duration: str) -> None:
    with pytest.raises(ValueError, match="is not a duration"):
        seconds(duration)


def test_a_limit_that_is_no_duration_is_refused_as_the_workspace_does() -> None:
    require_durations({"timeout": "PT5M", "trialTimeout": None}, "timeout", "trialTimeout")
    require_durations(None, "timeout")

    with pytest.raises(ArmError, match="'5 minutes' is not a duration") as refused:
        require_durations({"timeout": "PT5M", "trialTimeout": "5 minutes"}, "timeout", "trialTimeout")
    assert refused.value.status == 400
