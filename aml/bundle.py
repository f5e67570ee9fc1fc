"""The model bundle: one file that training writes and serving opens.

It holds the fitted pipeline (of a table, all candidates), the contract, the versions of the libraries that fitted it,
its metrics and the profile of its training data. The pipeline lies inside as bytes of its own, so that the versions can
be read, and refused, before anything of scikit-learn is unpickled: scikit-learn itself only warns, and may then score
differently. A bundle is unpickled and so must come from whom one trusts; it is the workspace's own model registry that
hands it to the endpoint.
"""

from __future__ import annotations

import io
import platform
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import joblib
import numpy as np
from joblib.numpy_pickle import NumpyPickler
from sklearn.pipeline import Pipeline

from aml.contract import DatasetContract

if TYPE_CHECKING:
    from aml.tabular.candidates import Candidates

FILE_NAME = "bundle.joblib"
"""Of a series' model; that of a table is named after the algorithm, the dataset and the version."""
SUFFIX = ".joblib"
_FORMAT = 5
_MUST_BE_EQUAL = ("scikit-learn", "numpy")
_RECORDED = (*_MUST_BE_EQUAL, "scipy", "joblib")


class BundleError(Exception):
    """A bundle is missing, is not one, or was saved by other library versions than those that are installed."""


@dataclass(frozen=True, eq=False)
class Bundle:
    """What a bundle holds: the one pipeline of a series, or the `Candidates` of a table. `versions` maps distribution
    names (and `python`) to versions, `profile` is that of `aml.profile`, empty where none was given.
    """

    pipeline: Any
    contract: DatasetContract
    metrics: Mapping[str, Any]
    versions: dict[str, str]
    profile: Mapping[str, Any] = field(default_factory=dict)


class _Pickler(NumpyPickler):  # type: ignore[misc]  # joblib has no types
    """Writes equal texts as one, and equal types of arrays.

    Which of them are one and the same object depends on what the process has unpickled before (scikit-learn's
    estimators keep the names of their attributes as they were read), and pickle writes that down.
    """

    def __init__(self, file: IO[bytes]) -> None:
        super().__init__(file)
        self._met: dict[tuple[type, object], object] = {}

    def save(self, obj: object) -> Any:
        """See `pickle.Pickler`."""
        same = type(obj) is str or isinstance(obj, np.dtype)
        return super().save(self._met.setdefault((type(obj), obj), obj) if same else obj)


def library_versions() -> dict[str, str]:
    """The versions that are installed here."""
    return {"python": platform.python_version(), **{name: version(name) for name in _RECORDED}}


def save_bundle(
    folder: Path,
    pipeline: Pipeline | Candidates,
    contract: DatasetContract,
    metrics: Mapping[str, Any],
    profile: Mapping[str, Any] | None = None,
    *,
    name: str = FILE_NAME,
) -> Path:
    """Write the bundle into `folder`; equal models under equal versions give equal bytes. Returns its path."""
    model = io.BytesIO()
    _Pickler(model).dump(pipeline)
    path = folder / name
    content = {
        "format": _FORMAT,
        "versions": library_versions(),
        "contract": contract.model_dump(mode="json"),
        "metrics": metrics,
        "profile": dict(profile or {}),
        "pipeline": model.getvalue(),
    }
    with path.open("wb") as file:
        _Pickler(file).dump(content)
    return path


def open_bundle(path: Path) -> Bundle:
    """Open the bundle at `path`.

    Raises:
        BundleError: it is no bundle, or scikit-learn or numpy are installed in other versions than those it was
            saved with.
    """
    content = _content(path)
    saved: dict[str, str] = content["versions"]
    here = library_versions()
    other = [
        f"{name} {saved.get(name)} (here {here[name]})" for name in _MUST_BE_EQUAL if saved.get(name) != here[name]
    ]
    if other:
        raise BundleError(
            f"The model {path.name} was trained with {', '.join(other)}. Train it again in this environment, "
            "or serve it in the one it was trained in."
        )
    return Bundle(
        pipeline=joblib.load(io.BytesIO(content["pipeline"])),
        contract=DatasetContract.model_validate(content["contract"]),
        metrics=content["metrics"],
        versions=saved,
        profile=content.get("profile", {}),
    )


def find_bundle(model_dir: Path) -> Path:
    """The one bundle below the folder that Azure ML mounts; a registered folder keeps its own name inside it.

    Raises:
        BundleError: there is none, or more than one.
    """
    found = sorted(model_dir.rglob(f"*{SUFFIX}"))
    if len(found) != 1:
        raise BundleError(
            f"There must be one bundle, *{SUFFIX}, below the model folder {model_dir}; found {len(found)}."
        )
    return found[0]


def _content(path: Path) -> dict[str, Any]:
    try:
        content = joblib.load(path)
    except FileNotFoundError as error:
        raise BundleError(f"There is no model bundle {path}.") from error
    # A file that is no pickle fails in as many ways as there are bytes; every one of them means the same.
    except Exception as error:
        raise BundleError(f"The file {path} is not a model bundle ({type(error).__name__}: {error}).") from error
    if not isinstance(content, dict) or content.get("format") != _FORMAT:
        raise BundleError(f"The file {path} is not a model bundle of format {_FORMAT}.")
    return content
