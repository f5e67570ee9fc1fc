"""The page of a scored file. It says nothing of when, where or how the file was scored: a file that is scored again
by the same model has the same page, to the byte."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from aml.contract import DatasetContract
from shared.reporting.classified import classified
from shared.reporting.curves import Curves
from shared.reporting.labels import Labels
from shared.reporting.reasons import Reasons
from shared.scoring.answers import CONFIDENCE, Answers
from shared.scoring.event import Event, as_datetime
from shared.scoring.events import GAP_ROWS, Events
from shared.tables import Dialect, Survey

if TYPE_CHECKING:
    from jinja2 import Template

_TEMPLATE = Path(__file__).with_name("report.html.j2")
_PLOTS = 6
_SERIES_LISTED = 1000
_SPELT = {"\t": "tab", " ": "blank"}


@dataclass(frozen=True)
class Reported:
    """What a page is about.

    Attributes:
        file: the blob's name within the dataset.
        model: name and version.
        counts, drift: as they stand in the manifest.
        events, curves: of a series; `answers`: to the rows of a table.
    """

    file: str
    contract: DatasetContract
    found: Survey
    model: Mapping[str, Any]
    counts: Mapping[str, Any]
    drift: Mapping[str, Any]
    events: Events
    curves: Curves
    answers: Answers | None = None


def render(about: Reported) -> bytes:
    """The page as UTF-8."""
    say = Labels(about.contract.language)
    tell = Reasons(about.contract, say)
    table = about.contract.is_table
    return (
        _template()
        .render(
            say=say,
            file=about.file,
            span=_span(about.found, say),
            model=about.model,
            table=table,
            **(classified(about.contract, about.counts, about.answers, say) if table else _of_series(about, say)),
            warnings=list(_warnings(about.found, say, tell)),
            unscored=_unscored(about, say),
            examples=sorted(_examples(about.found, tell), key=lambda each: (each["line"], each["reason"])),
            drift=_drift(about.drift, say, tell),
            dialect=_halves(list(_written(about.found, say))),
            **_tiles(about, say),
        )
        .encode("utf-8", errors="replace")
    )


def _of_series(about: Reported, say: Labels) -> dict[str, Any]:
    """What there is to say of the events and the course of a series."""
    several = set(about.events.series) not in (set(), {None})
    worst = about.events.most_severe()
    return {
        "several": several,
        "events": [_event(event, say) for event in worst],
        "shown": _how_many(len(worst), about.events.count, say),
        "joined": say("joined", gap=GAP_ROWS),
        **_plotted(about, worst, say),
        **(_listed(about.events, say) if several else {"series": [], "more_series": ""}),
    }


@cache
def _template() -> Template:
    # imported when the first page is written: a process that only trains or answers requests does without
    from jinja2 import Environment, StrictUndefined

    environment = Environment(autoescape=True, undefined=StrictUndefined, keep_trailing_newline=True)
    return environment.from_string(_TEMPLATE.read_text(encoding="utf-8"))


def _span(found: Survey, say: Labels) -> str:
    if found.first_time is None or found.last_time is None:
        return ""
    return say("from_to", first=say.time(found.first_time), last=say.time(found.last_time))


def _tiles(about: Reported, say: Labels) -> dict[str, Any]:
    counts, verdict = about.counts, str(about.drift["verdict"])
    tiles = [
        _tile(say("rows"), say.count(counts["rows"])),
        *(_classes if about.contract.task == "classification" else _flags)(about, say),
    ]
    tiles += [_tile(say(name), say.count(counts[name])) for name in ("errors", "rejected") if counts[name]]
    return {"tiles": [*tiles, _tile(say("drift"), say(verdict), loud=verdict == "severe")]}


def _flags(about: Reported, say: Labels) -> list[dict[str, Any]]:
    scored, anomalies = int(about.counts["scored"]), int(about.counts.get("anomalies", 0))
    share = say("share", share=say.percent(anomalies / scored)) if scored else ""
    flagged = [_tile(say("anomalies"), say.count(anomalies), share)]
    if about.contract.is_table:
        return flagged  # whose rows do not follow each other, and make no events
    return [*flagged, _tile(say("events"), say.count(about.events.count), loud=about.events.count > 0)]


def _classes(about: Reported, say: Labels) -> list[dict[str, Any]]:
    warned = {each for kinds in about.found.warnings.values() for each in kinds}
    rows = sum(tally.count for kinds in about.found.warnings.values() for tally in kinds.values())
    return [
        _tile(say("scored"), say.count(about.counts["scored"])),
        *([_tile(say("warnings"), say.count(rows))] if warned else []),
    ]


def _warnings(found: Survey, say: Labels, tell: Reasons) -> Iterator[dict[str, str]]:
    """What is odd about rows that were scored all the same, the commonest first."""
    told = [(column, kind, rows) for column, kinds in found.warnings.items() for kind, rows in kinds.items()]
    for column, kind, rows in sorted(told, key=lambda each: (-each[2].count, each[:2])):
        first = rows.examples[0]
        yield {
            "column": column,
            "kind": say(kind),
            "count": say.count(rows.count),
            "example": f"{say('line')} {first.line}: {tell(first.reason)}",
        }


def _how_many(shown: int, every: int, say: Labels) -> str:
    return say("some_events", shown=say.count(shown), all=say.count(every)) if shown < every else say("all_events")


def _tile(label: str, value: str, more: str = "", *, loud: bool = False) -> dict[str, Any]:
    return {"label": label, "value": value, "more": more, "loud": loud}


def _event(event: Event, say: Labels) -> dict[str, Any]:
    volume = event.as_dict()["volume"]
    return {
        "series": event.series if event.series is not None else say("single"),
        "begin": say.time(as_datetime(event.start)),
        "end": say.time(as_datetime(event.end)),
        "rows": say.count(event.rows),
        "kind": say.kind(event.kind),
        "severity": say.number(event.severity, 3),
        "percent": min(100, max(0, round(100 * event.severity))),
        "reason": event.reason,
        "seen": say.number(volume["seen"]),
        "excess": say.number(volume["excess"]),
    }


def _plotted(about: Reported, worst: list[Event], say: Labels) -> dict[str, Any]:
    """The plots of the series with the most severe events, and what is to be said of those that have none."""
    from shared.reporting.drawing import draw

    curves, series = about.curves, about.events.series
    names = list(dict.fromkeys(event.series for event in worst)) or sorted(series, key=lambda name: name or "")[:1]
    names = [name for name in names if name in curves.places][:_PLOTS]
    few = say("few_series", shown=len(names), all=say.count(len(series))) if worst and len(names) < len(series) else ""
    plots, with_band = [], False
    for name in names:
        lines = curves.of_meter(name)
        title = say("course") if name is None else say("course_of", series=name)
        own = [event for event in worst if event.series == name]
        picture = draw(curves.times(), lines, (curves.first, curves.last), own, say, title)
        plots.append({"series": name, "svg": picture.svg, "clipped": picture.clipped})
        with_band = with_band or bool(np.isfinite(lines["lower"]).any())
    no_plot = say("no_plot", all=say.count(len(series))) if curves.too_many else ""
    return {"plots": plots, "with_band": with_band, "few": few if plots else "", "no_plot": no_plot}


def _listed(events: Events, say: Labels) -> dict[str, Any]:
    """The table of all series, those with the most severe events first."""
    ordered = sorted(events.series.items(), key=lambda each: (-each[1].highest, -each[1].flagged, each[0] or ""))
    listed = [
        {
            "name": name if name is not None else say("single"),
            "rows": say.count(each.rows),
            "flagged": say.count(each.flagged),
            "events": say.count(each.count),
            "severity": say.number(each.highest, 3) if each.count else "",
        }
        for name, each in ordered[:_SERIES_LISTED]
    ]
    more = len(ordered) - len(listed)
    return {"series": listed, "more_series": say("more_series", count=say.count(more)) if more else ""}


def _unscored(about: Reported, say: Labels) -> list[dict[str, str]]:
    """How many rows there are of each sort that has no prediction."""
    counts = {
        "unusable": about.found.unusable,
        "refused": int(about.counts["errors"]) - about.found.unusable,
        "rejected": int(about.counts["rejected"]),
    }
    return [{"label": say(name), "count": say.count(count)} for name, count in counts.items() if count > 0]


def _examples(found: Survey, tell: Reasons) -> Iterator[dict[str, Any]]:
    for example in (*found.examples, *found.rejects.examples):
        yield {"line": example.line, "reason": tell(example.reason)}


def _drift(drift: Mapping[str, Any], say: Labels, tell: Reasons) -> dict[str, Any]:
    """The manifest's words on drift as a table: the columns, then the score."""
    about = {**drift.get("columns", {}), **drift.get("classes", {})}
    if "score" in drift:
        about[say("confidence" if drift["score"].get("name") == CONFIDENCE else "score")] = drift["score"]
    columns = [
        {
            "name": name,
            "verdict": say(each["verdict"]),
            "psi": say.number(each.get("psi"), 3),
            "chance": say.number(each.get("psi_by_chance"), 3),
            "ks": say.number(each.get("ks"), 3),
            "beyond": _percent(each.get("out_of_range", {}).get("training", each.get("beyond_training")), say),
            "missing": _percent(each.get("missing"), say),
            "invalid": _percent(each.get("invalid"), say),
        }
        for name, each in about.items()
    ]
    return {"verdict": drift["verdict"], "reason": tell(drift.get("reason", "")), "columns": columns}


