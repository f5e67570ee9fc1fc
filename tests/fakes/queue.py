"""A storage queue in memory."""

from __future__ import annotations

import threading


class FakeQueue:
    """`shared.storage.Queue`; `messages` are those that nobody took yet, oldest first."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.messages: list[str] = []

    def send(self, text: str) -> None:
        """See `Queue.send`."""
        with self._lock:
            self.messages.append(text)

    def take_all(self) -> list[str]:
        """Empties the queue."""
        with self._lock:
            taken, self.messages = self.messages, []
            return taken
