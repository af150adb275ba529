"""From a command line or a run's config.json to its parts: network, data, devices, checkpoint."""

import dataclasses
import os
import random
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from cli import flags, import_weights, registry
from common import distribution
from common.architecture import Architecture
from common.errors import UserError
from common.input import datasets, pipeline, records
from common.recipe import Recipe
from common.runs import checkpoints, locks, network
from common.runs import config as runs
from common.training import finetuning, log_writers

DATASETS = Path("datasets")  # where digits and tfds:NAME are prepared
LOCK_FILE = ".lock"  # in a run directory
FALLBACK_EPOCHS = 90  # where neither data set nor recipe suggests a length: that of the 2012 paper


def choose_architecture(options: flags.Options, family: str | None, arch: str | None = None) -> Architecture:
    """The network that `--arch` (or a run's config.json) names; the script's own where neither does.

    Raises UserError where it is not of the script's family.
    """
    name = options.arch or arch or family
    if name is None:
        raise UserError(f"give --arch: {', '.join(registry.ARCHITECTURES)}")
    architecture = registry.find(name)
    if family and architecture.family != family:
        members = ", ".join(member.name for member in registry.FAMILIES[family])
        script = registry.script(architecture)
        raise UserError(f"--arch={name} is not in {family}.py, which has {members}; use {script}")
    return architecture


def build_options(
    options: flags.Options, architecture: Architecture, before: "runs.RunConfig | None" = None
) -> dict[str, Any]:
    """The network's own options, as flags give them, else as the same network had them `before`.

    Raises UserError for an option the network does not have.
    """
    for option in registry.OPTIONS:
        if option in options.given and option not in architecture.defaults:
            raise UserError(f"--{option}: {architecture.name} has no such option")
    known = before.options if before and before.arch == architecture.name else {}
    return {
        name: options.values[name] if name in options.given else known.get(name, value)
        for name, value in architecture.defaults.items()
    }


def open_data(dataset: str, seed: int) -> "datasets.Dataset":
    """Opens what `--dataset` names; prepares `digits` and `tfds:NAME` under datasets/ the first time."""
    if dataset == "digits":
        from data import digits

        folder = DATASETS / "digits"
        digits.prepare(folder)
        return datasets.open_dataset(str(folder), seed)
    if dataset.startswith("tfds:"):
        from data import tfds

        folder = DATASETS / dataset.replace(":", "_").replace("/", "_")
        DATASETS.mkdir(exist_ok=True)
        with locks.wait(DATASETS / f".{folder.name}.lock"):  # several workers may begin at once
            tfds.prepare(dataset, folder)
        return datasets.open_dataset(str(folder), seed)
    return datasets.open_dataset(dataset, seed)


def resolve(options: flags.Options, architecture: Architecture, info: "records.DatasetInfo") -> Recipe:
    """The recipe with nothing left open: the network's, under what the data set suggests, under the command line.

    Its learning rate is in proportion to the batch where the network's is meant for a batch of its own (Goyal et al.
    2017, "linear scaling rule") and nobody named another rate.
    """
    recipe = flags.recipe(options, architecture)
    strange = info.suggested.keys() - {field.name for field in dataclasses.fields(Recipe)}
    if strange:
        raise UserError(f"{info.name}: dataset.json suggests {', '.join(sorted(strange))}, which no recipe has", 1)
    suggested = {name: value for name, value in info.suggested.items() if name not in options.given}
    recipe = dataclasses.replace(recipe, **{"epochs": recipe.epochs or FALLBACK_EPOCHS} | suggested)
    batch, rate = recipe.learning_rate_batch, recipe.learning_rate
    if "learning_rate" in options.given | suggested.keys() and "learning_rate_batch" not in options.given:
        batch = 0
    if batch:
        rate *= recipe.batch_size / batch
    return dataclasses.replace(recipe, learning_rate=rate, learning_rate_batch=batch)


