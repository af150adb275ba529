"""A program whose output nobody reads on, as behind `| head`, ends without a traceback."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize(
    "words",
    [("train.py", "--help"), ("experiments/run.py", "digits", "--dry_run")],
    ids=lambda words: words[0],
)
def test_a_closed_standard_output_is_no_error(words):
    reading, writing = os.pipe()
    os.close(reading)
    try:
        command = [sys.executable, *words]
        done = subprocess.run(command, cwd=ROOT, stdout=writing, stderr=subprocess.PIPE, text=True, check=False)
    finally:
        os.close(writing)
    assert (done.returncode, done.stderr) == (1, "")
