"""What pages and docstrings refer to exists: lines of code, files, flags."""

import re
import subprocess
import sys
from pathlib import Path

from cli import flag_tables

ROOT = Path(__file__).parents[1]


def test_links_to_lines_point_to_what_they_name():
    done = subprocess.run([sys.executable, "docs/link_lines.py", "--check"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (ROOT / "docs/lab.md").read_text(encoding="utf-8").count("#L") > 40


def tracked_texts():
    """The pages and the code: path, text."""
    pages = [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *(ROOT / "data").glob("*.md")]
    folders = ("cli", "common", "data", "zoo", "benchmarks", "experiments", "docs", "tests")
    code = [*ROOT.glob("*.py"), *(path for folder in folders for path in (ROOT / folder).rglob("*.py"))]
    for path in [*pages, *code]:
        yield path, path.read_text(encoding="utf-8")


def test_files_that_pages_and_docstrings_name_exist():
    """`common/input/records.py` from the root; `records.py` alone, anywhere."""
    names = {path.name for path, _ in tracked_texts()}
    for path, text in tracked_texts():
        for named in re.findall(r"(?<![\w/.*{}-])((?:\w+/)*\w+\.(?:py|md))\b", text):
            if path.name == "test_docs.py":
                continue
            found = (ROOT / named).exists() or (path.parent / named).exists() or ("/" not in named and named in names)
            assert found, f"{path}: {named}"


def test_links_of_pages_lead_somewhere():
    for path, text in tracked_texts():
        if path.suffix == ".md":
            for target in re.findall(r"\]\(([^)#\s]+)", text):
                assert target.startswith(("https://", "http://")) or (path.parent / target).exists(), (
                    f"{path}: {target}"
                )


def test_flags_that_pages_name_exist():
    known = {flag.name for group in flag_tables.GROUPS.values() for flag in group}
    known |= {"help", "signal", "requeue", "enable_batching"}  # of the program, SLURM and TensorFlow Serving
    scripts = [ROOT / "data/prepare.py", *(ROOT / "benchmarks").glob("*.py"), *(ROOT / "experiments").glob("*.py")]
    known |= {name for path in scripts for name in re.findall(r'"--(\w+)"', path.read_text(encoding="utf-8"))}
    for path, text in tracked_texts():
        if path.suffix == ".md":
            for line in text.splitlines():
                named = re.findall(r"(?<![\w-])--([a-z_0-9]+)\b(?!-)", line)
                if "python" in line or "`--" in line:
                    unknown = {name for name in named if name not in known and name.removeprefix("no") not in known}
                    assert not unknown, f"{path}: {line}"
