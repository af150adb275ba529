"""How this process keeps its memory."""

import ctypes
import sys

# Parameters of glibc's mallopt(3).
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_MAX = -1, -2, -4


def keep_freed() -> bool:
    """Lets glibc keep memory that was freed, for the next picture or map, in place of giving it back to the system.

    By default a tensor of more than 128 KB is a mapping of its own: every one begins with a fault for each of its pages
    and ends with their return. A picture of 224x224x3 float32 is 150 pages, and it is made several times on its way
    through the input pipeline (docs/speed.md has what it costs). The process holds its highest need from then on.

    Returns:
        True where it was done: on Linux with glibc.
    """
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    wanted = ((_MMAP_MAX, 0), (_TRIM_THRESHOLD, 2**31 - 1), (_TOP_PAD, 64 * 2**20))
    return mallopt is not None and all([mallopt(name, value) == 1 for name, value in wanted])
