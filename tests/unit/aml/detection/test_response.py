"""What follows a temperature: expected from it, judged without it where it is missing, and the same for any cut."""

import json

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.pipeline import Pipeline

from aml.contract import Column, DatasetContract
from aml.detection.findings import Detections
from aml.forest import Scorer, build_pipeline
from aml.messages import ARROW, JSON
from aml.rows import Floats, Rows, concatenate
from aml.serving import Service
from tests.unit.aml.detection.pieces import alike_in_pieces
from tests.unit.aml.streams import CONTEXT_ROWS, HOUR_US, METERS, streams

_MONDAY = 1_704_067_200_000_000
_DAYS = 120


def temperature(hours: Floats, seed: int) -> Floats:
    """Weather that stays for days, and days warmer than nights."""
    days = np.random.default_rng([seed, 7]).normal(0, 4, int(hours.max()) // 24 + 3)
    day = (hours // 24).astype(np.int64)
    smooth = (days[day] + days[day + 1] + days[day + 2]) / 1.5
    warm: Floats = 10 + smooth + 3 * np.cos((hours % 24 - 15) / 12 * np.pi)
    return warm


def heated(days: int, seed: int, begin: int = 0, name: str = METERS[0]) -> Rows:
    """Hourly volumes of a boiler: what the half day was colder than 20 degrees, and warm water."""
    hours = begin + np.arange(days * 24, dtype=np.float64)
    degrees = temperature(np.arange((begin + days * 24) + 24.0), seed)
    slow = np.array([degrees[max(0, int(at) - 11) : int(at) + 1].mean() for at in hours])
    water = 0.5 + 0.3 * np.sin((hours % 24 - 9) / 12 * np.pi)
    noise = np.random.default_rng([seed, begin]).lognormal(0, 0.08, len(hours))
    value = (0.3 * np.maximum(20 - slow, 0) + water) * noise
    time = _MONDAY + hours.astype(np.int64) * HOUR_US
    outside = degrees[hours.astype(np.int64)][:, None]
    return Rows(time, value, np.zeros(len(hours), np.int64), (name,), outside)


def without(rows: Rows, missing: slice | None = None) -> Rows:
    """The rows without a temperature, or without that of some of them."""
    assert rows.outside is not None
    outside = rows.outside.copy()
    outside[missing or slice(None)] = np.nan
    return Rows(rows.time, rows.value, rows.series, rows.names, outside)


@pytest.fixture(scope="module")
def pipeline(gas: DatasetContract) -> Pipeline:
    contract = gas.model_copy(update={"holidays": None})
    return build_pipeline(contract, 0.01).set_params(detector__n_estimators=20).fit(heated(_DAYS, 1))


@pytest.fixture(scope="module")
def blind(gas: DatasetContract, pipeline: Pipeline) -> Pipeline:
    """A model that never heard of a temperature, with the threshold of the one that has."""
    contract = gas.model_copy(update={"holidays": None})
    rows = heated(_DAYS, 1)
    plain = Rows(rows.time, rows.value, rows.series, rows.names)
    blind = build_pipeline(contract, 0.01).set_params(detector__n_estimators=20).fit(plain)
    blind.named_steps["detector"].warn_above(pipeline.named_steps["detector"].threshold_)
    return blind


@pytest.fixture(scope="module")
def later() -> Rows:
    return heated(60, 1, begin=_DAYS * 24)


def same(one: Detections, other: Detections) -> bool:
    return all(
        getattr(one, name).tobytes() == getattr(other, name).tobytes() for name in Detections.__dataclass_fields__
    )


def test_what_is_expected_follows_the_temperature(pipeline: Pipeline, blind: Pipeline, later: Rows) -> None:
    found, unaware = (Scorer(each).detect(later).after(29 * 24) for each in (pipeline, blind))
    seen = later.value[29 * 24 :]

    assert np.abs(found.expected - seen).mean() < 0.5 * np.abs(unaware.expected - seen).mean()
    assert found.anomaly.mean() < 0.03
    assert (found.upper - found.lower).mean() < 0.7 * (unaware.upper - unaware.lower).mean()


def test_heating_that_the_weather_does_not_explain_is_found(pipeline: Pipeline, later: Rows) -> None:
    value = later.value.copy()
    value[-12:] *= 1.6

    found = Scorer(pipeline).detect(later.with_values(value))

    assert found.anomaly[-12:].any()
    assert not Scorer(pipeline).detect(later).anomaly[-12:].any()


def test_without_the_temperature_it_is_the_model_without(pipeline: Pipeline, blind: Pipeline, later: Rows) -> None:
    plain = Rows(later.time, later.value, later.series, later.names)

    for rows in (without(later), plain):
        assert same(Scorer(pipeline).detect(rows), Scorer(blind).detect(plain))
    np.testing.assert_array_equal(pipeline.score_samples(without(later)), blind.score_samples(plain))


def test_numbers_that_were_not_learnt_from_say_nothing(pipeline: Pipeline, later: Rows) -> None:
    """As of rows that were held out when the contract named others."""
    assert later.outside is not None
    more = Rows(later.time, later.value, later.series, later.names, np.hstack([later.outside, later.outside]))

    assert same(Scorer(pipeline).detect(more), Scorer(pipeline).detect(without(later)))


def test_rows_after_an_outage_of_the_thermometer_are_judged_without_it(
    pipeline: Pipeline, blind: Pipeline, later: Rows
) -> None:
    gone = slice(800, 840)
    plain = Rows(later.time, later.value, later.series, later.names)

    found, whole, unaware = (
        Scorer(each).detect(rows)
        for each, rows in ((pipeline, without(later, gone)), (pipeline, later), (blind, plain))
    )

    assert (found.score[:800] == whole.score[:800]).all()
    assert (found.score[820:960] == unaware.score[820:960]).all()  # till few rows of the last week are without it
    assert (found.score[1_000:] != unaware.score[1_000:]).any()
    few = Scorer(pipeline).detect(without(later, slice(800, 804)))
    assert (few.score[804:] != unaware.score[804:]).any()
    assert np.isfinite(few.score).all()


def test_an_outage_in_the_training_data_does_not_dull_what_is_judged_by_the_temperature(
    gas: DatasetContract, later: Rows
) -> None:
    contract = gas.model_copy(update={"holidays": None})
    rows = heated(_DAYS, 1)
    taught = without(rows, slice(len(rows) * 3 // 10, len(rows) * 7 // 10))
    spiked, value = np.arange(300, len(later), 50), later.value.copy()
    value[spiked] *= 1.8

    pipeline = build_pipeline(contract, 0.01).set_params(detector__n_estimators=20).fit(taught)

    assert Scorer(pipeline).detect(later.with_values(value)).anomaly[spiked].mean() > 0.65
    assert Scorer(pipeline).detect(later).anomaly.mean() < 0.03


def test_a_file_that_hardly_has_a_temperature_teaches_nothing_of_it(gas: DatasetContract) -> None:
    rows = heated(30, 2)
    plain = Rows(rows.time, rows.value, rows.series, rows.names)
    small = build_pipeline(gas, 0.02).set_params(detector__n_estimators=6)

    taught = small.fit(without(rows, slice(200, None)))
    found = Scorer(taught).detect(rows)

    assert taught.named_steps["signals"].response_ is None
    assert same(found, Scorer(build_pipeline(gas, 0.02).set_params(detector__n_estimators=6).fit(plain)).detect(plain))


def test_a_response_is_learnt_to_the_same_bits(gas: DatasetContract) -> None:
    rows = heated(30, 2)
    one, again = (build_pipeline(gas, 0.02).set_params(detector__n_estimators=6).fit(rows) for _ in range(2))

    assert same(Scorer(one).detect(rows), Scorer(again).detect(rows))
    assert -Scorer(one).detect(rows).score == pytest.approx(one.score_samples(rows), abs=0)


@pytest.fixture(scope="module")
def small(gas: DatasetContract) -> Pipeline:
    rows = concatenate([heated(21, 1), heated(21, 2, name=METERS[1])])
    contract = gas.model_copy(update={"context_rows": CONTEXT_ROWS})
    return build_pipeline(contract, 0.02).set_params(detector__n_estimators=10).fit(rows)


@settings(max_examples=40)
@given(streams(longest=120), st.data())
def test_nothing_that_is_said_depends_on_how_rows_are_cut(small: Pipeline, rows: Rows, data: st.DataObject) -> None:
    """Two meters that were seen and one that was not; temperatures that come and go."""
    drawn = st.one_of(st.just(np.nan), st.floats(-30, 40), st.sampled_from([1e300, -1e300]))
    often = data.draw(st.sampled_from([0, 30, 100]))
    random = np.random.default_rng(data.draw(st.integers(0, 99)))
    degrees = np.where(random.integers(0, 100, len(rows)) < often, np.nan, random.normal(10, 8, len(rows)))
    degrees[0] = data.draw(drawn)
    rows = Rows(rows.time, rows.value, rows.series, rows.names, degrees[:, None])

    assert np.isfinite(alike_in_pieces(Scorer(small), rows, data).score).all()


def test_a_temperature_goes_over_both_wires_alike(gas: DatasetContract, small: Pipeline) -> None:
    columns = [*gas.columns, Column(name="Temperatura", type="number", required=False, aliases=("temp",))]
    contract = gas.model_copy(update={"columns": tuple(columns), "exogenous": ("Temperatura",)})
    service = Service(contract, Scorer(small))
    times = [f"2024-02-01 {hour:02d}:00:00" for hour in range(24)]
    values, degrees = np.linspace(1, 3, 24).tolist(), [None if hour == 7 else float(hour) for hour in range(24)]

    def asked(**more: list[float | None]) -> list[float]:
        data = {"FechaHora": times, "VolCorrected": values, "Serie": [METERS[0]] * 24, **more}
        sink = pa.BufferOutputStream()
        table = pa.table(data)
        with pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table)
        told = pa.ipc.open_stream(service.answer(ARROW, sink.getvalue().to_pybytes()).body).read_all()
        records = [dict(zip(data, row, strict=True)) for row in zip(*data.values(), strict=True)]
        answer = json.loads(service.answer(JSON, json.dumps({"data": records}).encode()).body)
        assert [row["expected"] for row in answer["predictions"]] == told.column("expected").to_pylist()
        expected: list[float] = told.column("expected").to_pylist()
        return expected

    assert asked(temp=degrees) != asked()
    assert asked(temp=[None] * 24) == asked()
