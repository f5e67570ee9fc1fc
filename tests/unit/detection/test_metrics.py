"""Metrics against values worked out by hand, and against detectors that are perfect, know nothing, or are wrong."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.detection.metrics import events, found, limit_at, ranking, vus_pr

LABELS = np.zeros(400, dtype=bool)
LABELS[100:140] = LABELS[300:305] = True


def test_a_perfect_detector_has_full_areas() -> None:
    areas = ranking(LABELS, LABELS.astype(float))

    assert areas is not None
    assert (areas.roc_auc, areas.average_precision) == (1.0, 1.0)
    # buffers count what lies beside an event as half found, so that their volume is not quite full
    assert vus_pr(LABELS, LABELS.astype(float), buffer=0) == 1.0
    assert 0.8 < areas.vus_pr <= 1.0


def test_scores_that_are_all_alike_are_worth_the_share_of_anomalies() -> None:
    areas = ranking(LABELS, np.zeros(len(LABELS)))

    assert areas is not None
    assert areas.roc_auc == 0.5
    assert areas.average_precision == pytest.approx(LABELS.mean())
    assert vus_pr(LABELS, np.zeros(len(LABELS)), buffer=0) == pytest.approx(LABELS.mean())


def test_areas_worked_out_by_hand() -> None:
    labels = np.array([False, True, False, True])
    areas = ranking(labels, np.array([0.1, 0.9, 0.5, 0.3]))

    assert areas is not None
    # of four pairs of an anomalous and another row three are in the right order
    assert areas.roc_auc == 0.75
    # precision 1 at the first anomalous row, 2/3 at the second
    assert areas.average_precision == pytest.approx((1 + 2 / 3) / 2)


def test_without_a_buffer_the_volume_is_precision_over_recall_times_the_events_reached() -> None:
    labels = np.array([False, True, False, True])

    # thresholds from the top: (recall, precision) = (1/2 x 1/2, 1), (1/2 x 1/2, 1/2), (1 x 1, 2/3), (1, 1/2)
    assert vus_pr(labels, np.array([0.1, 0.9, 0.5, 0.3]), buffer=0) == pytest.approx(0.25 + 0.75 * 2 / 3)


def literal_volume(labels: np.ndarray, scores: np.ndarray, buffer: int) -> float:
    """The definition, row by row and threshold by threshold."""
    areas = []
    for width in range(buffer + 1):
        soft = labels.astype(float)
        for first, last in events(labels):
            for away in range(1, width // 2 + 1):
                for row in (first - away, last + away):
                    if 0 <= row < len(soft):
                        soft[row] += np.sqrt(1 - away / width)
        soft = np.minimum(soft, 1)
        reach = np.zeros(len(labels), dtype=bool)
        for first, last in events(labels):
            reach[max(0, first - width // 2) : last + width // 2 + 1] = True
        before, area = 0.0, 0.0
        ranked = np.sort(scores)[::-1]
        for threshold in ranked[np.linspace(0, len(scores) - 1, 250).astype(int)]:
            alert = scores >= threshold
            hit = float((soft * alert).sum())
            against = (labels.sum() + labels.sum() + float((soft * alert)[~labels].sum())) / 2
            reached = np.mean([alert[first : last + 1].any() for first, last in events(reach)])
            recall = min(hit / against, 1) * reached
            area += (recall - before) * hit / alert.sum()
            before = recall
        areas.append(area)
    return float(np.mean(areas))


@pytest.mark.parametrize("seed", range(3))
def test_the_volume_is_what_its_definition_says_row_by_row(seed: int) -> None:
    random = np.random.default_rng(seed)
    labels = np.zeros(90, dtype=bool)
    labels[10:18] = labels[40] = labels[60:70] = True
    scores = np.round(random.random(90) + 0.5 * labels * random.random(90), 1 + seed)

    assert vus_pr(labels, scores, buffer=12) == pytest.approx(literal_volume(labels, scores, 12))


@settings(max_examples=25, deadline=None)
@given(st.lists(st.booleans(), min_size=2, max_size=30), st.integers(0, 2**32 - 1))
def test_areas_lie_between_0_and_1_and_are_not_there_without_both_kinds_of_rows(labels: list[bool], seed: int) -> None:
    areas = ranking(np.array(labels), np.random.default_rng(seed).random(len(labels)))

    assert (areas is None) == (len(set(labels)) == 1)
    if areas is not None:
        assert all(0 <= area <= 1 for area in (areas.roc_auc, areas.average_precision, areas.vus_pr))


def test_events_are_unbroken_runs() -> None:
    assert events(np.array([True, True, False, True, False, False, True])) == [(0, 1), (3, 3), (6, 6)]
    assert events(np.zeros(3, dtype=bool)) == []


def test_a_share_of_clean_rows_lies_above_the_limit_at_most() -> None:
    clean = np.arange(1000.0)

    assert (clean > limit_at(clean, 0.01)).sum() == 9
    assert (clean > limit_at(clean, 0.001)).sum() == 0
    assert (np.ones(1000) > limit_at(np.ones(1000), 0.5)).sum() == 0


def test_an_event_is_found_by_a_row_that_alerts_because_of_it() -> None:
    event = np.array([-1, 0, 0, -1, 1, 2, 2])
    scores = np.array([9.0, 1.0, 5.0, 9.0, 1.0, 5.0, 5.0])
    before = np.array([9.0, 1.0, 1.0, 9.0, 1.0, 5.0, 5.0])

    assert found(scores, event, 3, 4.0).tolist() == [True, False, True]
    assert found(scores, event, 3, 4.0, before).tolist() == [True, False, False]
    assert found(scores, event, 3, 5.0).tolist() == [False, False, False]
