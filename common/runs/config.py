"""The run directory: what config.json says, and which directory a `--restore` means."""

import dataclasses
import platform
import shutil
import sys
from collections.abc import Container, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from common import class_names
from common import recipe as recipes
from common.errors import UserError
from common.recipe import Recipe
from common.runs import checkpoints
from common.runs.files import read_json, write_json

RESULTS_FILE = "results.json"
ENSEMBLE_FILE = "ensemble.json"  # in a directory of runs that `--ensemble` trained: their names
MEAN_IMAGE = "mean_image.npy"  # the run's own copy, where it subtracts one


@dataclass(frozen=True)
class RunConfig:
    """All that testing a run needs, and all that a resumed run must agree with.

    Attributes:
        arch: the network's name.
        options: further arguments it was built with.
        classes: class names by label.
        image_size: of the network's input, in pixels.
        preprocessing: `pipeline.Preprocessing` as a dictionary.
        recipe: resolved.
        recipe_name: the recipe it began from (`--recipe`), for people: a resumed run compares the resolved one.
        dataset: the value of `--dataset`; a path is absolute.
        seed: the one seed.
        precision: dtype policy it was trained in.
        jit: XLA compiled the steps; it rounds differently, so a resumed run must do the same.
        device_normalise: "on" where training and validation took pictures as bytes, rounded where they were resized;
            else "off".
        split_seed: draws the splits that the data set leaves open, where that is not `seed`: all members of an ensemble
            share their splits, or one would have learnt what another is tested on.
        imported: of imported weights: the file, and how it was read; their data set is unknown ("") and their
            classes are numbers.
        started_from: of training on from other weights: "path" of the run, checkpoint or file (absolute), a file's
            "sha256", and the "checkpoint" that was taken.
        deterministic: TensorFlow's op determinism was on.
        validation_share: of `datasets.open_dataset`.
        minutes: the time that the run was fitted into, or None.
        steps: its length then; None where it is that of the recipe's epochs.
        words: what the data set says that its classes mean, by label; () where it says nothing.
        module: where the network stands, as it is imported; "" where an older version did not write it.
    """

    arch: str
    options: dict
    classes: tuple[str, ...]
    image_size: int
    preprocessing: dict
    recipe: Recipe
    dataset: str
    seed: int
    precision: str
    jit: bool = False
    split_seed: int | None = None
    imported: dict | None = None
    started_from: dict | None = None
    deterministic: bool = False
    validation_share: float | None = None
    minutes: float | None = None
    steps: int | None = None
    device_normalise: str = "off"
    words: tuple[str, ...] = ()
    module: str = ""
    recipe_name: str = "lab"

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The classes for people, by label, no two alike (`class_names.shown`)."""
        return class_names.shown(self.classes, self.words)

    @property
    def synsets(self) -> tuple[str, ...]:
        """The classes as the data set names them, where people read words in their place; else ()."""
        return self.classes if self.names != self.classes else ()

    @property
    def data_seed(self) -> int:
        """What the data set is opened with."""
        return self.seed if self.split_seed is None else self.split_seed


def write(run: Path, config: RunConfig) -> None:
    """Writes config.json, with the libraries' versions and the command beside the settings.

    A mean image is copied beside it, so that the run does not need the data set's folder again.
    """
    import keras
    import tensorflow as tf

    versions = {"python": platform.python_version(), "tensorflow": tf.__version__, "keras": keras.__version__}
    values = dataclasses.asdict(config) | {"versions": versions, "command": sys.argv}
    if config.preprocessing.get("mean_image"):
        shutil.copyfile(config.preprocessing["mean_image"], run / MEAN_IMAGE)
        values["preprocessing"]["mean_image"] = MEAN_IMAGE
    write_json(run / checkpoints.CONFIG_FILE, values)


def rewrite(run: Path, config: RunConfig) -> None:
    """Writes the recipe and the steps of a run whose length was changed into its config.json; the rest stays."""
    values = read_json(run / checkpoints.CONFIG_FILE)
    length = {"recipe": dataclasses.asdict(config.recipe), "steps": config.steps}
    write_json(run / checkpoints.CONFIG_FILE, values | length)


def read(run: Path) -> RunConfig:
    """Reads config.json. Raises UserError where it is missing or damaged."""
    return _from_json(run, read_json(run / checkpoints.CONFIG_FILE))


def _from_json(run: Path, values: dict) -> RunConfig:
    """The configuration in config.json's values; what an older version did not write has its default."""
    try:
        known = {one.name: values[one.name] for one in dataclasses.fields(RunConfig) if _is_needed(one, values)}
        known["recipe"] = recipes.from_dict(known["recipe"])
        known["preprocessing"] = _tuples(known["preprocessing"])
        if known["preprocessing"].get("mean_image") == MEAN_IMAGE:
            known["preprocessing"]["mean_image"] = str(run / MEAN_IMAGE)
        return RunConfig(**known | {name: tuple(known.get(name, ())) for name in ("classes", "words")})
    except (KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{run / checkpoints.CONFIG_FILE}: damaged, {error} is missing or wrong", 1) from error


def _is_needed(field: dataclasses.Field, values: dict) -> bool:
    return field.name in values or field.default is dataclasses.MISSING


def _tuples(values: dict) -> dict:
    """JSON's lists as the tuples they were."""
    return {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}


def resumed(
    run: Path, new: RunConfig, given: Container[str], defaults: Mapping[str, Any], open_ended: Container[str]
) -> RunConfig:
    """The configuration with which a run goes on: that of its config.json, with the epochs where more are `given`.

    What was measured or found out when the run began holds: the preprocessing, and the precision, the place where
    pictures are normalised and the epochs unless they are `given`. What an older version did not write into
    config.json means what that version did, unless it is `given`.

    Args:
        run: the run directory.
        new: what the command line asks for.
        given: the names of the flags on the command line.
        defaults: the network's options and their defaults.
        open_ended: the schedules under which a run may be made longer.

    Raises:
        UserError: the command line asks for something else; it names each difference.
    """
    values = read_json(run / checkpoints.CONFIG_FILE)
    old = _from_json(run, values)
    old = dataclasses.replace(old, options={**defaults, **old.options})

    def lacked(names, found):
        return [name for name in names if name not in found and name not in given]

    kept = lacked((one.name for one in dataclasses.fields(RunConfig)), values)
    kept += ["preprocessing", "steps", "words", "module", "recipe_name"]
    kept += [name for name in ("precision", "device_normalise") if name not in given]
    options = lacked(defaults, values["options"])
    fields = lacked((one.name for one in dataclasses.fields(Recipe)), values["recipe"])
    fields += ["epochs"] if "epochs" not in given else []
    asked = dataclasses.replace(
        new,
        **{name: getattr(old, name) for name in kept},
        options={**new.options, **{name: old.options[name] for name in options}},
        recipe=dataclasses.replace(new.recipe, **{name: getattr(old.recipe, name) for name in fields}),
    )
    longer = dataclasses.replace(old, recipe=dataclasses.replace(old.recipe, epochs=asked.recipe.epochs))
    raised = (asked.recipe.epochs or 0) > (old.recipe.epochs or 0) and not differences(longer, asked)
    if raised and old.steps is not None:
        raise UserError(
            f"--epochs={asked.recipe.epochs}: {run} was fitted into {old.minutes:g} minutes, {old.steps:,} steps, and "
            f"keeps them; train on from it with --restore {run} and another --ckpt"
        )
    if raised and old.recipe.schedule in open_ended:
        return longer
    if raised:
        raise UserError(
            f"--epochs={asked.recipe.epochs}: the learning rate of {old.recipe.schedule} depends on the length of the "
            f"run, which began with --epochs {old.recipe.epochs}; train on from it with --restore {run} and "
            "another --ckpt"
        )
    different = differences(old, asked)
    if different:
        raise UserError(f"{run} holds a run of other settings ({'; '.join(different)}); name another with --ckpt")
    return old


def differences(old: RunConfig, new: RunConfig) -> list[str]:
    """Where two configurations differ, as `name: old -> new` lines; empty when they are equal."""
    found = recipes.differences(old.recipe, new.recipe)
    pairs = {name: (old.options.get(name), new.options.get(name)) for name in {**old.options, **new.options}}
    for field in dataclasses.fields(RunConfig):
        if field.name not in ("recipe", "options", "started_from"):
            pairs[field.name] = getattr(old, field.name), getattr(new, field.name)
    pairs["restore"] = _source(old.started_from), _source(new.started_from)
    for name, (before, after) in pairs.items():
        if before != after:
            long = name in ("classes", "preprocessing")
            found.append(f"{name} differ" if long else f"{name}: {before} -> {after}")
    return found


def _source(started_from: dict | None) -> str:
    """Where weights came from. Of a run that trains on, another checkpoint may have become the best meanwhile."""
    if started_from is None:
        return "nothing"
    return started_from["path"] + (f" ({started_from['sha256'][:8]})" if "sha256" in started_from else "")


def members(folder: Path) -> list[str]:
    """The names of the runs in an ensemble's directory. Raises UserError where ensemble.json is missing or damaged."""
    values = read_json(folder / ENSEMBLE_FILE)
    names = values.get("members") if isinstance(values, dict) else None
    if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
        raise UserError(f"{folder / ENSEMBLE_FILE}: damaged, it names no members", 1)
    return names


def ensemble(path: str) -> list[str]:
    """The runs that one part of `--restore` stands for: those of an ensemble's directory, else the path itself.

    A folder that holds no run but one ensemble's directory means that.
    """
    folder = Path(path)
    above = sorted(folder.glob(f"*/{ENSEMBLE_FILE}"))
    if (folder / ENSEMBLE_FILE).exists():
        return [str(folder / name) for name in members(folder)]
    if len(above) == 1 and not any(folder.glob(f"*/{checkpoints.CONFIG_FILE}")):
        return ensemble(str(above[0].parent))
    return [path]


def find(path: str, arch: str | None, family: tuple[str, ...]) -> tuple[Path, Path | None]:
    """What `--restore PATH` means: (run directory, one checkpoint's folder or None for the run's best).

    PATH may be a run directory, one checkpoint of it, or a folder that holds runs. Among several the one of `arch` is
    meant, or the only one of `family`. Raises UserError where nothing is found or more than one could be meant.
    """
    folder = Path(path)
    if not folder.exists():
        raise UserError(f"--restore={path}: no such directory")
    if (folder / checkpoints.STATE_FILE).exists():
        return folder.parent.parent, folder
    if (folder / checkpoints.CONFIG_FILE).exists():
        return folder, None
    inside = {config.parent: read(config.parent) for config in sorted(folder.glob(f"*/{checkpoints.CONFIG_FILE}"))}
    fitting = [run for run, config in inside.items() if config.arch == arch]
    fitting = fitting or [run for run, config in inside.items() if config.arch in family]
    if not inside:
        raise UserError(
            f"--restore={path}: there is no run in this directory; train one first, or name a run directory"
        )
    if not fitting:
        raise UserError(
            f"--restore={path}: no run of {arch or family[0]} here, only {', '.join(c.arch for c in inside.values())}"
        )
    if len(fitting) > 1:
        raise UserError(f"--restore={path}: several runs could be meant; name one: {', '.join(map(str, fitting))}")
    return fitting[0], None
