"""Log lines carry what they are about, and nothing that must stay where the data is."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from shared import composition, telemetry
from shared.errors import (
    DropscoreError,
    EndpointRefusedError,
    EndpointUnavailableError,
    InvalidInputError,
    WorkspaceRefusedError,
)
from shared.telemetry.logs import Describe, JsonLines, describe, dimensions
from tests.fakes.telemetry import Heard, described, listening
from tests.unit.telemetry.test_instruments import received

_log = logging.getLogger("shared.tests")


@pytest.fixture
def heard(monkeypatch: pytest.MonkeyPatch) -> Iterator[Heard]:
    with listening(monkeypatch) as heard:
        yield heard


def said(heard: Heard) -> dict[str, object]:
    """The last line, as a line of JSON."""
    line: dict[str, object] = json.loads(JsonLines().format(heard.lines[-1]))
    return line


def test_a_line_says_which_run_it_is_about_and_in_which_state(heard: Heard) -> None:
    run = received()
    with telemetry.following(run):
        _log.info("first")
        telemetry.moved(run, run.entered("scoring", run.created))
        _log.info("then", extra={"rows": 7})
    line = said(heard)

    assert {
        "run": run.id,
        "kind": "score",
        "dataset": "gas",
        "blob": run.blob,
        "state": "scoring",
    }.items() <= line.items()
    assert (line["message"], line["level"], line["logger"], line["rows"]) == ("then", "INFO", "shared.tests", 7)
    assert json.loads(JsonLines().format(heard.lines[0]))["state"] == "received"


def test_a_line_outside_of_any_run_has_no_dimension_of_one(heard: Heard) -> None:
    with telemetry.following(received()):
        pass
    _log.info("later")

    assert "run" not in said(heard)


def test_what_the_call_says_itself_goes_before_the_run_in_hand(heard: Heard) -> None:
    with dimensions(blob="incoming/gas/a.csv"):
        _log.info("about another", extra={"blob": "incoming/gas/b.csv"})

    assert said(heard)["blob"] == "incoming/gas/b.csv"


def test_a_thread_that_is_handed_the_work_says_the_same(heard: Heard) -> None:
    with ThreadPoolExecutor(2) as pool, dimensions(run="r"):
        for done in [pool.submit(telemetry.carried(_log.info), "there %s", n) for n in range(4)]:
            done.result()

    assert [vars(line)["run"] for line in heard.lines] == ["r"] * 4


@pytest.mark.parametrize(
    "error",
    [
        InvalidInputError("no_usable_row", "Row 1: 'geheim 17' is no number.", row=1),
        EndpointRefusedError("rows_refused", "The model refused the rows: geheim 17", status=424, row=1),
        EndpointUnavailableError("endpoint_failed", "The endpoint answered 500: geheim 17", status=500, row=1),
    ],
)
def test_an_error_that_may_quote_rows_is_its_code(heard: Heard, error: DropscoreError) -> None:
    _log.warning("it failed: %s", error, extra=error.where)
    line = said(heard)

    assert (line["code"], line["row"], line["message"]) == (error.code, 1, f"it failed: {error.code}")
    assert "geheim" not in heard.everything()


def test_an_error_of_azure_ml_keeps_its_words(heard: Heard) -> None:
    _log.warning("it failed: %s", WorkspaceRefusedError("workspace_refused", "No quota in this region."))

    assert said(heard)["message"] == "it failed: workspace_refused: No quota in this region."


@pytest.mark.parametrize(
    "secret",
    [
        "https://x.blob.core.windows.net/c/b?sv=1&sig=SECRET%2Bq&se=2",
        "AccountName=a;AccountKey=SECRET==;EndpointSuffix=x",
        "Authorization: Bearer SECRET.a.b",
        "https://app.test/api/runs?code=SECRET==",
        "InstrumentationKey=SECRET-1;x",
    ],
)
def test_a_secret_in_a_text_or_a_dimension_is_cut_out(heard: Heard, secret: str) -> None:
    error = WorkspaceRefusedError("workspace_refused", f"It said {secret} no.", url=secret)
    with dimensions(about=secret):
        _log.warning("%s and %s", error, secret)

    assert "SECRET" not in heard.everything()
    assert said(heard)["code"] == "workspace_refused"


def test_a_line_with_too_few_arguments_is_the_handlers_concern(heard: Heard) -> None:
    assert Describe().filter(logging.makeLogRecord({"msg": "%s and %s", "args": ("one",)}))


def test_every_logger_of_the_app_is_there_when_the_app_is_put_together() -> None:
    assert composition.__name__ in sys.modules
    with described():
        bare = [
            name
            for name, module in sys.modules.items()
            if name.startswith("shared.")
            and isinstance(log := getattr(module, "_log", None), logging.Logger)
            and not any(isinstance(each, Describe) for each in log.filters)
        ]

    assert bare == []


@pytest.mark.parametrize(("chosen", "then"), [(logging.NOTSET, logging.WARNING), (logging.DEBUG, logging.DEBUG)])
def test_azures_libraries_do_not_log_their_requests_unless_somebody_wants_it(
    monkeypatch: pytest.MonkeyPatch, chosen: int, then: int
) -> None:
    azure = logging.getLogger("azure")
    monkeypatch.setattr(azure, "level", chosen)
    with described():
        assert azure.level == then


def test_json_is_one_line_a_record_with_the_traceback_inside() -> None:
    try:
        raise ValueError("broken")
    except ValueError:
        record = logging.LogRecord("x", logging.ERROR, __file__, 1, "two\nlines", None, sys.exc_info())
    line = JsonLines().format(record)

    assert "\n" not in line
    assert json.loads(line)["exception"].endswith("ValueError: broken")


def test_json_is_what_every_handler_writes_where_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    handler = logging.StreamHandler()
    monkeypatch.setattr(logging.getLogger(), "handlers", [handler])
    with described():
        assert handler.formatter is None
        describe(as_json=True)

    assert isinstance(handler.formatter, JsonLines)
