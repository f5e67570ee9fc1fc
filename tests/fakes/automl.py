"""What AutoML leaves, without a job: one algorithm fitted on the table that it was given, as the emulator does it."""

from __future__ import annotations

from pathlib import Path

from local.azureml.search import read_mltable, search


def leave(table: Path, outputs: Path, algorithm: str = "RandomForest", *, graph: bool = True) -> None:
    """Write the outputs of the child job that tried this algorithm on the MLTable in the folder `table`."""
    details = {
        "targetColumnName": "target",
        "primaryMetric": "Accuracy",
        "nCrossValidations": {"value": 2},
        "trainingSettings": {"allowedTrainingAlgorithms": [algorithm], "enableOnnxCompatibleModels": graph},
    }
    outputs.mkdir(parents=True, exist_ok=True)
    list(search(read_mltable(table), details, outputs))
    for file in (outputs / "0").iterdir():
        file.rename(outputs / file.name)
    (outputs / "0").rmdir()
