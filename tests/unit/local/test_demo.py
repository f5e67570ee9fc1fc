"""What the demo makes up and what it tells."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from aml.contract import GateRule
from local.demo import found, judged
from local.demo_tables import TABLES, candidates, right, shuffled
from local.playing import describe, why
from local.sample_data import Reading, hourly_gas, in_litres, plain_csv, spanish_csv, with_faults
from shared.retraining.gate import judge, recorded

_START = datetime(2026, 11, 1)  # noqa: DTZ001 - gas meters write local wall-clock time


def test_the_sample_is_the_same_for_the_same_seed_and_looks_like_gas() -> None:
    readings = hourly_gas(_START, 14, seed=7)

    assert readings == hourly_gas(_START, 14, seed=7)
    assert readings != hourly_gas(_START, 14, seed=8)
    assert len(readings) == 14 * 24
    assert all(reading.volume > 0 and not reading.fault for reading in readings)
    assert readings[3].volume < readings[7].volume


def test_faults_change_their_rows_only_and_are_remembered() -> None:
    clean = hourly_gas(_START, 30, seed=7)
    faulty = with_faults(clean)

    changed = [row for row in range(len(clean)) if clean[row].volume != faulty[row].volume]
    assert {faulty[row].fault for row in changed} == {"burst pipe", "stuck meter", "leak"}
    assert all(faulty[row].fault for row in changed)
    assert sum(bool(reading.fault) for reading in faulty) == 3 + 14 + 5 * 24


def test_the_two_files_say_the_same_in_two_dialects() -> None:
    readings = [Reading(datetime(2026, 11, 13, 7), 1234.5), Reading(datetime(2026, 11, 13, 8), 0.25)]  # noqa: DTZ001

    assert plain_csv(readings) == "FechaHora,VolCorrected\n2026-11-13 07:00:00,1234.50\n2026-11-13 08:00:00,0.25\n"
    assert spanish_csv(readings, unreadable={1}) == (
        "Fecha_Hora;Caudal_m3h\n13/11/2026 07:00;1234,50\n13/11/2026 08:00;n/d\n"
    )


def test_events_are_set_beside_what_was_done_to_them() -> None:
    hours = [_START + timedelta(hours=hour) for hour in range(4)]
    readings = [
        Reading(time, 1.0, fault) for time, fault in zip(hours, ("", "leak", "leak", "burst pipe"), strict=True)
    ]
    event = {"kind": "leak", "reason": "posible fuga", "volume": {"seen": 9.0, "excess": 1234.5}}
    events = [
        {**event, "start": "2026-11-01 00:00:00", "end": "2026-11-01 00:00:00", "volume": {"seen": 1, "excess": None}},
        {**event, "start": "2026-11-01 01:00:00", "end": "2026-11-01 02:00:00"},
    ]

    assert found({"items": events}, readings).splitlines() == [
        "Found; on the right, what the generator had done:",
        "  01/11 00:00 to 01/11 00:00  leak                     false alarm",
        "    posible fuga",
        "  01/11 01:00 to 01/11 02:00  leak          +1,234 m³  leak",
        "    posible fuga",
        "Faults found: 1 of 2 (leak).",
    ]


def test_a_run_is_told_by_its_metrics_notes_and_reasons() -> None:
    assert (
        describe({"state": "evaluated"}, {"metrics": {"alert_rate": 0.0123456, "days": 365}}, ("alert_rate", "recall"))
        == "alert_rate 0.0123"
    )
    assert describe({"state": "training", "note": "job x"}, {}, ()) == "job x"
    refused = {"verdict": {"promote": False, "reasons": ["recall is 0.5, within its bounds", "loss is 9, above 1"]}}
    assert describe({"state": "rejected"}, refused, ()) == "1 of 2 rules of the gate object"
    assert why({"error": {"code": "missing_column", "message": "No time."}}) == "missing_column: No time."
    assert why({"verdict": {"reasons": ["recall fell", "too many alerts"]}}) == "recall fell; too many alerts"


def test_the_gates_words_are_shown_as_far_as_they_object() -> None:
    rules = [GateRule(metric="recall", minimum=0.1), GateRule(metric="loss", maximum=1), GateRule(metric="none")]
    rules.append(GateRule(metric="drop", max_drop=0.1))
    verdict = recorded(judge({"recall": 0.5, "loss": 9, "drop": 0.2}, {"drop": 0.5}, rules), {})

    assert judged("gas/x.csv", {"verdict": verdict}).splitlines()[1:] == [
        "  loss is 9, above 1",
        "  none could not be measured",
        "  drop is 0.2, more than 0.1 below the champion's 0.5",
    ]


def test_a_promoted_model_is_shown_beside_the_one_before() -> None:
    names = [f"{prefix}_{name}" for prefix in ("fresh", "reference") for name in ("alert_rate", "recall", "detection")]
    run = {
        "verdict": {"promote": True, "reasons": []},
        "model_version": "2",
        "metrics": dict.fromkeys(names, 0.5),
        "champion": {"metrics": dict.fromkeys(names, 0.25)},
    }

    lines = judged("gas/x.csv", run).splitlines()
    assert "as version 2" in lines[0]
    assert [line.count("0.5 (0.25)") for line in lines] == [0, 3, 3]


def test_litres_are_a_thousand_to_the_cubic_metre() -> None:
    assert in_litres([Reading(_START, 1.25, "leak")]) == [Reading(_START, 1250.0, "leak")]


def test_the_candidates_are_a_table_with_the_champion_marked() -> None:
    models = [
        {"name": "logistic", "best": False, "metrics": {"accuracy": 0.5, "log_loss": None}},
        {"name": "svm", "best": True, "metrics": {"accuracy": 0.75}},
    ]

    header, *lines = candidates(models).splitlines()
    assert header.split() == ["accuracy", "log_loss"]
    assert [line.split() for line in lines] == [["logistic", "0.5000"], ["*", "svm", "0.7500"]]


@pytest.mark.parametrize("dataset", sorted(TABLES))
def test_a_sample_keeps_rows_back_that_it_can_be_judged_by(dataset: str) -> None:
    sample = TABLES[dataset]()
    told = [{column: row[sample.target] for column in sample.answers.values()} for row in sample.score]

    assert len(sample.train) > 4 * len(sample.score) > 200
    assert all(right(told, sample.score, column, sample.target) == 1 for column in sample.answers.values())
    worse = shuffled(sample.train, sample.target)
    classes = [row[sample.target] for row in sample.train]
    assert sorted(row[sample.target] for row in worse) == sorted(classes)
    assert [row[sample.target] for row in worse] != classes
