import subprocess
import sys
from pathlib import Path

import pytest

from common import machine

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
