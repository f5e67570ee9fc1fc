"""The report's own words, in the languages of the contract, and how numbers and times are written in them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

Language = Literal["en", "es"]

_ENGLISH = {
    "title": "Report",
    "file": "File",
    "model": "Model",
    "version": "version",
    "from_to": "From {first} to {last}",
    "rows": "Rows",
    "scored": "Scored",
    "anomalies": "Anomalies",
    "events": "Events",
    "errors": "Without prediction",
    "rejected": "Rejected lines",
    "drift": "Drift",
    "share": "{share} % of the rows scored",
    "course": "Course",
    "course_of": "Course of {series}",
    "value": "seen",
    "expected": "expected",
    "band": "usual range",
    "flagged": "flagged",
    "event": "event",
    "beyond": "Triangles: flagged values beyond the scale.",
    "few_series": "The {shown} series with the most severe events, of {all}.",
    "no_plot": "There are too many series ({all}) to plot any.",
    "no_events": "No row was flagged.",
    "some_events": "The {shown} most severe of {all} events.",
    "all_events": "The most severe first.",
    "joined": "Flagged rows of a series are one event while at most {gap} rows in succession between them are not "
    "flagged. Volumes are sums over the flagged rows.",
    "series": "Series",
    "begin": "Begin",
    "end": "End",
    "kind": "Kind",
    "severity": "Severity",
    "reason": "Why",
    "volume": "Seen",
    "excess": "Above expected",
    "flagged_rows": "Flagged",
    "all_series": "All series",
    "more_series": "{count} more series are not listed.",
    "highest": "Highest severity",
    "unscored": "Rows that were not scored",
    "unusable": "Rows with a value missing or unreadable",
    "refused": "Rows that the model refused",
    "line": "Line",
    "examples": "The first of them:",
    "column": "Column",
    "verdict": "Verdict",
    "psi": "PSI",
    "chance": "by chance",
    "ks": "KS",
    "beyond_training": "Beyond training",
    "missing": "Missing",
    "invalid": "Invalid",
    "score": "Anomaly score",
    "drift_why": "How far the rows are from those that the model was trained on.",
    "written": "How the file is written",
    "container": "Format",
    "encoding": "Encoding",
    "delimiter": "Delimiter",
    "decimal": "Decimal mark",
    "thousands": "Thousands mark",
    "line_end": "Line end",
    "times": "Times in {column}",
    "order": "In order of time",
    "size": "Bytes",
    "sha256": "SHA-256",
    "yes": "yes",
    "no": "no",
    "none": "none",
    "moderate": "moderate",
    "severe": "severe",
    "unknown": "unknown",
    "single": "(all)",
    "answers": "Answers",
    "class": "Class",
    "share_of": "Share",
    "confidence": "Confidence",
    "confidence_why": "The share that the model gives the class which it answers.",
    "agreement": "All models give {share} % of the rows the same answer.",
    "warnings": "Warnings",
    "warnings_why": "Rows that were scored all the same, and what is odd about them.",
    "example": "The first of them",
    "imputed": "empty, filled in",
    "out_of_range": "outside its range",
    "unknown_category": "unknown category",
    "wrong_length": "of another length",
    "tab": "tab",
    "blank": "blank",
}

_SPANISH = {
    "title": "Informe",
    "file": "Fichero",
    "model": "Modelo",
    "version": "versión",
    "from_to": "Del {first} al {last}",
    "rows": "Filas",
    "scored": "Puntuadas",
    "anomalies": "Anomalías",
    "events": "Episodios",
    "errors": "Sin predicción",
    "rejected": "Líneas rechazadas",
    "drift": "Deriva",
    "share": "{share} % de las filas puntuadas",
    "course": "Evolución",
    "course_of": "Evolución de {series}",
    "value": "medido",
    "expected": "esperado",
    "band": "intervalo habitual",
    "flagged": "anómalo",
    "event": "episodio",
    "beyond": "Triángulos: valores anómalos fuera de la escala.",
    "few_series": "Las {shown} series con los episodios más graves, de {all}.",
    "no_plot": "Hay demasiadas series ({all}) para dibujar alguna.",
    "no_events": "No hay ninguna fila anómala.",
    "some_events": "Los {shown} episodios más graves, de {all}.",
    "all_events": "Primero los más graves.",
    "joined": "Las filas anómalas de una serie forman un solo episodio mientras no haya entre ellas más de {gap} filas "
    "seguidas sin anomalía. Los volúmenes son sumas de las filas anómalas.",
    "series": "Serie",
    "begin": "Inicio",
    "end": "Fin",
    "kind": "Tipo",
    "severity": "Gravedad",
    "reason": "Motivo",
    "volume": "Medido",
    "excess": "Sobre lo esperado",
    "flagged_rows": "Anómalas",
    "all_series": "Todas las series",
    "more_series": "Hay {count} series más que no se muestran.",
    "highest": "Gravedad máxima",
    "unscored": "Filas sin puntuar",
    "unusable": "Filas con un valor que falta o no se puede leer",
    "refused": "Filas que el modelo rechazó",
    "line": "Línea",
    "examples": "Las primeras:",
    "column": "Columna",
    "verdict": "Veredicto",
    "psi": "PSI",
    "chance": "por azar",
    "ks": "KS",
    "beyond_training": "Fuera de lo entrenado",
    "missing": "Vacíos",
    "invalid": "Ilegibles",
    "score": "Puntuación de anomalía",
    "drift_why": "Cuánto se apartan las filas de aquellas con las que se entrenó el modelo.",
    "written": "Cómo está escrito el fichero",
    "container": "Formato",
    "encoding": "Codificación",
    "delimiter": "Separador",
    "decimal": "Signo decimal",
    "thousands": "Signo de millares",
    "line_end": "Fin de línea",
    "times": "Fechas en {column}",
    "order": "En orden cronológico",
    "size": "Bytes",
    "sha256": "SHA-256",
    "yes": "sí",
    "no": "no",
    "none": "ninguna",
    "moderate": "moderada",
    "severe": "grave",
    "unknown": "desconocida",
    "single": "(todas)",
    "answers": "Respuestas",
    "class": "Clase",
    "share_of": "Proporción",
    "confidence": "Confianza",
    "confidence_why": "La proporción que el modelo da a la clase con la que responde.",
    "agreement": "Todos los modelos dan la misma respuesta al {share} % de las filas.",
    "warnings": "Avisos",
    "warnings_why": "Filas que se puntuaron a pesar de todo, y lo que tienen de raro.",
    "example": "La primera",
    "imputed": "vacío, completado",
    "out_of_range": "fuera de su intervalo",
    "unknown_category": "categoría desconocida",
    "wrong_length": "de otra longitud",
    "tab": "tabulador",
    "blank": "espacio",
}

_KINDS: dict[Language, Mapping[str, str]] = {
    "en": {
        "high": "high value",
        "low": "low value",
        "negative": "negative value",
        "zero": "zero run",
        "stuck": "stuck value",
        "leak": "possible leak",
        "level": "level shift",
        "drift": "slow drift",
        "pattern": "odd course",
        "gap": "missing readings",
        "duplicate": "duplicate reading",
        "shifted": "clock off",
        "unknown": "anomaly",
    },
    "es": {
        "high": "valor alto",
        "low": "valor bajo",
        "negative": "valor negativo",
        "zero": "tramo a cero",
        "stuck": "valor fijo",
        "leak": "posible fuga",
        "level": "cambio de nivel",
        "drift": "deriva lenta",
        "pattern": "curva anómala",
        "gap": "faltan lecturas",
        "duplicate": "lectura duplicada",
        "shifted": "reloj desajustado",
        "unknown": "anomalía",
    },
}
_LABELS: dict[Language, Mapping[str, str]] = {"en": _ENGLISH, "es": _SPANISH}


@dataclass(frozen=True)
class Labels:
    """One language of the report."""

    language: Language

    def __call__(self, label: str, **values: object) -> str:
        """The words of this name, filled in."""
        return _LABELS[self.language][label].format(**values)

    def kind(self, kind: str) -> str:
        """A kind of anomaly; one that is not known here as it is."""
        return _KINDS[self.language].get(kind, kind)

    def count(self, number: int) -> str:
        """A whole number in groups of three."""
        return f"{number:,}".replace(",", "." if self.language == "es" else ",")

    def number(self, value: float | None, digits: int = 4) -> str:
        """A number in so many significant digits, whole ones never cut; nothing where there is none."""
        if value is None or not math.isfinite(value):
            return ""
        size = abs(value)
        if size >= 1e9 or 0 < size < 1e-4:
            text = f"{value:.{digits - 1}e}"
        else:
            places = max(0, digits - 1 - math.floor(math.log10(size))) if size else 0
            text = f"{value:,.{places}f}"
            text = text.rstrip("0").rstrip(".") if places else text
        return text.translate(str.maketrans(",.", ".,")) if self.language == "es" else text

    def percent(self, share: float) -> str:
        """A share (0 to 1) in per cent, without the sign."""
        return self.number(100 * share, 3)

    def time(self, moment: datetime | None) -> str:
        """A time to the minute, or to the second where it has some."""
        if moment is None:
            return ""
        day = "%d/%m/%Y" if self.language == "es" else "%Y-%m-%d"
        clock = "%H:%M:%S" if moment.second else "%H:%M"
        return moment.strftime(f"{day} {clock}")
