"""Which commit the figures are of, and whether the code was changed since."""

import subprocess

from experiments import version


def test_changed_and_untracked_files_are_seen(tmp_path):
    def git(*words: str) -> str:
        names = ("-c", "user.name=a", "-c", "user.email=a@b.c")
        done = subprocess.run(["git", "-C", str(tmp_path), *names, *words], check=True, capture_output=True, text=True)
        return done.stdout.strip()

    git("init", "-q")
    (tmp_path / "train.py").write_text("a = 1\n")
    (tmp_path / ".gitignore").write_text("/runs/\n")
    git("add", ".")
    git("commit", "-qm", "one")
    head = git("rev-parse", "--short=7", "HEAD")
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "train.py").touch()
    (tmp_path / "results.csv").touch()
    assert version.commit(tmp_path) == head
    new = tmp_path / "package" / "train.py"
    new.parent.mkdir()
    new.touch()
    assert version.commit(tmp_path) == f"{head}-changed"  # not added yet
    git("add", ".")
    assert version.commit(tmp_path) == f"{head}-changed"
    git("commit", "-qm", "two")
    head = git("rev-parse", "--short=7", "HEAD")
    assert version.commit(tmp_path) == head
    (tmp_path / "train.py").write_text("a = 2\n")
    assert version.commit(tmp_path) == f"{head}-changed"
    (tmp_path / "train.py").unlink()
    assert version.commit(tmp_path) == f"{head}-changed"


def test_without_a_repository_it_is_unknown(tmp_path, monkeypatch):
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert version.commit(tmp_path) == "unknown"
