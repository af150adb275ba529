"""The links of docs/ to lines of code are true."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_links_to_lines_point_to_what_they_name():
    done = subprocess.run([sys.executable, "docs/link_lines.py", "--check"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (ROOT / "docs/lab.md").read_text(encoding="utf-8").count("#L") > 40
