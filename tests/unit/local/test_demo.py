"""What the demo makes up and what it tells."""

from __future__ import annotations

from datetime import datetime

from local.demo import describe, flagged_table, why
from local.sample_data import Reading, hourly_gas, plain_csv, spanish_csv, with_faults

_START = datetime(2026, 11, 1)  # noqa: DTZ001 - gas meters write local wall-clock time


def test_the_sample_is_the_same_for_the_same_seed_and_looks_like_gas() -> None:
    readings = hourly_gas(_START, 14, seed=7)

    assert readings == hourly_gas(_START, 14, seed=7)
    assert readings != hourly_gas(_START, 14, seed=8)
    assert len(readings) == 14 * 24
    assert all(reading.volume > 0 and not reading.fault for reading in readings)
    assert readings[3].volume < readings[7].volume


def test_faults_change_their_rows_only_and_are_remembered() -> None:
    clean = hourly_gas(_START, 14, seed=7)
    faulty = with_faults(clean)

    changed = [row for row in range(len(clean)) if clean[row].volume != faulty[row].volume]
    assert {faulty[row].fault for row in changed} == {"burst pipe", "stuck meter", "leak"}
    assert all(faulty[row].fault for row in changed)


def test_the_two_files_say_the_same_in_two_dialects() -> None:
    readings = [Reading(datetime(2026, 11, 13, 7), 1234.5), Reading(datetime(2026, 11, 13, 8), 0.25)]  # noqa: DTZ001

    assert plain_csv(readings) == "FechaHora,VolCorrected\n2026-11-13 07:00:00,1234.50\n2026-11-13 08:00:00,0.25\n"
    assert spanish_csv(readings, unreadable={1}) == (
        "Fecha_Hora;Caudal_m3h\n13/11/2026 07:00;1234,50\n13/11/2026 08:00;n/d\n"
    )


def test_flagged_rows_are_set_beside_what_was_done_to_them() -> None:
    readings = [Reading(_START, 1.0), Reading(_START, 9.0, "leak"), Reading(_START, 1.0, "burst pipe")]
    row = {"Fecha_Hora": "01/11/2026 00:00", "Caudal_m3h": "9,00", "anomaly_score": "0.7"}
    rows = [{**row, "anomaly": "1"}, {**row, "anomaly": "1"}, {**row, "anomaly": "0", "anomaly_score": ""}]

    assert flagged_table(rows, readings).splitlines() == [
        "Flagged: 2 of 3 rows; on the right, what the generator had done to them",
        "  01/11/2026 00:00       9,00  score 0.700  false alarm",
        "  01/11/2026 00:00       9,00  score 0.700  leak",
        "Faults hit: 1 of 2 (leak).",
    ]


def test_a_run_is_told_by_its_metrics_notes_and_reasons() -> None:
    assert describe({"state": "evaluated"}, {"metrics": {"alert_rate": 0.0123456, "days": 365}}) == "alert_rate 0.0123"
    assert describe({"state": "training", "note": "job x"}, {}) == "job x"
    assert why({"error": {"code": "missing_column", "message": "No time."}}) == "missing_column: No time."
    assert why({"verdict": {"reasons": ["recall fell", "too many alerts"]}}) == "recall fell; too many alerts"
