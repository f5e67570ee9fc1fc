"""The emulator answers as Microsoft's recordings show that the service does (recorded_facts.yml)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests
import yaml
from azure.storage.blob import BlobServiceClient

from local.azureml.launch import AzureMLEmulator

from .conftest import until

FACTS: list[dict[str, Any]] = yaml.safe_load(Path(__file__).with_name("recorded_facts.yml").read_text(encoding="utf-8"))

TYPES: dict[str, type | tuple[type, ...]] = {
    "text": str,
    "number": (int, float),
    "boolean": bool,
    "mapping": dict,
    "list": list,
    "null": type(None),
}

Exchanges = dict[str, requests.Response]


class Replay:
    """Sends the facts' requests in their order, with the emulator's own ids in place of the placeholders."""

    def __init__(self, url: str, settings: dict[str, str], certificate: str, conda: str, code: str) -> None:
        self._url = url
        self._session = requests.Session()
        self._session.verify = certificate
        # the settings name a certificate too, and the environment must not win
        self._session.trust_env = False
        subscription, group = settings["AML_SUBSCRIPTION_ID"], settings["AML_RESOURCE_GROUP"]
        workspace = f"/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.MachineLearningServices"
        workspace += f"/workspaces/{settings['AML_WORKSPACE_NAME']}"
        long_uri = (
            f"azureml://subscriptions/{subscription}/resourcegroups/{group}/workspaces/{settings['AML_WORKSPACE_NAME']}"
        )
        self._words = {"WS": workspace, "LONG": long_uri, "CONDA": conda, "CODE": code}
        self._token = self._session.get(
            settings["IDENTITY_ENDPOINT"],
            params={"resource": url, "api-version": "2019-08-01"},
            headers={"X-IDENTITY-HEADER": settings["IDENTITY_HEADER"]},
            timeout=10,
        ).json()["access_token"]

    def run(self) -> Exchanges:
        """Every fact's answer."""
        answers = {}
        for fact in FACTS:
            answer = self._answer(fact)
            answers[fact["id"]] = answer
            if fact["id"] in ("endpoint", "deployment"):
                word = "OPERATION" if fact["id"] == "endpoint" else "DEPLOYMENT_OPERATION"
                self._words[word] = urlsplit(answer.headers["Azure-AsyncOperation"]).path
            if fact["id"] == "endpoint that is ready":
                self._words["SCORE"] = urlsplit(answer.json()["properties"]["scoringUri"]).path
            if fact["id"] == "keys":
                self._words["KEY"] = answer.json()["primaryKey"]
        return answers

    def _answer(self, fact: dict[str, Any]) -> requests.Response:
        if "until" not in fact:
            return self._send(fact)

        def look() -> requests.Response | None:
            answer = self._send(fact)
            met = all(at(answer.json(), path) == value for path, value in fact["until"].items())
            return answer if met else None

        return until(look)

    def _send(self, fact: dict[str, Any]) -> requests.Response:
        method, address = fact["send"].split(" ")
        secret = self._words["KEY"] if address == "SCORE" else self._token
        word, _, rest = address.replace("?", "/?", 1).partition("/")
        path = self._words[word] + ("/" + rest if rest else "")
        return self._session.request(
            method,
            self._url + path.replace("/?", "?"),
            json=self._filled(fact["body"]) if "body" in fact else None,
            headers={"Authorization": f"Bearer {secret}"},
            timeout=30,
        )

    def _filled(self, value: Any) -> Any:
        if isinstance(value, dict):
            return {key: self._filled(item) for key, item in value.items()}
        if isinstance(value, list):
            return [self._filled(item) for item in value]
        if isinstance(value, str):
            word, slash, rest = value.partition("/")
            return self._words.get(word, word) + slash + rest
        return value


@pytest.fixture(scope="module")
def exchanges(azureml: AzureMLEmulator, blobs: BlobServiceClient, code: Path, model_conda_file: Path) -> Exchanges:
    blobs.get_blob_client("training", "recorded/model/weights.txt").upload_blob(b"1", overwrite=True)
    score = (code / "score.py").read_bytes()
    uploaded = blobs.get_blob_client("azureml", "LocalUpload/recorded/onlinescoring/score.py")
    uploaded.upload_blob(score, overwrite=True)
    settings = azureml.client_environment()
    snapshot = uploaded.url.removesuffix("/score.py")
    conda = model_conda_file.read_text(encoding="utf-8")
    return Replay(azureml.url, settings, settings["REQUESTS_CA_BUNDLE"], conda, snapshot).run()


@pytest.mark.parametrize("fact", FACTS, ids=lambda fact: fact["id"])
def test_the_answer_is_what_was_recorded(exchanges: Exchanges, fact: dict[str, Any]) -> None:
    answer = exchanges[fact["id"]]

    assert answer.status_code == fact["status"], answer.text
    assert [name for name in fact.get("headers", []) if name not in answer.headers] == []
    if "text" in fact:
        assert answer.text == fact["text"]
        return
    assert [path for path, expected in fact["has"].items() if not fits(at(answer.json(), path), expected)] == []


def test_a_conda_file_is_kept_as_json(exchanges: Exchanges, model_conda_file: Path) -> None:
    kept = json.loads(exchanges["environment"].json()["properties"]["condaFile"])

    assert kept == yaml.safe_load(model_conda_file.read_text(encoding="utf-8"))


def _without_header(url: str, certificate: str) -> list[tuple[int, str]]:
    asked = [
        requests.get(url, verify=certificate, timeout=10),
        requests.get(url, verify=certificate, headers={"Authorization": "Bearer e30.e30.e30"}, timeout=10),
    ]
    return [(answer.status_code, answer.json()["error"]["code"]) for answer in asked]


def test_nothing_is_answered_without_a_token(azureml: AzureMLEmulator) -> None:
    settings = azureml.client_environment()
    certificate = settings["REQUESTS_CA_BUNDLE"]
    url = f"{azureml.url}/subscriptions/{settings['AML_SUBSCRIPTION_ID']}/resourceGroups/x"

    assert _without_header(url, certificate) == [(401, "AuthenticationFailed"), (401, "InvalidAuthenticationToken")]
    assert (
        requests.get(settings["IDENTITY_ENDPOINT"], {"resource": "x"}, verify=certificate, timeout=10).status_code
        == 400
    )


def at(body: Any, path: str) -> Any:
    """What lies at a path in a JSON body; the class `Missing` when nothing does."""
    for part in path.split("/"):
        try:
            body = body[int(part) if isinstance(body, list) else part]
        except (KeyError, IndexError, TypeError):
            return Missing
    return body


class Missing:
    """Nothing, which is not null."""


def fits(value: Any, expected: str) -> bool:
    """Whether a value is of the type, or is the value, that a fact names."""
    if expected.startswith("="):
        exact = expected[1:].strip('"')
        return str(value) == exact
    return isinstance(value, TYPES[expected])
