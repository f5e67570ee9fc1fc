"""Keeps the process as small as its work: large buffers go back to the system as soon as they are free.

The allocators' own habits cost more than the rows: glibc gives each thread an arena, raises by itself the size from
which memory is mapped and so given back, and Arrow's default pool keeps what it had.
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


def be_economical() -> None:
    """To be called once, when the process begins; without effect on a system whose allocator is another one."""
    pa.set_memory_pool(pa.system_memory_pool())
    if sys.platform == "linux":
        mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
        if mallopt is not None:
            mallopt(_M_ARENA_MAX, _ARENAS)
            mallopt(_M_MMAP_THRESHOLD, _MAPPED_FROM)
