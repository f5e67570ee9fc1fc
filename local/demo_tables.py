"""`make demo DATASET=penguins` or `crimes`: classifiers of a table trained, a file scored, a worse table rejected."""

from __future__ import annotations

import csv
import io
import json
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import requests

from local.cloud import LocalCloud
from local.crimes import as_csv as crimes_as_csv
from local.crimes import crimes
from local.penguins import as_csv as penguins_as_csv
from local.penguins import penguins
from local.playing import FOLDER, DemoError, Play, Story, objections

Row = Mapping[str, str]

_SEED = 20261101
_CRIMES = 6_000
_LINES_SHOWN = 4
_HTTP_SECONDS = 60
_METRICS = ("accuracy", "balanced_accuracy", "f1_weighted", "log_loss")


@dataclass(frozen=True)
class Sample:
    """What is trained on and what is scored, the column that tells the truth, those of the scored file that answer, by
    model, and the model that is asked for by HTTP."""

    train: Sequence[Row]
    score: Sequence[Row]
    target: str
    answers: Mapping[str, str]
    asked: str


def penguin_sample() -> Sample:
    """Every sixth of the real birds is scored, the others are trained on."""
    birds = penguins()
    rest = [bird for number, bird in enumerate(birds) if number % 6]
    return Sample(rest, birds[::6], "species", {"best": "species"}, "random_forest")


def crime_sample() -> Sample:
    """A year of made-up crimes, in order of time: the last month of it is scored."""
    table = crimes(_CRIMES, _SEED)
    rows = list(csv.DictReader(io.StringIO(crimes_as_csv(table).decode())))
    cut = len(rows) * 11 // 12
    answers = {"decision_tree": "dtc_fbi_code_output", "lda": "lda_fbi_code_output"}
    return Sample(rows[:cut], rows[cut:], "fbi_code", answers, "decision_tree")


TABLES: Mapping[str, Callable[[], Sample]] = {"penguins": penguin_sample, "crimes": crime_sample}


def as_csv(rows: Sequence[Row], columns: Sequence[str]) -> str:
    """Rows as a comma-separated file with these columns."""
    return penguins_as_csv(rows, columns)


def shuffled(rows: Sequence[Row], target: str) -> list[Row]:
    """The same rows with each other's classes: as if two exports had been glued together a row apart."""
    classes = [row[target] for row in rows]
    random.Random(_SEED).shuffle(classes)
    return [{**row, target: label} for row, label in zip(rows, classes, strict=True)]


def right(scored: Sequence[Row], truth: Sequence[Row], column: str, target: str) -> float:
    """Share of the scored rows whose class is the true one."""
    pairs = zip(scored, truth, strict=True)
    return sum(row[column] == true[target] for row, true in pairs) / max(len(truth), 1)


def candidates(models: Sequence[Mapping[str, Any]]) -> str:
    """The candidates of a training run as a table, the champion marked."""
    names = [name for name in _METRICS if any(name in each["metrics"] for each in models)]
    lines = [f"    {'':<22}{''.join(f'{name:>19}' for name in names)}"]
    for each in models:
        values = "".join(_cell(each["metrics"].get(name)) for name in names)
        lines.append(f"  {'*' if each['best'] else ' '} {each['name']:<22}{values}")
    return "\n".join(lines)


def _cell(value: object) -> str:
    return f"{value:>19.4f}" if isinstance(value, float | int) else f"{'':>19}"


class TablePlay(Play):
    """One run of the demo on a running cloud."""

    def __init__(self, cloud: LocalCloud, story: Story, dataset: str) -> None:
        super().__init__(cloud, story, dataset, _METRICS)
        self._sample = TABLES[dataset]()

    def play(self) -> None:
        """From the drop of the first table to the rejected one."""
        sample, dataset = self._sample, self.dataset
        columns = list(sample.train[0])
        without = [name for name in columns if name != sample.target]
        with self.blobs:
            self._drop_table("datasets", "first.csv", sample.train, columns)
            trained = self.follow(f"datasets/{dataset}/first.csv", "live")
            print(f"\nThe candidates, measured on what was held out:\n{candidates(trained['metrics']['models'])}\n")
            self._drop_table("incoming", "new.csv", sample.score, without)
            scored = self.follow(f"incoming/{dataset}/new.csv", "completed")
            told = self._ask(sample.score[0])
            self._drop_table("datasets", "shuffled.csv", shuffled(sample.train, sample.target), columns)
            worse = self.follow(f"datasets/{dataset}/shuffled.csv", "rejected")
            link = self._lineage()
            folder = self.fetch_results()
        self._show((folder / "new_scored.csv").read_text(encoding="utf-8"), scored)
        print(f"\nOne row by HTTP, `?model={sample.asked}`: {told}")
        print(f"\nRejected: datasets/{dataset}/shuffled.csv; the model in service stayed. The gate's reasons:")
        for reason in objections(worse):
            print(f"  {reason}")
        print(f"\nLineage of new_scored.csv: {link}")
        print(f"\nEverything lies in {FOLDER}: datasets/, incoming/, results/, runs/ (copied out), logs/.")

    def _drop_table(self, container: str, name: str, rows: Sequence[Row], columns: Sequence[str]) -> None:
        self.drop(container, f"{self.dataset}/{name}", as_csv(rows, columns), f"{len(rows):,} rows")

    def _show(self, text: str, run: Mapping[str, Any]) -> None:
        sample = self._sample
        print(f"\nresults/{self.dataset}/new_scored.csv begins:")
        for line in text.splitlines()[:_LINES_SHOWN]:
            print(f"  {line}")
        rows = list(csv.DictReader(io.StringIO(text), delimiter=";"))
        for model, column in sample.answers.items():
            share = right(rows, sample.score, column, sample.target)
            print(f"Right, by the column that was kept back: {share:.1%} ({model})")
        print(f"Its manifest counts: {json.dumps(run['counts'])}")

    def _ask(self, row: Row) -> str:
        """One row classified by the model that is asked for."""
        features = {name: value for name, value in row.items() if name != self._sample.target and value != "NA"}
        told = self._http("POST", f"datasets/{self.dataset}/predict?model={self._sample.asked}", {"features": features})
        target = self._sample.target
        answer = told.get(target, told.get(self._sample.answers.get(self._sample.asked, ""), ""))
        return f"{target} {answer}, confidence {told.get('confidence')} (really {row[target]})"

    def _lineage(self) -> str:
        (link,) = self._http("GET", f"lineage/{self.dataset}?result=new.csv", None)["links"]
        asset = link["data_asset"]
        version = f"model version {link['model']['version']}"
        return f"{version}, data asset {asset['name']}:{asset['version']}, {link['blob']['name']}"

    def _http(self, method: str, path: str, body: object) -> dict[str, Any]:
        answer = requests.request(method, f"{self.cloud.functions_url}/api/{path}", json=body, timeout=_HTTP_SECONDS)
        if answer.status_code != 200:
            raise DemoError(f"{method} {path} answered {answer.status_code}: {answer.text}")
        told: dict[str, Any] = answer.json()
        return told
