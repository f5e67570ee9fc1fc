"""What features become, beside scikit-learn's own transformers on whole columns."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from sklearn.impute import SimpleImputer
from sklearn.preprocessing import OneHotEncoder, RobustScaler, TargetEncoder

from aml.rows import Floats
from aml.tabular.encoding import RARE, Feature
from aml.tabular.features import TableFeatures
from aml.tabular.folds import Folds
from aml.tabular.table import Table, Texts, texts_of_numbers

_TWO = np.array(["a", "b"] * 50)


def _column(values: Sequence[str | None]) -> Texts:
    known: dict[str, int] = {}
    codes = [known.setdefault(value, len(known)) if value else -1 for value in values]
    return Texts(np.array(codes, dtype=np.int64), tuple(known))


def _texts(values: Sequence[str | None]) -> Table:
    return Table(len(values), {}, {"x": _column(values)}, {})


def _numbers(values: Any) -> Table:
    return Table(len(values), {"x": np.asarray(values, dtype=np.float64)}, {}, {})


def _dense(features: TableFeatures, table: Table) -> Floats:
    filled: Floats = features.transform(table).toarray()
    return filled


def test_a_number_is_imputed_and_scaled_as_scikit_learn_does() -> None:
    values = np.random.default_rng(0).normal(5, 2, 100)
    values[::9] = np.nan
    features = TableFeatures((Feature("x", "x", impute="mean", scale="robust"),))

    fitted = features.fit_transform(_numbers(values), _TWO).toarray()

    filled = SimpleImputer(strategy="mean").fit_transform(values[:, None])
    assert fitted.tobytes() == RobustScaler().fit_transform(filled).tobytes()


def test_one_hot_is_scikit_learns_and_an_unseen_category_has_no_column() -> None:
    values = ["low", "high", None, "low"] * 25
    features = TableFeatures((Feature("x", "x", text=True, encode="one_hot", impute="mode"),))

    fitted = features.fit_transform(_texts(values), _TWO)

    column = np.array([value or "low" for value in values], dtype=object)[:, None]
    assert np.array_equal(fitted.toarray(), OneHotEncoder().fit_transform(column).toarray())
    assert features.get_feature_names_out().tolist() == ["x_high", "x_low"]
    assert _dense(features, _texts(["high", "sideways", None])).tolist() == [[1, 0], [0, 0], [0, 1]]


def test_rare_categories_are_one_and_so_is_what_was_never_seen() -> None:
    values = ["often"] * 60 + ["also"] * 37 + ["once", "twice", "twice"]
    features = TableFeatures((Feature("x", "x", text=True, encode="one_hot", rare=0.05),))
    features.fit(_texts(values), _TWO)

    assert features.get_feature_names_out().tolist() == [f"x_{RARE}", "x_also", "x_often"]
    assert _dense(features, _texts(["once", "never", "often"])).tolist() == [[1, 0, 0], [1, 0, 0], [0, 0, 1]]


def test_the_commonest_category_is_not_rare_because_few_fields_are_filled_in_with_it() -> None:
    features = TableFeatures((Feature("x", "x", text=True, encode="one_hot", impute="mode", rare=0.05),))
    features.fit(_texts(["often"] * 60 + ["also"] * 38 + [None, "once"]), _TWO)

    assert features.get_feature_names_out().tolist() == [f"x_{RARE}", "x_also", "x_often"]
    assert _dense(features, _texts([None, "once"])).tolist() == [[0, 0, 1], [1, 0, 0]]


def test_a_category_of_just_the_share_is_not_rare() -> None:
    features = TableFeatures((Feature("x", "x", text=True, encode="one_hot", rare=0.05),))
    features.fit(_texts(["often"] * 95 + ["enough"] * 5), _TWO)

    assert features.get_feature_names_out().tolist() == ["x_enough", "x_often"]


@pytest.mark.parametrize(("categories", "codes"), [((), [2, 1, 0, -1]), (("small", "middle", "big"), [0, 1, 2, -1])])
def test_ordinal_is_the_declared_order_or_the_sorted_one(categories: tuple[str, ...], codes: list[int]) -> None:
    feature = Feature("x", "x", text=True, encode="ordinal", categories=categories)
    features = TableFeatures((feature,))
    features.fit(_texts(["small", "middle", "big", "big"] * 25), _TWO)

    assert _dense(features, _texts(["small", "middle", "big", "huge"])).ravel().tolist() == codes


def test_frequency_is_the_share_of_the_training_rows() -> None:
    features = TableFeatures((Feature("x", "x", text=True, encode="frequency"),))
    features.fit(_texts(["a"] * 75 + ["b"] * 25), _TWO)

    assert _dense(features, _texts(["a", "b", "c"])).ravel().tolist() == [0.75, 0.25, 0]


def test_target_encoding_is_cross_fitted_where_it_is_learnt() -> None:
    random = np.random.default_rng(3)
    values = random.choice(["a", "b", "c"], 200).tolist()
    classes = random.choice(["x", "y", "z"], 200)
    features = TableFeatures((Feature("x", "x", text=True, encode="target"),), seed=5)

    fitted = features.fit_transform(_texts(values), classes).toarray()

    column = np.array(values, dtype=object)[:, None]
    encoder = TargetEncoder(target_type="multiclass", cv=Folds(5, 5))
    assert np.array_equal(fitted, encoder.fit_transform(column, classes))
    assert np.array_equal(_dense(features, _texts(values)), encoder.transform(column))
    mean = [float((classes == name).mean()) for name in ("x", "y", "z")]
    assert _dense(features, _texts(["never"])).ravel().tolist() == pytest.approx(mean)


def test_a_number_may_be_a_category() -> None:
    features = TableFeatures((Feature("x", "x", encode="one_hot", impute="mode"),))
    features.fit(_numbers([7.0] * 60 + [8.5] * 40), _TWO)

    assert features.get_feature_names_out().tolist() == ["x_7", "x_8.5"]
    assert _dense(features, _numbers([8.5, np.nan, 9])).tolist() == [[0, 1], [1, 0], [0, 0]]
    assert texts_of_numbers(np.array([np.nan, 2.0])).codes.tolist() == [-1, 0]


def test_an_expression_without_a_value_is_imputed() -> None:
    features = TableFeatures((Feature("half", expression="1 / x"),))
    features.fit(_numbers([1.0, 2.0, 0.0, 4.0] * 25), _TWO)

    assert _dense(features, _numbers([2.0, 0.0, np.nan])).ravel().tolist() == [0.5, 0.5, 0.5]


def test_a_column_without_any_value_says_nothing() -> None:
    nothing = Table(100, {"x": np.full(100, np.nan)}, {"y": _column([None] * 100)}, {})
    declared = (Feature("x", "x", scale="standard"), Feature("y", "y", text=True, encode="one_hot", impute="mode"))

    fitted = TableFeatures(declared).fit_transform(nothing, _TWO).toarray()

    assert len({row.tobytes() for row in fitted}) == 1


def test_folds_bear_classes_that_are_rarer_than_they_are_many() -> None:
    classes = np.array(["a"] * 20 + ["b"] * 3 + ["c"])

    folds = list(Folds(5, 1).split(None, classes))

    assert sorted(np.concatenate([outer for _, outer in folds]).tolist()) == list(range(24))
    assert all(set(inner) | set(outer) == set(range(24)) for inner, outer in folds)
    assert all((classes[outer] == "a").sum() == 4 for _, outer in folds)
    assert any("c" not in classes[inner] for inner, _ in folds)
    assert len(list(Folds(5, 1).split(None, np.array(["a", "b", "c"])))) == 3


def test_folds_may_be_fitted_on_every_class() -> None:
    classes = np.array(["a"] * 20 + ["b"] * 3 + ["c"])

    plain, every = (list(Folds(5, 1, every=each).split(None, classes)) for each in (False, True))

    assert [outer.tolist() for _, outer in every] == [outer.tolist() for _, outer in plain]
    assert all(set(classes[inner]) == {"a", "b", "c"} for inner, _ in every)
    assert sum(len(inner) for inner, _ in every) == sum(len(inner) for inner, _ in plain) + 1
