"""The earlier system's way: the whole file as one JSON body of records to an inference server
in which scikit-learn evaluates the forest, the scored file back as `csv_base64`.

Runs in the app's environment: ``python -m benchmarks.earlier URL INPUT OUTPUT`` prints one JSON object with the seconds
and the peak memory in bytes of the client, or the status that the endpoint answered instead of 200.
"""

from __future__ import annotations

import base64
import csv
import json
import sys
import time
from pathlib import Path

import requests

from benchmarks.peak import peak_bytes
from shared.composition import Identity

_TIMEOUT_SECONDS = 180


def main(url: str, source: str, target: str) -> None:
    """Scores `source` into `target` and prints the figures."""
    headers = {"Authorization": f"Bearer {Identity().token(False)}"}
    began = time.perf_counter()
    with Path(source).open(encoding="utf-8", newline="") as file:
        records = [{**row, "VolCorrected": float(row["VolCorrected"])} for row in csv.DictReader(file)]
    response = requests.post(url, json={"data": records}, headers=headers, timeout=_TIMEOUT_SECONDS)
    figures: dict[str, object] = {"rows": len(records), "status": response.status_code}
    if response.status_code == 200:
        Path(target).write_bytes(base64.b64decode(response.json()["csv_base64"]))
    figures["seconds"] = time.perf_counter() - began
    figures["peak_bytes"] = peak_bytes()
    print(json.dumps(figures))


if __name__ == "__main__":
    main(*sys.argv[1:])
