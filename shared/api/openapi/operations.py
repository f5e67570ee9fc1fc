"""What is said of every route beside what the host knows of it: parameters, bodies, replies, the errors to expect."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Schema = dict[str, Any]

JSON = "application/json"
CSV = "text/csv"

TABLE_CODES = (
    *("bad_json", "empty_file", "no_rows", "no_usable_row", "binary_file", "unreadable_file", "unknown_encoding"),
    *("bad_header", "line_too_long", "missing_column", "ambiguous_column", "contradictory_times"),
)
SERIES_CODES = (
    *("RequiredSeries", "RequiredGranularity", "BadArgument", "InvalidSeries", "InvalidGranularity"),
    *("InvalidCustomInterval", "InvalidPeriod", "InvalidModelArgument", "InvalidImputeMode"),
    "InvalidImputeFixedValue",
)
ENDPOINT_REFUSES = (
    *("endpoint_error", "endpoint_refuses_all", "request_too_large", "unknown_model", "wire_refused"),
    "wrong_row_count",
)
ENDPOINT_DOWN = (
    *("no_live_model", "endpoint_unreachable", "endpoint_failed", "endpoint_throttled", "endpoint_unauthorized"),
    *("endpoint_missing", "malformed_answer", "model_changed", "bundle_missing", "bundle_unusable"),
)
EVERYWHERE: Mapping[int, tuple[str, ...]] = {503: ("storage_unavailable", "storage_not_configured")}
"""Of every route that looks at storage."""
CONFLICTS = ("blob_changed", "run_moved")


def ref(name: str) -> Schema:
    """A schema of the document's components."""
    return {"$ref": f"#/components/schemas/{name}"}


@dataclass(frozen=True)
class Query:
    """A parameter of the query."""

    name: str
    schema: Schema
    description: str


@dataclass(frozen=True)
class Answer:
    """A reply: what it means, and its schema by media type."""

    description: str
    content: Mapping[str, Schema]


@dataclass(frozen=True)
class Operation:
    """What a route takes and answers; `problems` are the codes of its errors by status."""

    tag: str
    replies: Mapping[int, Answer]
    description: str = ""
    query: tuple[Query, ...] = ()
    body: Mapping[str, Schema] = field(default_factory=dict)
    body_required: bool = False
    problems: Mapping[int, tuple[str, ...]] = field(default_factory=dict)


_MODEL = Query(
    "model",
    {"type": "string"},
    "Which of the dataset's models answers: `best`, `all`, or one's name; left out, as the contract says.",
)
_CHOICE_CODES = ("unknown_model", "bad_model")
_TABLES: Mapping[str, Schema] = {
    CSV: {"type": "string", "description": "A table, written in any way that files may be."},
    "application/gzip": {"description": "A table as `.csv.gz`."},
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": {"description": "A workbook."},
    "application/vnd.apache.parquet": {"description": "A Parquet file."},
}
_RUN = Answer("The run, which goes on by itself; `Location` is where to look for it.", {JSON: ref("Run")})
_DATASET_IS_UNKNOWN = {404: ("unknown_dataset",)}


def _page(description: str, media_type: str) -> Answer:
    return Answer(description, {media_type: {"type": "string"}})


