"""Which ports the local cloud listens on, and what to say when one is taken."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

from local.processes import LocalCloudError, free_ports, port_is_free, port_owner

COMPONENTS = {
    "blob": "Azurite's blobs",
    "queue": "Azurite's queues",
    "table": "Azurite's tables",
    "azureml": "the Azure ML emulator",
    "functions": "the Functions host",
}


@dataclass(frozen=True)
class Ports:
    """One port of 127.0.0.1 for each component; the defaults are those of local.settings.example.json."""

    blob: int = 10000
    queue: int = 10001
    table: int = 10002
    azureml: int = 10010
    functions: int = 7071

    @classmethod
    def free(cls) -> Ports:
        """Ports that nothing listens on."""
        return cls(*free_ports(len(COMPONENTS)))

    def taken(self, components: Sequence[str]) -> list[str]:
        """Those of the components whose port something listens on."""
        return [name for name in components if not port_is_free(getattr(self, name))]

    def require_free(self, components: Sequence[str]) -> None:
        """LocalCloudError when ports are in use: what each is for, who has it, and what to do."""
        taken = self.taken(components)
        if not taken:
            return
        lines = [self._complaint(name) for name in taken]
        flags = " ".join(f"--{name}-port {getattr(self, name) + 100}" for name in taken)
        lines.append(f"Stop what uses it (another `make up`?), or take another: make up UP='{flags}'")
        raise LocalCloudError("\n".join(lines))

    def moved(self, url: str) -> str:
        """A URL or connection string written for the default ports, with these ports in their place."""
        for name, default in dataclasses.asdict(Ports()).items():
            url = url.replace(f":{default}/", f":{getattr(self, name)}/")
        return url

    def _complaint(self, name: str) -> str:
        port = getattr(self, name)
        owner = port_owner(port)
        return f"Port {port}, meant for {COMPONENTS[name]}, is in use{f' by {owner}' if owner else ''}."
