"""Metrics of a job where Azure ML sees them: one call of MLflow's REST interface, to the address that a job is given.

Azure ML sets MLFLOW_TRACKING_URI (`azureml://<host>/<path>`, the REST interface at https://<host>/<path>),
MLFLOW_RUN_ID and MLFLOW_TRACKING_TOKEN. MLflow's own client would be another 20 packages in the model's environment and
three seconds at each start of a job. Logging never fails a training: metrics.json is what counts.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

_ROUTE = "/api/2.0/mlflow/runs/log-batch"
_SECONDS = 10


@dataclass
class Tracker:
    """Logs to one run at `url`; nowhere when that is None, and no more once it has failed."""

    url: str | None
    run: str = ""
    token: str = ""
    clock: Callable[[], float] = time.time

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> Tracker:
        """The tracker of the job whose environment variables these are; outside of a job, one that logs nowhere."""
        where = urlsplit(environment.get("MLFLOW_TRACKING_URI", ""))
        run = environment.get("MLFLOW_RUN_ID", "")
        if where.scheme not in ("azureml", "https", "http") or not run:
            return cls(None)
        scheme = "http" if where.scheme == "http" else "https"
        url = f"{scheme}://{where.netloc}{where.path.rstrip('/')}{_ROUTE}"
        return cls(url, run, environment.get("MLFLOW_TRACKING_TOKEN", ""))

    def log(self, metrics: Mapping[str, object], step: int = 0) -> None:
        """Log what is a finite number among these; a failure is said once, on stdout."""
        if self.url is None:
            return
        now = int(self.clock() * 1000)
        numbers = {name: value for name, value in metrics.items() if _is_number(value)}
        points = [{"key": name, "value": value, "timestamp": now, "step": step} for name, value in numbers.items()]
        try:
            self._post(self.url, {"run_id": self.run, "metrics": points})
        # Whatever goes wrong here, a missing library among it, the model is worth more than its log.
        except Exception as error:
            print(f"metrics are not logged: {type(error).__name__}: {error}", flush=True)
            self.url = None

    def _post(self, url: str, body: object) -> None:
        import requests  # only jobs log, and only they pay for it

        headers = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        requests.post(url, json=body, headers=headers, timeout=_SECONDS).raise_for_status()


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
