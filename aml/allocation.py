"""Lets a process that answers one request after the other keep the memory of the last one for the next.

The detector works on some hundred arrays of a few hundred kilobytes for each request. glibc gives memory of that size
back to the system and asks for it again, page by page: a fifth of the time of a request.
"""

from __future__ import annotations

import ctypes
import sys

# https://www.gnu.org/software/libc/manual/html_node/Malloc-Tunable-Parameters.html and <malloc.h>
_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3
_MAPPED_FROM = 16 << 20
_KEPT = 64 << 20


def keep_memory() -> None:
    """To be called once, when the process begins; without effect on a system whose allocator is another one."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, _MAPPED_FROM)
        mallopt(_M_TRIM_THRESHOLD, _KEPT)
