"""The compiled forest gives the bits of scikit-learn's own walk, for any forest that it takes and any rows."""

import logging
import re
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.ensemble import IsolationForest
from sklearn.pipeline import Pipeline

import aml.evaluator
from aml.evaluator import TreeWalk
from aml.forest import Scorer
from aml.forest_tables import CODES, FEATURES, UnsuitableForestError, tabulate
from aml.rows import Rows

forest_code = pytest.importorskip("aml.forest_code", reason="llvmlite has no package for this machine")

Matrix = NDArray[np.float32]

_LARGEST = np.finfo(np.float32).max


def _fitted(rows: Matrix, trees: int, seed: int, max_samples: int = 256) -> IsolationForest:
    samples = min(max_samples, len(rows))
    return IsolationForest(n_estimators=trees, max_samples=samples, random_state=seed).fit(rows)


def _on_thresholds(forest: IsolationForest, random: np.random.Generator, count: int) -> Matrix:
    """Rows of thresholds of their own feature, the float32 on either side of them, zeros and the largest numbers."""
    columns = []
    for number in range(forest.n_features_in_):
        trees = [tree.tree_ for tree in forest.estimators_]
        exact = np.concatenate([tree.threshold[tree.feature == number] for tree in trees]).astype(np.float32)
        beside = [np.nextafter(exact, np.float32(side)) for side in (-np.inf, np.inf)]
        others = np.array([0.0, -0.0, 1e-45, -_LARGEST, _LARGEST], dtype=np.float32)
        columns.append(random.choice(np.concatenate([exact, *beside, others]), count))
    return np.stack(columns, axis=1)


def _assert_exact(forest: IsolationForest, rows: Matrix) -> None:
    walk = TreeWalk(forest)
    groups = tabulate(walk.trees, walk.leaf_depths, forest.n_features_in_)
    expected = walk.depths(rows)
    for in_registers in (None, False):
        compiled = forest_code.CompiledForest(groups, forest.n_features_in_, in_registers)
        assert compiled.depths(rows).tobytes() == expected.tobytes()


@st.composite
def _tables(draw: st.DrawFn) -> Matrix:
    """Few or many rows; columns may be constant, of a few values, or of any size that float32 has."""
    count, features = draw(st.integers(1, 400)), draw(st.integers(1, FEATURES))
    random = np.random.default_rng(draw(st.integers(0, 1 << 32)))
    kinds: list[Callable[[], NDArray[Any]]] = [
        lambda: np.full(count, 7.0),
        lambda: random.integers(0, 3, count),
        lambda: random.normal(size=count),
        lambda: random.choice(np.array([-_LARGEST, -1e-45, 0.0, 1e30, _LARGEST]), count),
        lambda: random.normal(size=count) * 10.0 ** random.integers(-40, 38, count),
    ]
    return np.stack([draw(st.sampled_from(kinds))() for _ in range(features)], axis=1).astype(np.float32)


@given(_tables(), st.integers(1, 12), st.integers(0, 1 << 32), st.integers(0, 500))
@settings(max_examples=60)
def test_any_forest_is_evaluated_to_the_bits_of_the_walk(table: Matrix, trees: int, seed: int, count: int) -> None:
    forest = _fitted(table, trees, seed % 1000)

    _assert_exact(forest, _on_thresholds(forest, np.random.default_rng(seed), count))
    _assert_exact(forest, table)


def test_trees_of_a_single_node_add_their_depth() -> None:
    forest = _fitted(np.ones((50, 3), dtype=np.float32), 5, 1)
    assert {tree.tree_.node_count for tree in forest.estimators_} == {1}

    _assert_exact(forest, np.linspace(-1e38, 1e38, 150, dtype=np.float32).reshape(50, 3))


@pytest.mark.parametrize("count", [0, 1, 31, 32, 33, 191, 192, 193, 1537, (1 << 16) + 1])
def test_any_number_of_rows_is_evaluated(count: int) -> None:
    random = np.random.default_rng(2)
    forest = _fitted(random.normal(size=(300, 6)).astype(np.float32), 3, 2)

    _assert_exact(forest, random.normal(size=(count, 6)).astype(np.float32))


def test_a_forest_with_more_thresholds_than_codes_is_split_into_groups() -> None:
    random = np.random.default_rng(3)
    forest = _fitted(random.normal(size=(20_000, 1)).astype(np.float32), 150, 3)
    walk = TreeWalk(forest)
    assert sum((tree.feature >= 0).sum() for tree in walk.trees) > CODES

    groups = tabulate(walk.trees, walk.leaf_depths, 1)

    assert len(groups) > 1
    assert sum(len(group.nodes) for group in groups) == 150
    _assert_exact(forest, _on_thresholds(forest, random, 3_000))


