"""A program whose output nobody reads on, as behind `| head`, ends without a traceback."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("train.py", "--help"), 1),
        (("experiments/run.py", "digits", "--dry_run"), 1),
        (("data/prepare.py", "--help"), 0),  # argparse passes over an output that fails
    ],
    ids=str,
)
def test_a_closed_standard_output_is_no_error(words, code):
    reading, writing = os.pipe()
    os.close(reading)
    try:
        command = [sys.executable, *words]
        done = subprocess.run(command, cwd=ROOT, stdout=writing, stderr=subprocess.PIPE, text=True, check=False)
    finally:
        os.close(writing)
    assert (done.returncode, done.stderr) == (code, "")
