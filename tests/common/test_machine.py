import subprocess
import sys
from pathlib import Path

import pytest
import tensorflow as tf

from common import machine
from common.errors import UserError

# 20,000 KB that are taken and freed in parts: their pages come back at no cost where the process kept them.
CODE = """
import resource
from common import machine
if {keep}:
    assert machine.keep_freed_memory()
take = lambda: [b"x" * size for size in range(500_000, 500_040)]
take()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    take()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(not machine.keep_freed_memory(), reason="glibc's allocator only")
def test_freed_memory_is_kept():
    def faults(keep: bool) -> int:
        root = Path(machine.__file__).resolve().parents[1]
        command = [sys.executable, "-c", CODE.format(keep=keep)]
        return int(subprocess.run(command, cwd=root, capture_output=True, text=True, check=True).stdout)

    pages = 20 * 40 * 500_000 // 4096
    assert faults(keep=True) < pages / 10 < faults(keep=False)


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
