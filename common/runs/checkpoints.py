"""Checkpoints: written whole or not at all, checked when read, keyed by the variables' names.

    RUN/config.json
    RUN/checkpoints/step-00000144/variables.index, variables.data-...   a `tf.train.Checkpoint`
    RUN/checkpoints/step-00000144/state.json                            everything else, and the files' checksums

A checkpoint is written into a hidden folder, flushed to the disk, and renamed. So a folder called step-... is complete
unless the disk damaged it, and that its checksums show. A training checkpoint is written before the validation of its
step; the result is added to its state.json afterwards, which is replaced as a whole.
"""

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import tensorflow as tf

from common.errors import UserError
from common.runs.files import digest, flush, read_json, write_json

FORMAT = 1
CONFIG_FILE = "config.json"
STATE_FILE = "state.json"
_FOLDER = "checkpoints"


@dataclass(frozen=True)
class Checkpoint:
    """One checkpoint on disk: its folder and the contents of its state.json."""

    folder: Path
    state: dict

    @property
    def step(self) -> int:
        """Global step after which it was written."""
        return self.state["step"]


def named_variables(variables: Iterable) -> dict[str, tf.Variable]:
    """Keras variables by path. Raises ValueError where two share one: then a name would not say which is meant."""
    named = {}
    for variable in variables:
        if variable.path in named:
            raise ValueError(f"two variables are called {variable.path}")
        named[variable.path] = variable.value
    return named


def _shapes(groups: Mapping[str, Mapping]) -> dict[str, list[int]]:
    """`group:path` -> shape, for every variable of every group."""
    return {
        f"{group}:{path}": value.shape.as_list() for group, items in groups.items() for path, value in items.items()
    }


def _json_digest(values: dict) -> str:
    """SHA-256 of a dictionary, whatever the order and the white space it is written with."""
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def save(run: Path, state: dict, groups: Mapping[str, Iterable], chief: bool = True) -> Path:
    """Writes one checkpoint and returns its folder.

    Args:
        run: the run directory.
        state: JSON-able, with at least `step`.
        groups: Keras variables by group, e.g. {"model": ..., "optimizer": ...}.
        chief: of several workers all must call `save`; only the chief's files stay.
    """
    named = {name: named_variables(variables) for name, variables in groups.items()}
    final = folder_at(run, state["step"])
    root = final.parent
    if chief:
        root.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=".writing-", dir=root if chief else None))
    try:
        tf.train.Checkpoint(**named).write(str(temporary / "variables"))
        if not chief:
            return temporary
        temporary.chmod(0o755)  # mkdtemp's is 0700
        files = {path.name: digest(path) for path in sorted(temporary.iterdir()) if path.is_file()}
        values = {"format": FORMAT, **state, "variables": _shapes(named), "files": files}
        _write_state(temporary, values)
        for path in temporary.iterdir():
            flush(path)
        if final.exists():
            _remove(final)
        os.replace(temporary, final)
        flush(root)
        return final
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def amend(run: Path, state: dict) -> Path:
    """Changes what the checkpoint of `state["step"]` holds beside its variables, at once; returns its folder."""
    folder = folder_at(run, state["step"])
    _write_state(folder, read_json(folder / STATE_FILE) | state)
    flush(folder)
    return folder


def _write_state(folder: Path, values: dict) -> None:
    values = {name: value for name, value in values.items() if name != "checksum"}
    write_json(folder / STATE_FILE, values | {"checksum": _json_digest(values)})


def _remove(folder: Path) -> None:
    """Removes a checkpoint under another name, so that a kill does not leave a part of it that looks damaged."""
    name = folder.with_name(f".removing-{folder.name}")
    os.replace(folder, name)
    shutil.rmtree(name)


def sweep(run: Path) -> None:
    """Removes what a killed process left half-written. Call it at the start of a run, while nobody writes there."""
    for kind in (".writing-*", ".removing-*"):
        for leftover in (Path(run) / _FOLDER).glob(kind):
            shutil.rmtree(leftover)
    for leftover in (*Path(run).glob(".*.json.*"), *Path(run).glob(f"{_FOLDER}/*/.*.json.*")):
        leftover.unlink()


def open_checkpoint(folder: Path) -> Checkpoint:
    """Checks a checkpoint's format and checksums. Raises UserError that names the damaged file."""
    folder = Path(folder)
    state = read_json(folder / STATE_FILE)
    if not isinstance(state, dict) or "format" not in state:
        raise UserError(f"{folder / STATE_FILE}: damaged, it says no format", 1)
    if state["format"] != FORMAT:
        raise UserError(f"{folder}: checkpoint format {state.get('format')}, this program reads {FORMAT}", 1)
    if state.pop("checksum", None) != _json_digest(state):
        raise UserError(f"{folder / STATE_FILE}: damaged, its checksum does not match", 1)
    for name, expected in state["files"].items():
        path = folder / name
        if not path.exists():
            raise UserError(f"{path}: missing from its checkpoint", 1)
        if digest(path) != expected:
            raise UserError(f"{path}: damaged, its checksum does not match", 1)
    return Checkpoint(folder, state)


def folder_at(run: Path, step: int) -> Path:
    """Where the checkpoint of a step lies, if there is one."""
    return Path(run) / _FOLDER / f"step-{step:08d}"


