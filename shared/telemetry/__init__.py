"""What the app tells its operators: log lines with dimensions, metrics and spans, by OpenTelemetry's API.

The API costs next to nothing and does nothing by itself. Who listens is decided elsewhere: by the Functions worker,
told to send everything to Application Insights, or in `exporting`, where the variables of an OTLP collector are set.
"""

import os

from shared.telemetry.exporting import export, wanted
from shared.telemetry.instruments import asked, drifted, following, levels_wanted, moved, retried, standing
from shared.telemetry.logs import carried, describe

__all__ = ["asked", "carried", "drifted", "following", "levels_wanted", "moved", "retried", "standing", "start"]


def start(log_format: str) -> None:
    """Called once the app is put together: log lines get their dimensions, and what is asked for is exported."""
    describe(as_json=log_format == "json")
    export(wanted(os.environ))
