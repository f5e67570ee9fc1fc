"""Calls of the seam to Azure ML as lines: nothing changes on the way, and what is no call or answer is refused."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aml.contract import Tuning, load_contract
from shared.errors import DropscoreError, WorkspaceRefusedError, WorkspaceUnavailableError
from shared.retraining.calls import (
    BrokenAdapterError,
    read_answer,
    read_call,
    write_answer,
    write_call,
    write_fault,
)
from shared.retraining.child import answer
from shared.retraining.workspace import Deployment, Endpoint, JobStatus, ModelVersion, TrainingJob
from tests.fakes.blobs import FakeBlobStore
from tests.fakes.workspace import FakeWorkspace

WORDS = st.text(max_size=20)
TAGS = st.dictionaries(WORDS, WORDS, max_size=3)
MODELS = st.builds(ModelVersion, WORDS, WORDS, TAGS)
TUNINGS = st.sampled_from(
    [
        Tuning(),
        load_contract("gas").tuning,
        Tuning.model_validate(
            {
                "method": "sweep",
                "trials": 3,
                "space": {
                    "trees": {"values": [8, 16]},
                    "max_features": {"values": [0.5, 1.0]},
                    "contamination": {"minimum": 0.001, "maximum": 0.1, "log": True},
                },
                "early_termination": {"policy": "bandit", "slack_factor": 0.1},
            }
        ),
    ]
)
JOBS = st.builds(TrainingJob, WORDS, WORDS, WORDS, WORDS, st.floats(0, 0.5), TAGS, st.none() | MODELS, TUNINGS)
PROGRESS = st.sampled_from(["under way", "succeeded", "failed", "canceled"])
TRIED = st.lists(st.fixed_dictionaries({"job": WORDS, "value": st.none() | st.floats(0, 1)}), max_size=2).map(tuple)
ANSWERS = st.one_of(
    st.tuples(
        st.just("job"),
        st.none() | st.builds(JobStatus, PROGRESS, WORDS, st.none() | WORDS, st.none() | WORDS, TRIED),
    ),
    st.tuples(st.just("models"), st.lists(MODELS, max_size=3)),
    st.tuples(st.just("register"), WORDS),
    st.tuples(st.just("archive"), st.none()),
    st.tuples(
        st.just("endpoint"),
        st.none() | st.builds(Endpoint, WORDS, PROGRESS, WORDS, st.dictionaries(WORDS, st.integers(0, 100))),
    ),
    st.tuples(st.just("deployment"), st.none() | st.builds(Deployment, WORDS, PROGRESS, WORDS)),
)


@given(JOBS)
def test_a_job_comes_as_it_was_sent(job: TrainingJob) -> None:
    line = write_call("start_training", {"job": job})

    assert line.count(b"\n") == 1
    assert read_call(line) == ("start_training", {"job": job})


@given(WORDS, WORDS, MODELS)
def test_so_do_arguments_by_name(endpoint: str, name: str, model: ModelVersion) -> None:
    arguments = {"endpoint": endpoint, "name": name, "model": model, "run": "r"}

    assert read_call(write_call("start_deployment", arguments)) == ("start_deployment", arguments)


@given(ANSWERS)
def test_an_answer_comes_as_it_was_given(answered: tuple[str, Any]) -> None:
    name, value = answered
    line = write_answer(name, value)

    assert line.count(b"\n") == 1
    assert read_answer(name, line) == value


@pytest.mark.parametrize(
    "error",
    [
        WorkspaceUnavailableError("workspace_unavailable", "Azure ML answered 429: é\n", status=429, retry_after=30),
        WorkspaceRefusedError("quota_exceeded", "none left"),
    ],
)
def test_an_error_comes_as_what_it_was(error: DropscoreError) -> None:
    with pytest.raises(type(error)) as caught:
        read_answer("job", write_fault(error))

    assert type(caught.value) is type(error)
    assert (caught.value.code, caught.value.message, caught.value.where) == (error.code, error.message, error.where)


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"Uploading code: 100%\n",
        b'{"call": "__init__", "arguments": {}}\n',
        b'{"call": "no_such_call", "arguments": {}}\n',
        b'{"call": "job", "arguments": {}}\n',
        b'{"call": "job", "arguments": {"name": 1}}\n',
        b'{"call": "job", "arguments": {"name": "x", "return": null}}\n',
    ],
)
def test_what_is_no_call_is_refused(line: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        read_call(line)


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"Uploading code: 100%\n",
        b'{"value": "succeeded"}\n',
        b'{"value": null, "more": 1}\n',
        b'{"fault": {"kind": "KeyError", "code": "c", "message": "m", "where": {}}}\n',
    ],
)
def test_what_is_no_answer_is_refused(line: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        read_answer("job", line)


def test_the_child_answers_with_what_its_adapter_returns_and_raises() -> None:
    workspace = FakeWorkspace(FakeBlobStore())

    def ask(call: str, **arguments: object) -> Any:
        return read_answer(call, answer(workspace, write_call(call, arguments)))

    assert ask("job", name="no-such-job") is None
    assert ask("start_endpoint", name="e", dataset="gas") is None
    begun = ask("endpoint", name="e")
    assert (begun.name, begun.progress) == ("e", "under way")
    with pytest.raises(WorkspaceRefusedError) as caught:
        ask("start_traffic", endpoint="none", shares={"blue": 100})
    assert caught.value.code == "workspace_refused"


def test_what_nobody_expected_of_the_adapter_is_as_unexpected_here() -> None:
    class Broken(FakeWorkspace):
        def models(self, model: str) -> Sequence[ModelVersion]:
            raise KeyError("a bug")

    line = answer(Broken(FakeBlobStore()), write_call("models", {"model": "m"}))

    with pytest.raises(BrokenAdapterError, match="KeyError: 'a bug'"):
        read_answer("models", line)
    with pytest.raises(BrokenAdapterError, match="ValidationError"):
        read_answer("models", answer(Broken(FakeBlobStore()), b"{}\n"))


def test_a_line_is_json_in_ascii() -> None:
    line = write_call("archive", {"model": "é\u2028", "version": "1"})

    assert line.isascii()
    assert json.loads(line) == {"call": "archive", "arguments": {"model": "é\u2028", "version": "1"}}
