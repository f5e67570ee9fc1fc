"""What the HTTP doors answer: requests in plain values, replies in plain values, errors as problem+json (RFC 9457)."""

from shared.api.describing import docs, docs_file, openapi
from shared.api.health import health
from shared.api.information import model
from shared.api.lineage import lineage
from shared.api.openapi import Route
from shared.api.predicting import predict, predict_batch
from shared.api.records import dataset, datasets, run, runs
from shared.api.replies import Reply, Request, problem
from shared.api.scoring import score
from shared.api.training import activate, models, train
from shared.api.validating import validate

__all__ = [
    "Reply",
    "Request",
    "Route",
    "activate",
    "dataset",
    "datasets",
    "docs",
    "docs_file",
    "health",
    "lineage",
    "model",
    "models",
    "openapi",
    "predict",
    "predict_batch",
    "problem",
    "run",
    "runs",
    "score",
    "train",
    "validate",
]
