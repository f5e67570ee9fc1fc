"""Keeps the process as small as its work: large buffers go back to the system as soon as they are free.

The allocators' own habits cost more than the rows: glibc gives each thread an arena, raises by itself the size from
which memory is mapped and so given back, and Arrow's default pool keeps what it had. Arrow itself takes that one for
what it compresses, whatever Python chose: `shared` names another one before pyarrow is imported.
"""

from __future__ import annotations

import ctypes
import sys

import pyarrow as pa

# https://www.gnu.org/software/libc/manual/html_node/Malloc-Tunable-Parameters.html and <malloc.h>
_M_MMAP_THRESHOLD = -3
_M_ARENA_MAX = -8
_MAPPED_FROM = 1 << 20
_ARENAS = 2
_WORK = 32 << 20


def be_economical() -> None:
    """To be called when the process begins: arenas that its threads have by then stay. Without effect on a system whose
    allocator is another one."""
    pa.set_memory_pool(pa.system_memory_pool())
    if sys.platform == "linux":
        mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
        if mallopt is not None:
            mallopt(_M_ARENA_MAX, _ARENAS)
            mallopt(_M_MMAP_THRESHOLD, _MAPPED_FROM)


class Thrift:
    """Gives free memory back to the system after every 32 MB of data that were worked on.

    Buffers of all sizes come and go while a file is read, and small ones that stay lie between them: without this the
    process grows with the file though it holds no more. It costs a millisecond or two each time.
    """

    def __init__(self) -> None:
        self._done = 0

    def worked(self, nbytes: int) -> None:
        """So much more data was worked on."""
        self._done += nbytes
        if self._done >= _WORK:
            self._done = 0
            give_back()


def give_back() -> None:
    """Free memory goes back to the system; without effect on one whose allocator is another one."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
    if trim is not None:
        trim(0)
