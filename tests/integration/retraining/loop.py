"""The app's retraining over Azurite and the emulator, with versions ready to be deployed and a client without rest."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import pyarrow as pa
import pyarrow.parquet as pq
import requests
from azure.ai.ml import MLClient
from azure.ai.ml.entities import Model
from azure.identity import DefaultAzureCredential
from azure.storage.blob import BlobServiceClient

from aml.bundle import save_bundle
from aml.columns import rows_from_table
from aml.contract import load_contract
from aml.forest import build_pipeline
from local.sample_data import hourly_gas, plain_csv
from shared.composition import App
from shared.naming import DATASETS, INCOMING, TRAINING, run_id
from shared.retraining.azureml import AzureMLWorkspace
from shared.retraining.lifecycle import ENDS, State
from shared.runs import Run
from shared.scoring.context import conform, write_table
from shared.scoring.targets import AML_SCOPE
from shared.settings import Settings
from shared.storage import AzureBlobStore
from tests.fakes.clock import FakeClock
from tests.fakes.queue import FakeQueue
from tests.integration.scoring.conftest import _Room

GAS = load_contract("gas")
ENDPOINT = "loop-gas"
FIRST = datetime.fromisoformat("2026-01-01")
_TREES = 20
_SECONDS_AT_MOST = 120
_BODY = {"data": [{"FechaHora": f"2026-11-01 {hour:02d}:00:00", "VolCorrected": 20 + hour} for hour in range(3)]}


class CrashError(BaseException):
    """The instance dies here."""


class FrailStore(AzureBlobStore):
    """Storage before which the instance dies when it is about to write; `after` so many writes, -1: never."""

    after = -1

    def put(self, container: str, name: str, data: bytes, **options: Any) -> str:
        """See `AzureBlobStore.put`."""
        if self.after == 0:
            self.after = -1
            raise CrashError
        self.after -= self.after > 0
        return super().put(container, name, data, **options)


def table(days: int, seed: int = 1) -> pa.Table:
    """Hourly rows of one meter, as training gets them."""
    readings = hourly_gas(FIRST, days, seed)
    columns = {"FechaHora": [each.time for each in readings], "VolCorrected": [each.volume for each in readings]}
    return conform(pa.table(columns), GAS)


@dataclass
class Poll:
    """What a client of the endpoint got while something else went on."""

    answered: int = 0
    failed: list[str] = field(default_factory=list)
    deployments: set[str] = field(default_factory=set)


class Loop:
    """One app; every drop, wish and look is a test's own doing."""

    def __init__(self, service: BlobServiceClient, control: str, folder: Path, **settings: Any) -> None:
        self._folder = folder
        self._control = control
        self.credential = DefaultAzureCredential()
        self.clock = FakeClock(datetime.now(UTC))
        self.blobs = FrailStore(cast(BlobServiceClient, _Room(service)))
        base: dict[str, Any] = {"aml_endpoint_name": "loop-{dataset}", "score_patience_seconds": 5}
        chosen = Settings(**base | settings)
        self.workspace = AzureMLWorkspace(chosen, self.credential)
        self.app = App(chosen, self.blobs, FakeQueue(), self.workspace, self._token, self.clock, self.clock.sleep)
        self.client = MLClient(
            self.credential,
            chosen.aml_subscription_id,
            chosen.aml_resource_group,
            chosen.aml_workspace_name,
            show_progress=False,
        )

    def _token(self, fresh: bool) -> str:
        return self.credential.get_token(AML_SCOPE).token

    def order(self, *rules: dict[str, Any]) -> None:
        """From now on these faults happen."""
        token = self.credential.get_token("https://management.azure.com/.default").token
        headers = {"Authorization": f"Bearer {token}"}
        answer = requests.put(self._control, json={"rules": rules}, headers=headers, timeout=10)
        assert answer.status_code == 200, answer.text

    def injected(self) -> int:
        """How many were."""
        token = self.credential.get_token("https://management.azure.com/.default").token
        answer = requests.get(self._control, headers={"Authorization": f"Bearer {token}"}, timeout=10)
        return sum(rule["injected"] for rule in answer.json()["rules"])

    def registered(self, *, broken: bool = False) -> Run:
        """A run as it is once its model is registered, with a real model of its own, or a `broken` bundle."""
        self.clock.advance(timedelta(seconds=2))
        blob, etag = f"{DATASETS}/gas/x.csv", f"0x{time.monotonic_ns():x}"
        identity = run_id("train", blob, etag, self.clock())
        self._leave_bundle(f"gas/{identity}", broken)
        tags = {"run": identity, "blob": blob, "etag": etag, "sha256": "0" * 64, "metric.recall": "0.5"}
        known = [int(each.version) for each in self.workspace.models(GAS.model_name)]
        version = str(max(known, default=0) + 1)
        path, live = f"azureml://datastores/dropscore/paths/gas/{identity}/model", self.app.live.get("gas")
        self.client.models.create_or_update(
            Model(name=GAS.model_name, version=version, path=path, type="custom_model", tags=tags)
        )
        run = Run(
            id=identity,
            kind="train",
            dataset="gas",
            blob=blob,
            etag=etag,
            state=State.REGISTERED,
            metrics={"recall": 0.5, "alert_rate": 0.01},
            champion={"model": live.model, "version": live.version, "run": live.run, "metrics": {}} if live else None,
            verdict={"promote": True, "reasons": []},
            model_version=version,
        )
        return self.app.runs.create(run.entered(State.REGISTERED, self.clock()))[0].run

    def _leave_bundle(self, place: str, broken: bool) -> None:
        # The meter that is dropped: a challenger of it is not refused for what the champion has never seen.
        rows = rows_from_table(table(days=30), GAS).rows
        pipeline = build_pipeline(GAS, 0.05).set_params(detector__n_estimators=_TREES)
        bundle = save_bundle(self._folder, pipeline.fit(rows), GAS, cast(Any, {}))
        data = b"no bundle" if broken else bundle.read_bytes()
        self.blobs.put(TRAINING, f"{place}/model/{bundle.name}", data)
        self.blobs.put(TRAINING, f"{place}/sample.arrow", write_table(table(days=2)))

    def spoil(self, run: Run) -> None:
        """The table of a run that was found good is replaced by its first row: too little to train on."""
        file = pa.BufferOutputStream()
        pq.write_table(table(days=2).slice(0, 1), file)
        self.blobs.put(TRAINING, f"gas/{run.id}/data.parquet", file.getvalue().to_pybytes())

    def drop(self, name: str, days: int = 30) -> Run:
        """A dataset is dropped."""
        self.clock.advance(timedelta(seconds=2))
        self.blobs.put(DATASETS, name, plain_csv(hourly_gas(FIRST, days, 1)).encode())
        return self.app.retraining.receive(self.blobs.info(DATASETS, name))[0].run

    def score(self, name: str, days: int = 3) -> Run:
        """A file is dropped and scored."""
        self.blobs.put(INCOMING, name, plain_csv(hourly_gas(FIRST, days, 2)).encode())
        return self.app.files.run(self.app.files.receive(self.blobs.info(INCOMING, name))[0])

    def read(self, run: Run) -> Run:
        """The record as it is now."""
        return self.app.runs.load(run.dataset, run.id).run

    def look(self, run: Run) -> Run:
        """One look at one run, ten seconds later by the app's clock."""
        self.clock.advance(timedelta(seconds=10))
        return self.app.retraining.advance(self.app.runs.load(run.dataset, run.id))

    def until(self, run: Run, *states: str) -> Run:
        """Looks at the run until it stands in one of the states."""
        deadline = time.monotonic() + _SECONDS_AT_MOST
        while time.monotonic() < deadline:
            run = self.look(run)
            if run.state in states:
                return run
            time.sleep(0.1)
        raise AssertionError(f"still {run.state}: {run.error}")

    def settle(self, run: Run) -> Run:
        """Looks at the run until it ends."""
        return self.until(run, *ENDS)

    def promoted(self) -> Run:
        """One more version in service."""
        run = self.settle(self.registered())
        assert run.state == "live", run.error
        return run

    def traffic(self) -> dict[str, int]:
        """Per cent by deployment."""
        found = self.workspace.endpoint(ENDPOINT)
        return dict(found.traffic) if found is not None else {}

    def colours(self) -> set[str]:
        """The deployments that are there."""
        return {colour for colour in ("blue", "green") if self.workspace.deployment(ENDPOINT, colour) is not None}

    def live(self) -> str:
        """The colour that the app scores with."""
        found = self.app.live.get("gas")
        assert found is not None
        return found.deployment

    @contextmanager
    def polled(self) -> Iterator[Poll]:
        """A client asks the endpoint all the time, without naming a deployment, as somebody else's program would."""
        poll, over = Poll(), threading.Event()
        live = self.app.live.get("gas")
        assert live is not None
        token = self._token(False)

        def ask() -> None:
            with requests.Session() as session:
                session.headers["Authorization"] = f"Bearer {token}"
                while not over.is_set():
                    try:
                        answer = session.post(live.scoring_uri, json=_BODY, timeout=30)
                        if answer.status_code == 200 and answer.json()["ok"] and answer.json()["rows"] == 3:
                            poll.answered += 1
                            poll.deployments.add(answer.headers["azureml-model-deployment"])
                        else:
                            poll.failed.append(f"{answer.status_code} {answer.text[:200]}")
                    except requests.RequestException as error:
                        poll.failed.append(repr(error))
                    over.wait(0.05)

        client = threading.Thread(target=ask)
        client.start()
        try:
            yield poll
            asked = poll.answered + len(poll.failed)
            while poll.answered + len(poll.failed) < asked + 2:  # one was begun after all of it
                time.sleep(0.01)
        finally:
            over.set()
            client.join()
