"""The commit of the code, as results.csv names it."""

import subprocess
from pathlib import Path

CHANGED = "-changed"


def commit(root: Path) -> str:
    """The commit of the code, with `-changed` where a Python file differs from it or is not in it; `unknown` without
    git. Files that git ignores do not count.
    """

    def git(*words: str) -> subprocess.CompletedProcess:
        return subprocess.run(["git", "-C", str(root), *words], capture_output=True, text=True, check=False)

    try:
        head = git("rev-parse", "--short=7", "HEAD")
        changed = git("status", "--porcelain", "--untracked-files=all", "--", "*.py").stdout
    except OSError:
        return "unknown"
    return head.stdout.strip() + (CHANGED if changed else "") if head.returncode == 0 else "unknown"
