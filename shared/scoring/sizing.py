"""How large a request may be: what the settings allow, and what the endpoint was found to take."""

from __future__ import annotations

import threading

_TAKEN_BEFORE_GROWTH = 8
"""So many full requests in a row are taken before a larger one is tried."""

_LONGEST_TRIAL = 1024
"""A limit that keeps being met again is tried ever more rarely: each trial costs a refused request."""


class RequestSize:
    """The size of the requests of one table, shared by those that are under way at once.

    Halved when the endpoint refuses one for its size (408, 413), grown again by a quarter after a run of full requests
    that it took; the run is twice as long after each refusal, so that a fixed limit is met ever more rarely.

    Args:
        rows: rows of a request at most.
        nbytes: bytes of a request's body at most; a single row goes out however large it is.
    """

    def __init__(self, rows: int, nbytes: int) -> None:
        self._most = rows
        self._nbytes = nbytes
        self._limit = rows
        self._row_bytes = 0.0  # of a row as it is sent, to be scored or as context
        self._taken = 0
        self._trial = _TAKEN_BEFORE_GROWTH
        self._lock = threading.Lock()

    @property
    def rows(self) -> int:
        """Rows that the next request may carry, at least 1; see `room` for those that it has as context."""
        with self._lock:
            return self._limit

    def room(self, context: int) -> int:
        """Rows that the next request may carry beside so many rows of context, at least 1."""
        with self._lock:
            return self._allowed(context)

    def fits(self, rows: int, nbytes: int, context: int = 0) -> bool:
        """Whether a body of `nbytes` may be sent that has `rows` rows and `context` rows before them; later requests
        are cut after its bytes a row."""
        with self._lock:
            self._row_bytes = nbytes / (rows + context)
            return rows == 1 or nbytes <= self._nbytes

    def smaller(self, rows: int, context: int = 0) -> int:
        """Rows to try instead of `rows` whose body was too large by `fits`: at most half of them, at least 1."""
        with self._lock:
            return max(1, min(self._allowed(context), rows // 2))

    def refused(self, rows: int) -> None:
        """The endpoint found a request of so many rows too large, or took too long over it."""
        with self._lock:
            self._taken = 0
            if rows <= self._limit:  # a larger one was under way already when the limit was lowered
                self._limit = max(1, rows // 2)
                self._trial = min(2 * self._trial, _LONGEST_TRIAL)

    def taken(self, rows: int) -> None:
        """The endpoint took a request of so many rows."""
        with self._lock:
            if rows < self._limit or self._limit == self._most:
                return
            self._taken += 1
            if self._taken >= self._trial:
                self._taken = 0
                self._limit = min(self._most, self._limit + max(1, self._limit // 4))

    def _allowed(self, context: int) -> int:
        if not self._row_bytes:
            return self._limit
        return max(1, min(self._limit, int(self._nbytes / self._row_bytes) - context))