def configure(
    options: flags.Options, architecture: Architecture, data: "datasets.Dataset", seed: int
) -> "runs.RunConfig":
    """The configuration of a new run with `seed`; `data` was opened with that of the options.

    Weights to start from bring along what they were trained on: options and image size where the network is the same,
    and the normalisation of its input.
    """
    recipe = resolve(options, architecture, data.info)
    before = load_run(options.restore, options, None)[1] if options.restore else None
    for name in ("freeze", "head_learning_rate"):
        if getattr(recipe, name) is not None and before is None:
            raise UserError(f"--{name} is for training on from other weights; name them with --restore")
    same = before is not None and before.arch == architecture.name
    image_size = options.image_size or (before.image_size if same else architecture.image_size)
    preprocessing = pipeline.preprocessing(recipe, data.info, image_size, data.path)
    if before is not None:
        kept = {"std", "channels"} | (set() if "mean" in options.given else {"mean", "mean_image"})
        preprocessing = dataclasses.replace(preprocessing, **{name: before.preprocessing[name] for name in kept})
    named = options.dataset == "digits" or options.dataset.startswith("tfds:")
    return runs.RunConfig(
        arch=architecture.name,
        options=build_options(options, architecture, before),
        classes=data.info.classes,
        image_size=image_size,
        preprocessing=dataclasses.asdict(preprocessing),
        recipe=recipe,
        dataset=options.dataset if named else os.path.abspath(options.dataset),
        seed=seed,
        split_seed=None if seed == options.seed else options.seed,
        precision=distribution.resolve_precision(options.precision),
        jit=options.jit,
    )


def build_model(architecture: Architecture, config: "runs.RunConfig") -> Any:
    """The network of a configuration, as it is trained. Call it inside the strategy's scope."""
    random.seed(config.seed)  # where Keras draws its initializers' and dropout's seeds from
    model = network.build(architecture, config)
    if config.recipe.freeze:
        finetuning.freeze(model, config.recipe.freeze)
    return model


def load_run(
    path: str, options: flags.Options, family: str | None
) -> tuple[Path, "runs.RunConfig", "checkpoints.Checkpoint"]:
    """What `--restore` names: the run directory, its configuration and the checkpoint to load.

    Weights from elsewhere become a run directory first.
    """
    if import_weights.is_foreign(path):
        run = import_weights.import_run(path, options.arch or family)
        return run, runs.read(run), checkpoints.best(run)
    members = registry.FAMILIES[family] if family else tuple(registry.ARCHITECTURES.values())
    run, folder = runs.find(path, options.arch or family, tuple(member.name for member in members))
    checkpoint = checkpoints.open_checkpoint(folder) if folder else checkpoints.best(run)
    if checkpoint is None:
        raise UserError(f"--restore={path}: {run} holds no checkpoint yet; let it train for an epoch first")
    return run, runs.read(run), checkpoint


@contextmanager
def run_directory(run: Path, config: "runs.RunConfig", chief: bool) -> "Iterator[checkpoints.Checkpoint | None]":
    """Makes the run directory, or opens that of an unfinished run, and yields the checkpoint to go on from, or None.

    No other process may train there meanwhile. Of several workers only the chief writes.

    Raises:
        UserError: the directory is another run's, or holds something else, or is in use, or cannot be written.
    """
    if not chief:
        yield checkpoints.newest(run)
        return
    with ExitStack() as stack:
        try:
            begun = (run / checkpoints.CONFIG_FILE).exists()
            if not begun and run.exists() and any(not path.name.startswith(".") for path in run.iterdir()):
                raise UserError(f"--ckpt={run} is not empty and holds no run; name another directory")
            run.mkdir(parents=True, exist_ok=True)
            stack.enter_context(locks.hold(run / LOCK_FILE, f"--ckpt={run}"))
            checkpoint = _open_run(run, config) if begun else None
            if not begun:
                runs.write(run, config)
            if checkpoint is None:  # new, or killed before its first checkpoint
                log_writers.rewind(run, -1)
        except OSError as error:
            raise UserError(f"--ckpt={run}: {error.strerror}", 1) from error
        yield checkpoint


