"""The model's environment is pinned once: conda.yml repeats model.txt, and tests load the same libraries."""

from pathlib import Path

import yaml

_ROOT = Path(__file__).resolve().parents[3]


def _pins(requirements: Path) -> list[str]:
    lines = (line.strip() for line in requirements.read_text(encoding="utf-8").splitlines())
    return [line for line in lines if line and not line.startswith("#")]


def test_conda_file_carries_exactly_the_pins_of_model_txt() -> None:
    conda = yaml.safe_load((_ROOT / "aml/env/conda.yml").read_text(encoding="utf-8"))

    plain = [entry for entry in conda["dependencies"] if isinstance(entry, str)]
    (pip,) = [entry["pip"] for entry in conda["dependencies"] if isinstance(entry, dict)]

    assert plain == ["python=3.11", "pip"]
    assert pip == _pins(_ROOT / "requirements/model.txt")


def test_tests_and_app_load_the_numeric_libraries_that_the_model_is_served_with() -> None:
    model = set(_pins(_ROOT / "requirements/model.txt"))
    tested = {*_pins(_ROOT / "requirements/dev.txt"), *_pins(_ROOT / "requirements.txt")}

    for library in (
        "pandas",
        "scikit-learn",
        "scipy",
        "numpy",
        "joblib",
        "pyarrow",
        "llvmlite",
        "optuna",
        "onnxruntime",
    ):
        (pin,) = [line for line in model if line.startswith(f"{library}==")]
        assert [line for line in tested if line.startswith(f"{library}==")] == [pin]


def test_the_app_can_open_a_bundle_with_the_very_versions_that_fitted_it() -> None:
    model, app = (set(_pins(_ROOT / name)) for name in ("requirements/model.txt", "requirements.txt"))

    numeric = ("scikit-learn", "scipy", "numpy", "joblib", "threadpoolctl", "narwhals", "cloudpickle", "pyarrow")
    for library in (*numeric, "onnxruntime"):
        (pin,) = [line for line in model if line.startswith(f"{library}==")]
        assert pin in app
