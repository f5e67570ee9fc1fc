"""Labels where there are enough of them: they judge, choose, are kept, and stay out of what is learnt."""

from functools import partial
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score

from aml.contract import Candidate, DatasetContract
from aml.contract.labels import UNLABELLED
from aml.evaluation import evaluate, measure
from aml.forest import SEED, Scorer, build_pipeline
from aml.holdout import Ground, hold_out, load_ground
from aml.labelled import EPISODES_LEAST, NORMAL_LEAST, Labelled, normal_rows
from aml.rows import Rows, concatenate
from aml.selection import select
from tests.unit.aml.streams import HOUR_US, hourly

DAYS = 60


@pytest.fixture(autouse=True)
def few_faults(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("holdout.FAULTS_PER_KIND", "evaluation.FAULTS_PER_KIND", "selection.PER_KIND"):
        monkeypatch.setattr(f"aml.{name}", 3)


def labelled(every: int = 40, size: float = 4.0) -> Rows:
    """Two months of hours with two of every `every` rows too high, and said to be."""
    rows = hourly(days=DAYS)
    wrong = np.arange(len(rows)) % every < 2
    value = np.where(wrong, rows.value * size, rows.value)
    return Rows(rows.time, value, rows.series, ("a meter",), None, wrong.astype(np.int8))


def ground(label: list[int], series: list[int] | None = None, context: int = 0) -> Ground:
    count = len(label)
    rows = Rows(
        np.arange(count) * HOUR_US,
        np.ones(count),
        np.array(series or [0] * count, np.int64),
        ("a", "b"),
        None,
        np.array(label, np.int8),
    )
    return Ground(rows, np.arange(count) >= context, 5, SEED)


ENOUGH = [1, 1, 0] * EPISODES_LEAST + [0] * NORMAL_LEAST


def test_with_too_few_labels_they_do_not_judge() -> None:
    plain = hourly(days=1)

    assert Labelled.of(ground(ENOUGH)) is not None
    assert Labelled.of(ground(ENOUGH, context=1)) is None  # only what is held out counts
    assert Labelled.of(ground([0, 0, 0, *ENOUGH[3:]])) is None
    assert Labelled.of(ground([1, *ENOUGH[:-EPISODES_LEAST]][: -EPISODES_LEAST - 1])) is None
    assert Labelled.of(ground([1] * 9 + [UNLABELLED] * 400)) is None
    assert Labelled.of(Ground(plain, np.ones(24, bool), 5, SEED)) is None


def test_an_episode_is_found_by_any_of_its_rows_and_ends_with_its_series() -> None:
    label = [1, 1, *([0] * NORMAL_LEAST), *([1, 1, 1, 0] * EPISODES_LEAST)]
    series = [0, 1, *([1] * (len(label) - 2))]
    judged = Labelled.of(ground(label, series))

    assert judged is not None
    assert judged.episodes == EPISODES_LEAST + 2
    scores = np.zeros(len(label))
    scores[[0, -3]] = 2.0
    scores[-2] = 1.0
    assert judged.recall(scores, 1.0) == 2 / judged.episodes
    assert judged.recall(scores, 0.5) == 2 / judged.episodes  # the second row is of an episode that is found already
    assert judged.average_precision(scores) == average_precision_score(np.array(label), scores)


def test_limits_are_measured_on_what_is_not_said_to_be_wrong() -> None:
    few = [0, 1, UNLABELLED, 1]

    assert normal_rows(ground(few)).tolist() == [True, False, True, False]
    assert normal_rows(ground([1, 1])).tolist() == [True, True]
    assert normal_rows(ground([*ENOUGH, UNLABELLED])).tolist() == [each == 0 for each in [*ENOUGH, UNLABELLED]]


def test_labels_take_the_place_of_injected_faults(gas: DatasetContract) -> None:
    rows = labelled()
    build = partial(build_pipeline, gas, 0.02)

    found = evaluate(rows, build, gas.context_rows)

    held = found.ground.held
    scores, label = found.scorer.scores(found.ground.rows), found.ground.rows.label
    assert label is not None
    clean, wrong = scores[held & (label == 0)], scores[held & (label == 1)]
    metrics = found.metrics
    assert metrics["judged_by"] == "labels"
    assert metrics["alert_rate"] == (clean > found.scorer.threshold).mean()
    assert metrics["labelled_episodes"] == len(wrong) / 2
    pairs = wrong.reshape(-1, 2).max(axis=1)
    assert metrics["recall"] == (pairs > found.scorer.threshold).mean() > 0.9
    limit = np.quantile(clean, 0.99, method="higher")
    assert metrics["recall_at_0.01"] == (pairs > limit).mean()
    assert 0.8 < float(metrics["average_precision"]) <= 1
    assert "recall_leak" in metrics


def test_what_is_said_to_be_wrong_is_not_learnt_from(gas: DatasetContract) -> None:
    rows = labelled(every=20)
    unsaid = Rows(rows.time, rows.value, rows.series, rows.names)
    later = hourly(days=30, seed=4)
    value = later.value.copy()
    value[-1] *= 4.0
    later = Rows(later.time + DAYS * 24 * HOUR_US, value, later.series, rows.names)

    told, untold = (Scorer(build_pipeline(gas, 0.01).fit(each)).scores(later)[-1] for each in (rows, unsaid))

    assert told > untold + 0.3  # half as likely to be clean


def test_what_is_normal_or_not_labelled_changes_nothing(gas: DatasetContract) -> None:
    rows = hourly(days=20)
    small = build_pipeline(gas, 0.01).set_params(detector__n_estimators=6)

    plain = small.fit(rows).score_samples(rows)

    says = (np.zeros(len(rows)), np.full(len(rows), UNLABELLED), np.arange(len(rows)) % 2 - 1)
    for label in says:
        said = Rows(rows.time, rows.value, rows.series, rows.names, None, label.astype(np.int8))
        np.testing.assert_array_equal(small.fit(said).score_samples(said), plain)


def test_candidates_are_chosen_by_labels(gas: DatasetContract) -> None:
    stuck, plain = Candidate(name="stuck", families=("stuck",), trees=6), Candidate(name="plain", trees=6)
    contract = gas.model_copy(update={"candidates": (stuck, plain)})

    chosen = select(labelled(every=16), contract, 0.02)

    table = chosen.as_dict()
    assert (table["by"], chosen.candidate) == ("labels", plain)
    for row, tried in zip(table["candidates"], chosen.tried, strict=True):
        assert len(row["recalls"]) == 1
        assert tried.average_precision is not None
        assert tried.worth == pytest.approx((tried.recalls[0] + tried.average_precision) / 2)


def _same(one: NDArray[np.generic] | None, other: NDArray[np.generic] | None) -> bool:
    assert one is not None
    assert other is not None
    return one.tobytes() == other.tobytes()


def test_labels_and_temperatures_are_kept_with_the_hold_out(gas: DatasetContract, tmp_path: Path) -> None:
    rows = labelled()
    outside = np.random.default_rng(1).normal(0, 1, (len(rows), 2))
    outside[::7] = np.nan
    full = concatenate([Rows(rows.time, rows.value, rows.series, rows.names, outside, rows.label)])
    kept, fit = hold_out(full, gas.context_rows, SEED)

    kept.save(tmp_path)
    again = load_ground(tmp_path)

    whole = kept.kept()
    assert _same(again.rows.label, whole.rows.label)
    assert _same(again.rows.outside, np.ascontiguousarray(whole.rows.outside))
    scorer = Scorer(build_pipeline(gas, 0.02).set_params(detector__n_estimators=6).fit(full.take(fit)))
    assert measure(again, scorer) == measure(whole, scorer)
