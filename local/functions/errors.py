"""What stops the host from starting.

HostError
├── ConfigurationError   a setting, a connection, host.json or local.settings.json
├── IndexingError        function_app.py: its import, a binding, a parameter, an annotation
└── PortInUseError       somebody else listens on the port
"""

from __future__ import annotations


class HostError(Exception):
    """The host cannot start; the text says what is wrong and what to do, and is all that the user is shown."""


class ConfigurationError(HostError):
    """A setting, a connection, host.json or local.settings.json is missing or wrong."""


class IndexingError(HostError):
    """function_app.py cannot be indexed. `function` names the function it is about, when it is about one."""

    def __init__(self, message: str, function: str | None = None) -> None:
        super().__init__(f"function {function!r}: {message}" if function else message)
        self.function = function


class PortInUseError(HostError):
    """Somebody else listens on the port that was asked for."""

    def __init__(self, port: int) -> None:
        super().__init__(
            f"Port {port} is in use. Stop the process that holds it (another host, or `func start`?), "
            "or choose another one with --port."
        )
        self.port = port