@pytest.mark.parametrize(("features", "max_samples"), [(2, 2_000), (FEATURES + 1, 256)])
def test_a_forest_that_does_not_fit_is_refused(features: int, max_samples: int) -> None:
    random = np.random.default_rng(4)
    walk = TreeWalk(_fitted(random.normal(size=(2_000, features)).astype(np.float32), 2, 4, max_samples))

    with pytest.raises(UnsuitableForestError):
        tabulate(walk.trees, walk.leaf_depths, features)


def test_the_model_is_evaluated_by_compiled_code(pipeline: Pipeline) -> None:
    assert Scorer(pipeline).evaluation == "compiled"


@pytest.mark.parametrize(
    "failure",
    [
        OSError("Could not find/load shared object file"),
        RuntimeError("LLVM knows no such processor"),
        UnsuitableForestError("the forest has 9 features"),
    ],
)
def test_what_cannot_be_compiled_is_walked_and_the_log_says_why(
    pipeline: Pipeline,
    training_rows: Rows,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    failure: Exception,
) -> None:
    compiled = Scorer(pipeline)

    def fail(*arguments: object) -> None:
        raise failure

    monkeypatch.setattr(forest_code, "CompiledForest", fail)
    with caplog.at_level(logging.INFO, "dropscore.forest"):
        walked = Scorer(pipeline)

    assert walked.evaluation == "scikit-learn"
    assert walked.scores(training_rows).tobytes() == compiled.scores(training_rows).tobytes()
    record, *_ = caplog.records
    assert record.levelno == logging.WARNING
    assert str(failure) in record.getMessage()


def test_where_llvmlite_is_not_installed_the_trees_are_walked(
    pipeline: Pipeline, training_rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "llvmlite", None)
    monkeypatch.delitem(sys.modules, "aml.forest_code")
    monkeypatch.delattr(aml, "forest_code")

    scorer = Scorer(pipeline)

    assert scorer.evaluation == "scikit-learn"
    assert scorer.scores(training_rows).tobytes() == (-pipeline.score_samples(training_rows)).tobytes()


def test_threads_that_score_at_once_do_not_disturb_each_other(pipeline: Pipeline, training_rows: Rows) -> None:
    scorer = Scorer(pipeline)
    parts = [training_rows.take(slice(at, at + 200)) for at in range(0, 600, 20)]
    expected = [scorer.scores(part).tobytes() for part in parts]

    with ThreadPoolExecutor(8) as threads:
        scores = threads.map(scorer.scores, parts * 4)

    assert [part.tobytes() for part in scores] == expected * 4


def test_compiled_code_that_is_wrong_is_found_out_before_it_answers(
    pipeline: Pipeline, training_rows: Rows, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    right: Callable[[object, Matrix], NDArray[np.float64]] = forest_code.CompiledForest.depths

    def wrong(self: object, features: Matrix) -> NDArray[np.float64]:
        return np.nextafter(right(self, features), np.inf)

    monkeypatch.setattr(forest_code.CompiledForest, "depths", wrong)

    scorer = Scorer(pipeline)

    assert scorer.evaluation == "scikit-learn"
    assert scorer.scores(training_rows).tobytes() == (-pipeline.score_samples(training_rows)).tobytes()
    assert "not exact" in caplog.text


def test_an_operator_can_do_without_compiled_code(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DROPSCORE_COMPILED_FOREST", "off")

    assert Scorer(pipeline).evaluation == "scikit-learn"


def test_the_probe_meets_thresholds_of_every_feature(pipeline: Pipeline) -> None:
    trees = TreeWalk(pipeline.named_steps["detector"].forests_[1]).trees
    probe = aml.evaluator._probe(trees, 8)

    for number in range(8):
        thresholds = np.concatenate([tree.threshold[tree.feature == number] for tree in trees]).astype(np.float32)
        assert np.isin(probe[:, number], thresholds).mean() > 0.9


@pytest.mark.parametrize(
    ("triple", "processor", "in_registers"),
    [
        ("x86_64-unknown-linux-gnu", "skylake-avx512", True),
        ("x86_64-unknown-linux-gnu", "sapphirerapids", True),
        ("x86_64-unknown-linux-gnu", "znver4", True),
        ("x86_64-unknown-linux-gnu", "broadwell", False),
        ("aarch64-unknown-linux-gnu", "neoverse-n1", False),
    ],
)
def test_the_code_can_be_finished_for_processors_that_deployments_have(
    triple: str, processor: str, in_registers: bool
) -> None:
    binding = forest_code.binding
    binding.initialize_all_targets()
    binding.initialize_all_asmprinters()
    machine = binding.Target.from_triple(triple).create_target_machine(cpu=processor)
    module = binding.parse_assembly(forest_code._module(6, 2, in_registers))
    module.triple = triple
    module.data_layout = str(machine.target_data)

    code = machine.emit_assembly(module)

    # "vpermw" and "vpermi2w" or "vpermt2w" look nodes up in registers; elsewhere nothing does
    assert bool(re.search(r"\bvperm([it]2)?w\b", code)) == in_registers
    assert ("zmm" in code) == in_registers
