"""From a command line or a run's config.json to its parts: network, data set, recipe, model."""

import dataclasses
import os
import random
from pathlib import Path
from typing import Any

from cli import flags, registry
from common import progress
from common.architecture import Architecture
from common.errors import UserError
from common.input import bad_images, datasets, records
from common.recipe import Recipe
from common.runs import config as runs
from common.runs import locks, network
from common.training import finetuning

DATASETS = Path("datasets")  # where digits and tfds:NAME are prepared
FALLBACK_EPOCHS = 90  # where neither data set nor recipe suggests a length: that of the 2012 paper


def choose_architecture(options: flags.Options, family: str | None, arch: str | None = None) -> Architecture:
    """The network that `--arch` names, else that of the weights in `--restore`, `arch`, else the script's own.

    Raises UserError where it is not of the script's family.
    """
    name = options.arch or arch or family
    if name is None:
        raise UserError(f"give --arch: {', '.join(registry.ARCHITECTURES)}")
    architecture = registry.find(name)
    if family and architecture.family != family:
        members = ", ".join(member.name for member in registry.FAMILIES[family])
        named = f"--arch={name}" if options.arch else f"--restore={options.restore}: {name}"
        script = registry.script(architecture)
        raise UserError(f"{named} is not in {family}.py, which has {members}; use {script}")
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


def prepared_folder(dataset: str) -> Path | None:
    """Where `digits` and `tfds:NAME` are prepared; None for a data set that has a path of its own."""
    named = dataset == "digits" or dataset.startswith("tfds:")
    return DATASETS / dataset.replace(":", "_").replace("/", "_") if named else None


def dataset_name(dataset: str) -> str:
    """`--dataset` as config.json keeps it: a path is absolute."""
    return dataset if prepared_folder(dataset) else os.path.abspath(dataset)


def same_dataset(one: str, other: str) -> bool:
    """Whether two names as in config.json mean one data set; "" means none that is known."""
    if one and os.path.isabs(one) and os.path.isabs(other):
        return os.path.realpath(one) == os.path.realpath(other)
    return bool(one) and one == other


def open_data(dataset: str, seed: int, validation_share: float | None = None) -> "datasets.Dataset":
    """Opens what `--dataset` names; prepares `digits` and `tfds:NAME` under datasets/ the first time.

    `seed` and `validation_share` decide on the splits that it leaves open (`datasets.open_dataset`).
    """
    folder = prepared_folder(dataset)
    if folder and dataset == "digits":
        from data import digits

        digits.prepare(folder)
    elif folder:
        from data import tfds

        DATASETS.mkdir(exist_ok=True)
        with locks.wait(DATASETS / f".{folder.name}.lock"):  # several workers may begin at once
            tfds.prepare(dataset, folder)
    return datasets.open_dataset(str(folder or dataset), seed, validation_share)


def open_runs_data(options: flags.Options, config: "runs.RunConfig") -> "datasets.Dataset":
    """The data set to use with a run, `--dataset` or its own, with the splits that the run knew where it is the same.

    Raises UserError where there is neither.
    """
    dataset = dataset_of(options, config)
    same = same_dataset(config.dataset, dataset_name(dataset))
    return open_data(dataset, config.data_seed, config.validation_share if same else None)


def bad_images_of(options: flags.Options, data: "datasets.Dataset") -> "bad_images.BadImages | None":
    """What takes down image files that cannot be decoded, for `--skip_bad_images`; None: they are an error.

    Raises UserError for records: whoever makes them leaves such images out.
    """
    if not options.skip_bad_images:
        return None
    if any(split.records for split in data.splits.values()):
        raise UserError(
            f"--skip_bad_images is for class folders, and {data.path} holds records; data/prepare.py leaves such "
            "images out when it makes them"
        )
    return bad_images.BadImages(progress.say)


def tell(bad: "bad_images.BadImages | None") -> None:
    """Prints how many images were left out, and which, if any was."""
    if bad is not None and bad.summary:
        print(bad.summary, flush=True)


def resolve(options: flags.Options, architecture: Architecture, info: "records.DatasetInfo") -> Recipe:
    """The recipe with nothing left open: the network's, under what the data set suggests, under the command line.

    What a recipe named there changes of the lab's counts as given, too.
    Its learning rate is in proportion to the batch where the network's is meant for a batch of its own (Goyal et al.
    2017, "linear scaling rule") and nobody named another rate.
    """
    recipe = flags.recipe(options, architecture)
    unknown = info.suggested.keys() - {field.name for field in dataclasses.fields(Recipe)}
    if unknown:
        raise UserError(f"{info.name}: dataset.json suggests {', '.join(sorted(unknown))}, which no recipe has", 1)
    given = options.given | architecture.changes(options.recipe).keys()
    suggested = {name: value for name, value in info.suggested.items() if name not in given}
    recipe = dataclasses.replace(recipe, **{"epochs": recipe.epochs or FALLBACK_EPOCHS} | suggested)
    batch, rate = recipe.learning_rate_batch, recipe.learning_rate
    if "learning_rate" in options.given | suggested.keys() and "learning_rate_batch" not in options.given:
        batch = 0
    if batch:
        rate *= recipe.batch_size / batch
    return dataclasses.replace(recipe, learning_rate=rate, learning_rate_batch=batch)


def build_model(architecture: Architecture, config: "runs.RunConfig") -> Any:
    """The network of a configuration, as it is trained. Call it inside the strategy's scope."""
    random.seed(config.seed)  # where Keras draws its initializers' and dropout's seeds from
    model = network.build(architecture, config)
    if config.recipe.freeze:
        finetuning.freeze(model, config.recipe.freeze)
    return model


def dataset_of(options: flags.Options, config: "runs.RunConfig") -> str:
    """The data set to use with a run: `--dataset`, else the run's own. Raises UserError where there is neither."""
    if "dataset" not in options.given and not config.dataset:
        raise UserError("--dataset is needed: imported weights do not say what to use them on")
    return options.dataset if "dataset" in options.given else config.dataset


def named(config: "runs.RunConfig", data: "datasets.Dataset") -> "runs.RunConfig":
    """The configuration with the data set's classes where weights were imported, and its words for them.

    Raises UserError where the classes are others.
    """
    if config.imported and len(config.classes) == len(data.info.classes):
        return dataclasses.replace(config, classes=data.info.classes, words=data.info.words)
    if config.imported:
        raise UserError(
            f"--dataset={data.path}: {len(data.info.classes):,} classes, but the weights of "
            f"{config.imported['file']} are for {len(config.classes):,}; train on from them with --mode train --restore"
        )
    if data.info.classes != config.classes:
        raise UserError(f"--dataset={data.path}: its classes are not those that the run was trained on")
    return dataclasses.replace(config, words=data.info.words or config.words)


def test_split(options: flags.Options, data: "datasets.Dataset") -> str:
    """The split to measure: `--split`, by default test, or validation where the data set has no test split.

    Raises UserError where it does not have the one that is asked for.
    """
    if options.split in data.splits:
        return options.split
    if "split" not in options.given and "validation" in data.splits:
        return "validation"
    raise UserError(f"--split={options.split}: {data.info.name} has no such split, only {', '.join(data.splits)}")
