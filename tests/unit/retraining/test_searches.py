"""What the record of a run with AutoML keeps of a long search."""

from __future__ import annotations

from typing import Any

from shared.retraining.searches import TRIED_KEPT, after
from shared.retraining.workspace import JobStatus
from shared.runs import Run


def at_the_search() -> Run:
    tuning = {"method": "automl", "objective": "accuracy", "goal": "maximize", "step": "search", "table": "birds-table"}
    return Run(
        id="1", kind="train", dataset="birds", blob="b", etag="e", state="training", job="birds-search", tuning=tuning
    )


def tried(*values: float | None) -> tuple[dict[str, Any], ...]:
    return tuple({"job": f"birds-search_{number}", "value": value} for number, value in enumerate(values))


def test_of_very_many_models_the_best_are_kept_in_the_order_in_which_they_were_tried() -> None:
    # 60 of them, of which every sixth has no value
    values = [None if number % 6 == 0 else number / 100 for number in range(60)]

    told = after(at_the_search(), JobStatus("succeeded", "Completed", best="birds-search_59", tried=tried(*values)))

    assert told is not None
    known = [f"birds-search_{number}" for number in range(60) if number % 6]
    assert TRIED_KEPT == len(known) == 50
    assert [each["job"] for each in told["trials"]] == known
    assert (told["measured"], told["best"]) == (60, {"job": "birds-search_59", "value": 0.59})


def test_models_of_which_nothing_is_known_are_kept_while_there_is_room() -> None:
    found = JobStatus("succeeded", "Completed", best="birds-search_1", tried=tried(None, 0.5, None))

    told = after(at_the_search(), found)

    assert told is not None
    assert [each["job"] for each in told["trials"]] == ["birds-search_0", "birds-search_1", "birds-search_2"]
    assert (told["step"], told["search"], told["found"]) == ("train", "birds-search", "birds-search_1")
