"""What this process has of the machine: processors and memory."""

import ctypes
import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from common.errors import UserError

if TYPE_CHECKING:
    import tensorflow as tf

# Parameters of glibc's mallopt(3).
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_MAX = -1, -2, -4


def cores() -> int:
    """How many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def available_megabytes() -> float:
    """Memory that a process may still take without others being swapped out; infinite where that is not known."""
    file = Path("/proc/meminfo")
    found = re.search(r"^MemAvailable:\s*(\d+) kB$", file.read_text(), re.MULTILINE) if file.exists() else None
    return int(found[1]) * 1024 / 1e6 if found else float("inf")


def gpu_visible() -> bool:
    """Whether TensorFlow sees a GPU, and so computes there. It makes no device yet."""
    import tensorflow as tf

    return bool(tf.config.get_visible_devices("GPU"))


def parallel_map(dataset: "tf.data.Dataset", function: Callable, at_once: int | None = None) -> "tf.data.Dataset":
    """`dataset.map(function)`, in order, on `at_once` elements at the same time, by default one a core.

    tf.data's own tuning is off: it would find that number, and when an iterator is given up its thread may sleep on
    for as long as a minute, and the program with it.
    """
    import tensorflow as tf

    options = tf.data.Options()
    options.autotune.enabled = False
    return dataset.map(function, num_parallel_calls=at_once or cores(), deterministic=True).with_options(options)


def parallel_interleave(
    dataset: "tf.data.Dataset", function: Callable, at_once: int | None = None, each: int = 1
) -> "tf.data.Dataset":
    """`dataset.flat_map(function)` for a function that gives `each` elements, in order, as `parallel_map`.

    The last may give fewer.
    """
    import tensorflow as tf

    options = tf.data.Options()
    options.autotune.enabled = False
    at_once = at_once or cores()
    return dataset.interleave(
        function, at_once, block_length=each, num_parallel_calls=at_once, deterministic=True
    ).with_options(options)


def keep_freed_memory() -> bool:
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


@contextmanager
def shortage_named() -> Iterator[None]:
    """Running out of memory inside it, the processor's or a GPU's, raises UserError (exit code 1) with what helps."""
    try:
        yield
    except Exception as error:
        if not _is_shortage(error):
            raise
        wanted = re.search(r"OOM when allocating tensor with shape\[[^]]*\]", str(error))
        raise UserError(
            f"out of memory{f' ({wanted[0]})' if wanted else ''}; give a smaller --batch_size, or train with a smaller "
            "--image_size",
            1,
        ) from error


def _is_shortage(error: Exception) -> bool:
    import tensorflow as tf

    full = isinstance(error, tf.errors.ResourceExhaustedError) and "No space left" not in str(error)  # not a disk
    return full or isinstance(error, MemoryError)