def folders(run: Path) -> list[Path]:
    """The run's checkpoint folders, newest first."""
    return sorted((Path(run) / _FOLDER).glob("step-*"), reverse=True)


def newest(run: Path, say=print) -> Checkpoint | None:
    """The newest checkpoint that is whole; None where there is none at all.

    A damaged one is passed over, with a line that says so. Raises UserError where every one is damaged.
    """
    found = folders(run)
    for folder in found:
        try:
            return open_checkpoint(folder)
        except UserError as error:
            say(f"{error}; going back to the checkpoint before it")
    if found:
        raise UserError(f"{run}: every checkpoint is damaged; remove the directory to start again", 1)
    return None


def best(run: Path, say=print) -> Checkpoint | None:
    """The checkpoint with the best validation top-1, or the newest where that one is gone or damaged."""
    last = newest(run, say)
    if last is None or last.state.get("best_step") in (None, last.step):
        return last
    try:
        return open_checkpoint(folder_at(run, last.state["best_step"]))
    except UserError as error:
        say(f"{error}; using {last.folder.name} in place of the best")
        return last


def snapshots(run: Path) -> list[Path]:
    """The folders of a run's snapshots (checkpoints at the end of a learning-rate cycle), oldest first."""
    return [folder for folder in reversed(folders(run)) if _is_snapshot(folder)]


def _is_snapshot(folder: Path) -> bool:
    try:
        return bool(read_json(folder / STATE_FILE).get("snapshot"))
    except (UserError, AttributeError):  # damaged: of no use as one
        return False


def restore(checkpoint: Checkpoint, groups: Mapping[str, Iterable], part: bool = False) -> None:
    """Loads the variables of `groups`; groups of the checkpoint that are not asked for are left alone.

    Raises UserError that lists every variable which is missing here (not where a `part` of them is asked for), missing
    there, or of another shape.
    """
    named = {name: named_variables(variables) for name, variables in groups.items()}
    here = _shapes(named)
    there = {key: shape for key, shape in checkpoint.state["variables"].items() if key.split(":")[0] in named}
    faults = [f"{key} is not in the checkpoint" for key in here.keys() - there.keys()]
    faults += [f"{key} is only in the checkpoint" for key in there.keys() - here.keys() if not part]
    faults += [
        f"{key} is {there[key]}, here {here[key]}" for key in here.keys() & there.keys() if here[key] != there[key]
    ]
    if faults:
        raise UserError(f"{checkpoint.folder}: does not fit this network: {'; '.join(sorted(faults))}", 1)
    # expect_partial: the test loads the model alone, without the optimizer that stands beside it.
    reader = tf.train.Checkpoint(**named).read(str(checkpoint.folder / "variables"))
    reader.assert_existing_objects_matched().expect_partial()


def restore_weights(checkpoint: Checkpoint, model, part: bool = False) -> None:
    """Loads what is evaluated: the model's variables, and over them their moving averages where the run kept them.

    With `part` the model may lack layers of the one that was trained.
    """
    restore(checkpoint, {"model": model.variables}, part)
    if any(key.startswith("average:") for key in checkpoint.state["variables"]):
        restore(checkpoint, {"average": [v for v in model.variables if tf.as_dtype(v.dtype).is_floating]}, part)


def prune(run: Path, keep: Iterable[int], newest_kept: int = 1, written: Path | None = None) -> None:
    """Removes all checkpoints but the `newest_kept` newest sound ones, those of the steps in `keep` and the snapshots.

    A damaged one does not take the place of one to go on from. `written`, by this process, is not read again.
    """
    named, sound = {folder_at(run, step) for step in keep}, 0
    for folder in folders(run):
        counts = sound < newest_kept and (folder == written or is_sound(folder))
        sound += counts
        if not counts and folder not in named and not _is_snapshot(folder):
            _remove(folder)


def is_sound(folder: Path) -> bool:
    """Whether a checkpoint would load."""
    try:
        open_checkpoint(folder)
    except UserError:
        return False
    return True


def transfer(checkpoint: Checkpoint, variables: Iterable, layers: Iterable[str] | None) -> tuple[list[str], list[str]]:
    """Copies a checkpoint's weights into the variables of the same path and shape. Seeds stay this run's own.

    Where the run kept moving averages of them, those are taken: they are what was tested.

    Args:
        checkpoint: of this or another network.
        variables: Keras variables to fill.
        layers: only variables of these layers; None: of all.

    Returns:
        The paths that were filled, and the layers of those that were not.
    """
    named = {path: value for path, value in named_variables(variables).items() if value.dtype.is_floating}
    shapes = checkpoint.state["variables"]
    wanted = {path: value for path, value in named.items() if layers is None or path.split("/")[0] in set(layers)}
    taken = {path: value for path, value in wanted.items() if shapes.get(f"model:{path}") == value.shape.as_list()}
    averaged = {path: value for path, value in taken.items() if f"average:{path}" in shapes}
    raw = {path: value for path, value in taken.items() if path not in averaged}
    status = tf.train.Checkpoint(model=raw, average=averaged).read(str(checkpoint.folder / "variables"))
    status.assert_existing_objects_matched().expect_partial()
    left = dict.fromkeys(path.split("/")[0] for path in named if path not in taken)
    return list(taken), list(left)