OPERATIONS: Mapping[tuple[str, str], Operation] = {
    ("GET", "health"): Operation(
        "app",
        {
            200: Answer("Storage answers, so that the app works.", {JSON: ref("Health")}),
            503: Answer(
                "Storage does not answer, or none is configured.",
                {JSON: ref("Health"), "application/problem+json": ref("Problem")},
            ),
        },
    ),
    ("GET", "openapi.json"): Operation("app", {200: Answer("An OpenAPI 3.1 document.", {JSON: {"type": "object"}})}),
    ("GET", "docs"): Operation("app", {200: _page("The page.", "text/html")}),
    ("GET", "docs/{file}"): Operation(
        "app",
        {200: Answer("The file.", {name: {} for name in ("text/css", "text/javascript", "image/png")})},
        problems={404: ("file_not_found",)},
    ),
    ("GET", "datasets"): Operation("datasets", {200: Answer("All of them.", {JSON: ref("DatasetList")})}),
    ("GET", "datasets/{dataset}"): Operation(
        "datasets", {200: Answer("The dataset.", {JSON: ref("DatasetDetail")})}, problems=_DATASET_IS_UNKNOWN
    ),
    ("POST", "datasets/{dataset}/train"): Operation(
        "models",
        {202: _RUN},
        body={JSON: ref("TrainRequest")},
        problems={
            400: ("bad_json", "bad_blob", "bad_contamination", "bad_force", "bad_reason"),
            404: ("unknown_dataset", "blob_not_found", "no_dataset"),
        },
    ),
    ("POST", "datasets/{dataset}/score"): Operation(
        "scoring",
        {
            200: Answer(
                "Every row in its order, with its predictions or the reason why it has none.",
                {
                    JSON: {
                        "anyOf": [ref(name) for name in ("ScoredTable", "WholeSeries", "LastPoint", "ChangePoints")]
                    },
                    CSV: {"type": "string", "description": "The scored file, where `Accept` asks for it."},
                },
            ),
            202: _RUN,
        },
        description="A table or a series in the body is scored at once; a blob in `incoming`, by a run.",
        query=(
            Query(
                "mode",
                {"type": "string", "enum": ["entire", "last", "changepoint"]},
                "For a body with `series`: the operation of Azure's Anomaly Detector that is meant.",
            ),
            _MODEL,
        ),
        body={
            JSON: {"anyOf": [ref("ScoreRows"), ref("ScoreBlob"), ref("SeriesRequest")]},
            **_TABLES,
        },
        body_required=True,
        problems={
            400: (*TABLE_CODES, "bad_blob", *_CHOICE_CODES, "not_a_series", *SERIES_CODES),
            404: ("unknown_dataset", "blob_not_found"),
            409: (*CONFLICTS, "run_under_way"),
            413: ("body_too_large",),
            415: ("unsupported_media_type",),
            502: ENDPOINT_REFUSES,
            503: ENDPOINT_DOWN,
        },
    ),
    ("POST", "datasets/{dataset}/predict"): Operation(
        "scoring",
        {
            200: Answer(
                "The class that is predicted, under the target's name, or with `model=all` each model's.",
                {JSON: ref("Predicted")},
            )
        },
        description="For datasets whose task is classification; of others `score` says what there is to say of a row.",
        query=(_MODEL,),
        body={JSON: ref("PredictRow")},
        body_required=True,
        problems={
            400: (*TABLE_CODES, *_CHOICE_CODES, "not_a_classification", "rows_refused"),
            404: ("unknown_dataset",),
            413: ("body_too_large",),
            502: ENDPOINT_REFUSES,
            503: ENDPOINT_DOWN,
        },
    ),
    ("POST", "datasets/{dataset}/predict/batch"): Operation(
        "scoring",
        {200: Answer("What is said of each row, or why there is nothing to say of it.", {JSON: ref("Batch")})},
        description="As many rows as the setting `PREDICT_BATCH_ROWS` says; `score` takes more.",
        query=(_MODEL,),
        body={JSON: ref("PredictRows")},
        body_required=True,
        problems={
            400: (*TABLE_CODES, *_CHOICE_CODES, "not_a_classification"),
            404: ("unknown_dataset",),
            413: ("body_too_large", "batch_too_large"),
            502: ENDPOINT_REFUSES,
            503: ENDPOINT_DOWN,
        },
    ),
    ("POST", "datasets/{dataset}/validate"): Operation(
        "scoring",
        {200: Answer("What is wrong, also with a table that could not be scored at all.", {JSON: ref("Validated")})},
        query=(_MODEL,),
        body={JSON: {"anyOf": [ref("PredictRow"), ref("PredictRows"), ref("ScoreRows")]}, **_TABLES},
        body_required=True,
        problems={
            400: ("bad_json", *_CHOICE_CODES),
            404: ("unknown_dataset",),
            413: ("body_too_large",),
            415: ("unsupported_media_type",),
        },
    ),
    ("GET", "datasets/{dataset}/model"): Operation(
        "models", {200: Answer("The model.", {JSON: ref("ModelInformation")})}, problems=_DATASET_IS_UNKNOWN
    ),
    ("GET", "runs"): Operation(
        "runs",
        {200: Answer("Those that were asked for.", {JSON: ref("RunList")})},
        query=(
            Query("dataset", {"type": "string"}, "Of this dataset alone."),
            Query("kind", {"type": "string", "enum": ["train", "score"]}, "Of this kind alone."),
            Query("state", {"type": "string"}, "In one of these states, separated by commas."),
            Query("limit", {"type": "integer", "minimum": 1, "maximum": 1000, "default": 50}, "So many at most."),
        ),
        problems={400: ("bad_limit", "bad_kind", "bad_dataset", "bad_state")},
    ),
    ("GET", "runs/{id}"): Operation(
        "runs", {200: Answer("The run.", {JSON: ref("Run")})}, problems={404: ("run_not_found",)}
    ),
    ("GET", "lineage/{dataset}"): Operation(
        "models",
        {200: Answer("What hangs together, a link for every training run.", {JSON: ref("LineageAnswer")})},
        description="Asked by exactly one of `result`, `model`, `asset` and `blob`.",
        query=(
            Query("result", {"type": "string"}, "A scored file, by the name of what was dropped or of a result."),
            Query("line", {"type": "integer", "minimum": 2}, "With `result`: a line of the scored file."),
            Query("model", {"type": "string"}, "A model version."),
            Query("asset", {"type": "string"}, "A version of the dataset as a data asset."),
            Query("blob", {"type": "string"}, "A dropped dataset."),
            Query("limit", {"type": "integer", "minimum": 1, "maximum": 1000, "default": 50}, "Scored files a model."),
        ),
        problems={
            400: ("bad_question", "bad_line", "bad_limit", "bad_blob"),
            404: (
                "unknown_dataset",
                *("no_result", "no_such_line", "unknown_blob", "unknown_asset", "unknown_version"),
            ),
            502: ("workspace_refused",),
            503: ("workspace_unavailable",),
        },
    ),
    ("GET", "models/{dataset}"): Operation(
        "models",
        {200: Answer("The versions.", {JSON: ref("ModelVersions")})},
        problems={
            **_DATASET_IS_UNKNOWN,
            502: ("workspace_refused", "workspace_not_configured"),
            503: ("workspace_unavailable",),
        },
    ),
    ("POST", "models/{dataset}/{version}/activate"): Operation(
        "models",
        {202: _RUN},
        problems={
            400: ("foreign_version",),
            404: ("unknown_dataset", "version_not_found"),
            502: ("workspace_refused", "workspace_not_configured"),
            503: ("workspace_unavailable",),
        },
    ),
}