def _percent(share: float | None, say: Labels) -> str:
    return "" if share is None else f"{say.percent(share)} %"


def _written(found: Survey, say: Labels) -> Iterator[tuple[str, str]]:
    """What was found out about the file."""
    dialect: Dialect = found.dialect
    yield say("container"), dialect.container
    if dialect.encoding:
        yield say("encoding"), dialect.encoding
    if dialect.delimiter:
        yield say("delimiter"), _spelt(dialect.delimiter, say)
    yield say("decimal"), dialect.decimal
    if dialect.thousands:
        yield say("thousands"), " ".join(_spelt(mark, say) for mark in dialect.thousands)
    if dialect.line_end:
        yield say("line_end"), dialect.line_end.replace("\r", "CR").replace("\n", "LF")
    for name, times in sorted(dialect.times.items()):
        yield say("times", column=name), times.layout
    if found.first_time is not None:
        yield say("order"), say("yes" if found.ordered else "no")
    yield say("size"), say.count(found.size)
    yield say("sha256"), found.sha256


def _spelt(mark: str, say: Labels) -> str:
    return say(_SPELT[mark]) if mark in _SPELT else mark


def _halves(facts: list[tuple[str, str]]) -> list[list[tuple[str, str]]]:
    middle = (len(facts) + 1) // 2
    return [facts[:middle], facts[middle:]]
