import ctypes
import math
import subprocess
import sys
from pathlib import Path

import pytest
import tensorflow as tf

from common import machine
from common.errors import UserError

# glibc's own account of 40 blocks of half a megabyte, while they are in use and after they are freed.
CODE = """
import ctypes
from common import machine

class Account(ctypes.Structure):  # struct mallinfo2
    names = "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost".split()
    _fields_ = [(name, ctypes.c_size_t) for name in names]

library = ctypes.CDLL(None)
library.mallinfo2.restype = Account
if {keep}:
    assert machine.keep_freed_memory()
before = library.mallinfo2()
blocks = [b"x" * size for size in range(500_000, 500_040)]
used = library.mallinfo2()
del blocks
print(used.hblks - before.hblks, library.mallinfo2().fordblks)
"""


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallinfo2"), reason="glibc 2.33 and later only")
@pytest.mark.parametrize("keep", [True, False])
def test_freed_memory_is_kept(keep):
    """Kept: no block is a mapping of its own, and all are free in the heap afterwards; else every one goes back."""
    root = Path(machine.__file__).resolve().parents[1]
    command = [sys.executable, "-c", CODE.format(keep=keep)]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True)
    mappings, free = map(int, done.stdout.split())
    assert mappings == (0 if keep else 40)
    assert free > 40 * 500_000 if keep else free < 40 * 500_000


OOM = "Exception encountered when calling Conv.call().\n\nOOM when allocating tensor with shape[512,64,224,224] on CPU"


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (MemoryError(), "out of memory; give a smaller --batch_size"),
        (tf.errors.ResourceExhaustedError(None, None, OOM), "(OOM when allocating tensor with shape[512,64,224,224])"),
    ],
)
def test_a_shortage_of_memory_is_one_line_with_what_helps(error, said):
    with pytest.raises(UserError) as caught, machine.shortage_named():
        raise error
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 1


@pytest.mark.parametrize(
    "error",
    [tf.errors.ResourceExhaustedError(None, None, "x.data; No space left on device"), ValueError(), UserError("x")],
)
def test_no_other_error_is_taken_for_one(error):
    with pytest.raises(type(error)) as caught, machine.shortage_named():
        raise error
    assert caught.value is error


def test_available_memory_is_what_the_system_says():
    assert 10 < machine.available_megabytes() < 1e8 or math.isinf(machine.available_megabytes())