def _open_run(run: Path, config: "runs.RunConfig") -> "checkpoints.Checkpoint | None":
    """The newest checkpoint of a run of the same settings. Raises UserError where they differ, and says in what."""
    different = runs.differences(runs.read(run), config)
    if different:
        raise UserError(f"{run} holds a run of other settings ({'; '.join(different)}); name another with --ckpt")
    checkpoints.sweep(run)
    return checkpoints.newest(run)


def ensemble_directory(run: Path, members: list[str], chief: bool) -> None:
    """Makes the directory above an ensemble's runs; its ensemble.json names them, for `--restore`.

    Members that an earlier command put there stay. Raises UserError where something else is in the directory.
    """
    if not chief:
        return
    try:
        inside = {path.name for path in run.iterdir() if not path.name.startswith(".")} if run.exists() else set()
        if inside and runs.ENSEMBLE_FILE not in inside:
            raise UserError(f"--ckpt={run} is not empty and holds no ensemble; name another directory")
        before = runs.members(run) if inside else []
        run.mkdir(parents=True, exist_ok=True)
        checkpoints.write_json(run / runs.ENSEMBLE_FILE, {"members": list(dict.fromkeys([*before, *members]))})
    except OSError as error:
        raise UserError(f"--ckpt={run}: {error.strerror}", 1) from error


def start_from(options: flags.Options, architecture: Architecture, model: Any) -> str:
    """`--mode train --restore`: takes over another run's weights, layer by layer; says which layers start afresh.

    Of the same network every layer whose shapes agree is taken (so the classifier starts afresh where the classes
    differ); of another one, the layers this network inherits, if it does.
    """
    _, config, checkpoint = load_run(options.restore, options, None)
    same = config.arch == architecture.name
    if not same and not architecture.inherits:
        raise UserError(
            f"--restore={options.restore}: holds {config.arch}, which {architecture.name} cannot start from"
        )
    taken, left = checkpoints.transfer(checkpoint, model.variables, None if same else architecture.inherits)
    if not taken:
        raise UserError(f"--restore={checkpoint.folder}: no layer of {config.arch} fits {architecture.name}")
    return f"starting from {checkpoint.folder}: {len(taken)} variables taken; new layers: {', '.join(left) or 'none'}"


def dataset_of(options: flags.Options, config: "runs.RunConfig") -> str:
    """The data set to use with a run: `--dataset`, else the run's own. Raises UserError where there is neither."""
    if "dataset" not in options.given and not config.dataset:
        raise UserError("--dataset is needed: weights from elsewhere do not say what to use them on")
    return options.dataset if "dataset" in options.given else config.dataset


def named(config: "runs.RunConfig", data: "datasets.Dataset") -> "runs.RunConfig":
    """The configuration with the data set's class names, where imported weights came with their number only.

    Raises UserError where the classes are others.
    """
    if config.imported and len(config.classes) == len(data.info.classes):
        return dataclasses.replace(config, classes=data.info.classes)
    if config.imported:
        raise UserError(
            f"--dataset={data.path}: {len(data.info.classes):,} classes, but the weights of "
            f"{config.imported['file']} are for {len(config.classes):,}; train on from them with --mode train --restore"
        )
    if data.info.classes != config.classes:
        raise UserError(f"--dataset={data.path}: its classes are not those that the run was trained on")
    return config


def test_split(data: "datasets.Dataset", wanted: str) -> str:
    """The split to measure; validation stands in for a test split that the data set does not have."""
    if wanted in data.splits:
        return wanted
    if wanted == "test" and "validation" in data.splits:
        return "validation"
    raise UserError(f"--split={wanted}: {data.info.name} has {', '.join(data.splits)}")
