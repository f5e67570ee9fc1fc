"""What is wrong with single rows, as a page in Spanish says it: every sentence that reading a file can come to."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from aml.contract import DatasetContract
from shared.drift.profile import Profiles, Reference
from shared.drift.verdict import judge
from shared.naming import TRAINING
from shared.reporting.labels import Labels
from shared.reporting.reasons import _OF_DRIFT, _OF_ROWS, Reasons
from shared.tables import BytesSource, survey
from tests.fakes.blobs import FakeBlobStore
from tests.fakes.clock import FakeClock

CONTRACT = DatasetContract.model_validate(
    {
        "name": "birds",
        "task": "classification",
        "model_name": "classifier_birds",
        "language": "es",
        "target": "species",
        "columns": [
            {"name": "when", "type": "time"},
            {"name": "size", "type": "number", "minimum": 1.5, "maximum": 1e6},
            {"name": "weight", "type": "number"},
            {"name": "ratio", "type": "number", "otherwise": "size / weight"},
            {"name": "sex", "type": "text", "categories": ["female", "male"], "impute": "mode"},
            {"name": "code", "type": "text", "length": 3},
            {"name": "species", "type": "text", "required": False, "categories": ["crane", "heron"]},
        ],
        "features": [
            {"name": "month", "expression": "month(when)"},
            *({"column": name} for name in ("size", "ratio")),
            *({"column": name, "encode": "one_hot"} for name in ("sex", "code")),
        ],
        "models": [{"name": "tree", "algorithm": "decision_tree"}],
        "training": {"min_rows": 60, "max_unusable_share": 0.2},
    }
)
HEADER = "when;size;weight;sex;code"
ROWS = {
    "2026-13-45;3;2;male;abc": "when: '2026-13-45' no es una fecha",
    "2026-01-02;;2;male;abc": "size está vacío",
    "2026-01-02;inf;2;male;abc": "size no es finito",
    "2026-01-02;x is below 3;2;male;abc": "size: 'x is below 3' no es un número",
    "2026-01-02;1;2;male;abc": "size: '1' es menor que 1,5",
    "2026-01-02;2000000;2;male;abc": "size: '2000000' es mayor que 1.000.000",
    "2026-01-02;3;2;'it''s;abc": """sex: "'it''s" no es ninguno de female, male""",
    "2026-01-02;3;2;male;ab": "code: 'ab' tiene 2 caracteres, no 3",
    "2026-01-02;3;0;male;abc": "ratio no se puede calcular a partir de size y weight",
    "2026-01-02;1;2;none; code is empty;ab": "la línea tiene 6 campos y la cabecera 5",
    "2026-01-02;1;2;male;a; sex is e": "la línea tiene 6 campos y la cabecera 5",
    "alone": "la línea tiene 1 campo y la cabecera 5",
    '2026-01-02;3;2;"ma"le;abc': "hay texto detrás de la comilla que cierra un campo",
    '2026-01-02;3;2;"male;abc': "aquí se abre un campo entre comillas que no se cierra",
    "2026-01-02;1;2;bird;ab": "size: '1' es menor que 1,5; sex: 'bird' no es ninguno de female, male; "
    "code: 'ab' tiene 2 caracteres, no 3",
}
WARNED = {"2026-01-02;3;2;NA;abc": "sex está vacío; lo completa el modelo"}


def told(row: str) -> Iterator[str]:
    """In English, what is wrong with a row among others that are sound."""
    text = f"{HEADER}\n2026-01-01;3;2;male;abc\n2026-01-01;4;2;female;abd\n{row}\n"
    found = survey(BytesSource("birds.csv", text.encode()), CONTRACT)
    for example in (*found.examples, *found.rejects.examples):
        yield example.reason
    for kinds in found.warnings.values():
        yield from (example.reason for tally in kinds.values() for example in tally.examples)


@pytest.fixture
def reasons() -> Reasons:
    return Reasons(CONTRACT, Labels("es"))


@pytest.mark.parametrize("row", [*ROWS, *WARNED])
def test_what_reading_finds_is_told_in_spanish(row: str, reasons: Reasons) -> None:
    (english,) = told(row)

    assert reasons(english) == (ROWS | WARNED)[row]


def test_no_other_sentence_is_known_than_reading_comes_to(reasons: Reasons) -> None:
    come_to = {known for row in (*ROWS, *WARNED) for english in told(row) for known in reasons.sentences(english)}
    of_workbooks = "a value beyond the header's 5 columns"

    assert reasons(of_workbooks) == "hay un valor más allá de las 5 columnas de la cabecera"
    assert come_to | set(reasons.sentences(of_workbooks)) == set(_OF_ROWS)


def test_why_there_is_no_drift_to_tell_is_in_spanish_too(reasons: Reasons) -> None:
    blobs = FakeBlobStore(FakeClock())
    blobs.ensure_containers([TRAINING])
    blobs.put(TRAINING, "birds/2/model/profile.json", b"no profile")
    profiles = Profiles(blobs)
    least = CONTRACT.drift.min_rows
    few: Any = SimpleNamespace(usable=least - 1)
    sound: Any = "a profile"

    found = [judge(profiles.find("birds", run), None, CONTRACT)["reason"] for run in ("", "1", "2")]
    found.append(judge(Reference(sound), few, CONTRACT)["reason"])

    assert list(map(reasons, found)) == [
        "el endpoint es ajeno y no se sabe con qué datos se entrenó su modelo",
        "el entrenamiento 1 no dejó ningún perfil de sus datos",
        "no se puede leer el perfil training/birds/2/model/profile.json",
        f"{least - 1} filas utilizables son pocas para distinguir la deriva del azar; hacen falta {least}",
    ]
    assert {known for reason in found for known in reasons.sentences(reason)} == set(_OF_DRIFT)


def test_what_nobody_has_foreseen_stays_as_it_is(reasons: Reasons) -> None:
    for text in ("a new thing", "size is odd", "size is empty; and then something", "", "size is empty\nsize is empty"):
        assert reasons(text) == text


@pytest.mark.parametrize("row", [*ROWS, *WARNED])
def test_in_english_everything_stays_as_it_is(row: str) -> None:
    english = Reasons(CONTRACT, Labels("en"))

    for reason in told(row):
        assert english(reason) == reason
