"""How the C library treats freed memory, set for a process that streams."""

import ctypes

# glibc's <malloc.h>
_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3

_KEPT = 4 * 1024 * 1024
_MAPPED_FROM = 4 * 1024 * 1024


def keep_freed_memory() -> bool:
    """Keeps up to 4 MiB of freed memory for the next pieces; whether the C library could be told.

    By its defaults glibc gives pieces of 256 KiB back to the system as soon as they are freed, and every new
    one is a page fault per 4 KiB: a third of a relay's CPU time (`bench`, b). False on other C libraries.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    return bool(mallopt(_M_MMAP_THRESHOLD, _MAPPED_FROM) and mallopt(_M_TRIM_THRESHOLD, _KEPT))
