"""Log lines that say what they are about: dimensions on every record of the app, and one line of JSON where asked for.

Dimensions are attributes of the log record, which is what OpenTelemetry's logging handler, and so Application Insights
(`customDimensions`), takes them from. What a line is about comes from three places: the run in hand, the `extra` of the
call, and the error among its arguments.

An error's message may quote the file ("'abc' is no number"), or what an endpoint said of rows. Such messages stand in
the run record, beside the data; the log has the error's code in their place.
"""

from __future__ import annotations

import contextvars
import json
import logging
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import ParamSpec, TypeVar

from shared.errors import (
    ConflictError,
    DropscoreError,
    NoLiveModelError,
    NotFoundError,
    StorageUnavailableError,
    WorkspaceRefusedError,
    WorkspaceUnavailableError,
)

_P = ParamSpec("_P")
_T = TypeVar("_T")

APP_LOGGERS = ("shared", "dropscore")
"""Names under which the app logs."""

_QUOTES_NOTHING = (
    ConflictError,
    NoLiveModelError,
    NotFoundError,
    StorageUnavailableError,
    WorkspaceRefusedError,
    WorkspaceUnavailableError,
)
_SECRET = re.compile(
    r"(?i)((?:\b(?:sig|accountkey|sharedaccesskey|instrumentationkey)|[?&]code)=|\bbearer )[^\s&;,'\"]+"
)
_OF_EVERY_RECORD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}

_about: contextvars.ContextVar[Mapping[str, str]] = contextvars.ContextVar("about", default={})  # noqa: B039 - a Mapping


@contextmanager
def dimensions(**known: str) -> Iterator[None]:
    """Everything that is logged inside, by this thread or by what `carried` wraps, has these dimensions."""
    token = _about.set({**_about.get(), **known})
    try:
        yield
    finally:
        _about.reset(token)


def now_in(run: str, state: str) -> None:
    """What is logged from here on about that run, if it is the one in hand, has this state."""
    about = _about.get()
    if about.get("run") == run:
        _about.set({**about, "state": state})


def carried(function: Callable[_P, _T]) -> Callable[_P, _T]:
    """The function with the dimensions and the span of here and now, for a thread that would start with none."""
    context = contextvars.copy_context()

    def called(*args: _P.args, **kwargs: _P.kwargs) -> _T:
        return context.copy().run(function, *args, **kwargs)

    return called


class Describe(logging.Filter):
    """Adds the dimensions to a record, and takes out of its text what must not leave the storage account."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Always True: nothing is held back."""
        known: dict[str, object] = dict(_about.get())
        args = record.args if isinstance(record.args, tuple) else ()
        for error in (each for each in args if isinstance(each, DropscoreError)):
            known |= {**error.where, "code": error.code}
        for name, value in known.items():
            if name not in _OF_EVERY_RECORD and name not in vars(record):
                setattr(record, name, value if isinstance(value, bool | int | float) else _without_secrets(str(value)))
        if args:
            record.args = tuple(_shown(each) for each in args)
        with suppress(TypeError, ValueError):  # a line with too few arguments: the handler says so
            record.msg, record.args = _without_secrets(record.getMessage()), None
        return True


class JsonLines(logging.Formatter):
    """One JSON object a line: time, level, logger, message, and the record's dimensions beside them."""

    def format(self, record: logging.LogRecord) -> str:
        """See `logging.Formatter.format`."""
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        line |= {name: value for name, value in vars(record).items() if name not in _OF_EVERY_RECORD}
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False, default=str)


def describe(*, as_json: bool = False) -> None:
    """Puts the dimensions on every logger that the app has by now; with `as_json`, one line of JSON from each handler.

    May be called any number of times.
    """
    for name in [*APP_LOGGERS, *list(logging.root.manager.loggerDict)]:
        if name.split(".")[0] in APP_LOGGERS:
            logger = logging.getLogger(name)
            if not any(isinstance(each, Describe) for each in logger.filters):
                logger.addFilter(Describe())
    azure = logging.getLogger("azure")
    if azure.level == logging.NOTSET:
        # it logs every request at INFO, the exporter's own too: those would be exported, and so on for ever
        azure.setLevel(logging.WARNING)
    if as_json:
        for handler in logging.getLogger().handlers:
            handler.setFormatter(JsonLines())


def _shown(value: object) -> object:
    """An argument as it may be logged."""
    if isinstance(value, DropscoreError) and not isinstance(value, _QUOTES_NOTHING):
        return value.code
    return value


def _without_secrets(text: str) -> str:
    return _SECRET.sub(r"\1…", text)
