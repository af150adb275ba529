"""The run directory from the start of a training: made, or opened again; and emptied where the start fails."""

import csv
import shutil
from collections.abc import Container, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from common.errors import UserError
from common.runs import checkpoints, locks
from common.runs import config as runs
from common.runs.files import write_json
from common.training import log_writers, lr_range, metrics_file, schedules

LOCK_FILE = ".lock"  # in a run directory
RANGE_TEST = lr_range.NAME  # a folder in it that `--lr_range_test` leaves there, which is no part of the run

Begun = tuple["runs.RunConfig", "checkpoints.Checkpoint | None"]


@contextmanager
def opened(
    run: Path, config: "runs.RunConfig", given: Container[str], defaults: Mapping[str, Any], chief: bool
) -> "Iterator[Begun]":
    """Makes the run directory, or opens that of an unfinished run.

    Yields the configuration to train with, `config` or that of the unfinished run, and the checkpoint to go on from, or
    None. No other process may train there meanwhile. Of several workers only the chief writes. Where an error ends the
    first start before anything was trained, nothing stays behind.

    Args:
        run: the run directory.
        config: what the command line asks for.
        given, defaults: of `runs.resumed`.
        chief: whether this is the process that writes.

    Raises:
        UserError: the directory is another run's, or holds something else, or is in use, or cannot be written.
    """
    config_file = run / checkpoints.CONFIG_FILE
    if not chief:
        begun = config_file.exists() and is_begun(run)
        config = runs.resumed(run, config, given, defaults, schedules.OPEN_ENDED) if begun else config
        yield config, checkpoints.newest(run)
        return
    check(run)
    with _explained(run):
        made = [folder for folder in (run, *run.parents) if not folder.exists()]
        run.mkdir(parents=True, exist_ok=True)
    undone = False
    try:
        with ExitStack() as stack:
            with _explained(run):
                stack.enter_context(locks.hold(run / LOCK_FILE, f"--ckpt={run}"))
            new = not config_file.exists()
            try:
                with _explained(run):
                    found = _begin(run, config, given, defaults)
                yield found
            except BaseException:
                undone = new and _undo(run)
                raise
    finally:
        if undone:
            (run / LOCK_FILE).unlink(missing_ok=True)
            _remove_empty(made)


def check(run: Path) -> None:
    """Raises UserError where no run can begin or go on: at a file, or in a folder with something else in it."""
    with _explained(run):
        if not (run / checkpoints.CONFIG_FILE).exists() and _contents(run):
            raise UserError(f"--ckpt={run} is not empty and holds no run; name another directory")


def _contents(run: Path) -> list[Path]:
    """What is in a directory, if it is there, but for hidden files and a range test of the learning rate."""
    found = run.iterdir() if run.exists() else ()
    return [path for path in found if not path.name.startswith(".") and path.name != RANGE_TEST]


@contextmanager
def _explained(run: Path) -> Iterator[None]:
    """The system's refusals inside it raise UserError that names the directory."""
    try:
        yield
    except OSError as error:
        raise UserError(f"--ckpt={run}: {error.strerror}", 1) from error


def _begin(run: Path, config: "runs.RunConfig", given: Container[str], defaults: Mapping[str, Any]) -> "Begun":
    """What `opened` yields, the directory being there and locked."""
    checkpoint = None
    if (run / checkpoints.CONFIG_FILE).exists():
        if is_begun(run):
            config = runs.resumed(run, config, given, defaults, schedules.OPEN_ENDED)
        elif runs.read(run) != config:
            runs.rewrite(run, config)
        checkpoints.sweep(run)
        checkpoint = checkpoints.newest(run)
    else:
        runs.write(run, config)
    if checkpoint is None:  # new, or killed before its first checkpoint
        log_writers.rewind(run, -1)
    return config, checkpoint


def is_begun(run: Path) -> bool:
    """Whether something was trained in a run directory. A start that was killed before that leaves config.json."""
    return bool(checkpoints.folders(run)) or _trained(run / metrics_file.METRICS_FILE)


def keep_epochs(run: Path, config: "runs.RunConfig") -> None:
    """Writes a raised number of epochs into config.json, once it is known that more is trained."""
    if config.recipe != runs.read(run).recipe:
        runs.rewrite(run, config)


def _undo(run: Path) -> bool:
    """Empties a new run's directory, but for the lock, unless something was trained. Returns whether it did."""
    if is_begun(run):
        return False
    for path in _contents(run):
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink()
    return True


def _remove_empty(folders: list[Path]) -> None:
    """Removes folders, the innermost first, as far as nothing is in them."""
    with suppress(OSError):
        for folder in folders:
            folder.rmdir()


def _trained(metrics: Path) -> bool:
    """Whether metrics.csv has a row."""
    if not metrics.exists():
        return False
    with open(metrics, newline="", encoding="utf-8") as file:
        return any(csv.DictReader(file))


@contextmanager
def ensemble(run: Path, members: list[str], chief: bool) -> Iterator[None]:
    """Makes the directory above an ensemble's runs; its ensemble.json names them, for `--restore`.

    Members that an earlier command put there stay. A member that was not begun by the end of the block is not named.
    Raises UserError where something else is in the directory.
    """
    if not chief:
        yield
        return
    with _explained(run):
        inside = {path.name for path in _contents(run)}
        if inside and runs.ENSEMBLE_FILE not in inside:
            raise UserError(f"--ckpt={run} is not empty and holds no ensemble; name another directory")
        made = [folder for folder in (run, *run.parents) if not folder.exists()]
        named = list(dict.fromkeys([*(runs.members(run) if inside else []), *members]))
        run.mkdir(parents=True, exist_ok=True)
        write_json(run / runs.ENSEMBLE_FILE, {"members": named})
    try:
        yield
    except BaseException:
        begun = [name for name in named if (run / name).exists()]
        with suppress(OSError):
            if begun:
                write_json(run / runs.ENSEMBLE_FILE, {"members": begun})
            else:
                (run / runs.ENSEMBLE_FILE).unlink()
                _remove_empty(made)
        raise
