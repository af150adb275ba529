"""A training command with nothing left open, before anything is built or written."""

import dataclasses
import os
from dataclasses import dataclass
from pathlib import Path

from cli import flags, registry, setup
from cli import trained as trained_networks
from cli.trained import Trained
from common import distribution
from common.architecture import Architecture
from common.errors import UserError
from common.input import datasets, device_part, pipeline
from common.recipe import Recipe
from common.runs import config as runs
from common.training import lr_range


@dataclass(frozen=True)
class Plan:
    """What is to be trained.

    Attributes:
        run: the run directory.
        options: the command line.
        architecture: the network.
        devices: where to compute.
        data: the data set, opened.
        config: what config.json is to hold.
        start: the network whose weights training starts from, or None.
    """

    run: Path
    options: flags.Options
    architecture: Architecture
    devices: "distribution.Devices"
    data: "datasets.Dataset"
    config: "runs.RunConfig"
    start: Trained | None

    def member(self, seed: int) -> "Plan":
        """The run of an ensemble with this seed. All of them share their splits."""
        data_seed = self.config.data_seed
        config = dataclasses.replace(self.config, seed=seed, split_seed=None if seed == data_seed else data_seed)
        return dataclasses.replace(self, run=self.run / f"seed-{seed}", config=config)


def make(options: flags.Options, family: str | None) -> Plan:
    """Resolves a training command. Raises UserError where its parts do not go together."""
    devices = distribution.choose(
        options.strategy, options.virtual_devices, options.deterministic, options.communication
    )
    start = trained_networks.start(options, family)
    architecture = setup.choose_architecture(options, family, start.config.arch if start else None)
    if start:
        trained_networks.check_fit(start, architecture)
    data_seed = choose_data_seed(options, start)
    data = setup.open_data(options.dataset, data_seed, options.validation_share)
    config = configure(options, architecture, data, data_seed, start)
    plan = Plan(Path(options.ckpt or f"ckpt/{architecture.name}"), options, architecture, devices, data, config, start)
    _check(plan)
    return plan


def choose_data_seed(options: flags.Options, start: Trained | None) -> int:
    """What draws the splits that the data set leaves open: `--seed`.

    Where training goes on from a run on the same data set, what that run used: its test images stay unseen.
    """
    if start and setup.same_dataset(start.config.dataset, setup.dataset_name(options.dataset)):
        return start.config.data_seed
    return options.seed


def configure(
    options: flags.Options,
    architecture: Architecture,
    data: "datasets.Dataset",
    data_seed: int,
    start: Trained | None = None,
) -> "runs.RunConfig":
    """The configuration of a new run; `data` was opened with `data_seed`.

    Weights to start from bring along what they were trained on: options and image size where the network is the same,
    and the normalisation of its input.
    """
    recipe = setup.resolve(options, architecture, data.info)
    before = start.config if start else None
    for name, off in (("freeze", None), ("head_learning_rate", None), ("layer_decay", 1.0)):
        if getattr(recipe, name) != off and getattr(architecture.recipe, name) == off and before is None:
            raise UserError(f"--{name} is for training on from other weights; name them with --restore")
    own = before.image_size if before is not None and before.arch == architecture.name else architecture.image_size
    image_size = options.image_size or architecture.changes(options.recipe).get("image_size", own)
    preprocessing = pipeline.preprocessing(recipe, data.info, image_size, data.path)
    if before is not None:
        kept = {"std", "channels"} | (set() if "mean" in options.given else {"mean", "mean_image"})
        preprocessing = dataclasses.replace(preprocessing, **{name: before.preprocessing[name] for name in kept})
    return runs.RunConfig(
        arch=architecture.name,
        options=setup.build_options(options, architecture, before),
        classes=data.info.classes,
        words=data.info.words,
        module=registry.module(architecture),
        image_size=image_size,
        preprocessing=dataclasses.asdict(preprocessing),
        recipe=recipe,
        dataset=setup.dataset_name(options.dataset),
        seed=options.seed,
        split_seed=None if options.seed == data_seed else data_seed,
        precision=distribution.resolve_precision(options.precision),
        device_normalise=device_normalise(options, recipe, preprocessing),
        jit=options.jit,
        started_from=_source(start) if start else None,
        deterministic=options.deterministic,
        validation_share=options.validation_share,
        minutes=options.minutes,
        recipe_name=options.recipe,
    )


def device_normalise(options: flags.Options, recipe: Recipe, preprocessing: "pipeline.Preprocessing") -> str:
    """What `--device_normalise` comes to, on or off. Raises UserError where on is asked for and is not possible."""
    obstacle = device_part.obstacle(recipe, preprocessing)
    if options.device_normalise == "on" and obstacle:
        raise UserError(f"--device_normalise=on: {obstacle}; leave it out")
    return "on" if distribution.normalises(options.device_normalise) and not obstacle else "off"


def _source(start: Trained) -> dict:
    """What config.json says of the weights that training started from."""
    if start.config.imported:
        imported = start.config.imported
        return {"path": imported["file"]} | ({"sha256": imported["sha256"]} if "sha256" in imported else {})
    folder = start.checkpoint.folder
    return {"path": os.path.abspath(folder if start.exact else start.run), "checkpoint": folder.name}


def _check(plan: Plan) -> None:
    """Raises UserError where data, devices, recipe and flags do not go together."""
    options, recipe, splits = plan.options, plan.config.recipe, plan.data.splits
    if options.validation_share == 0:
        for flag, needs in (
            ("--schedule=plateau", recipe.schedule == "plateau"),
            ("--patience", bool(recipe.patience)),
            ("--histograms", options.histograms),
        ):
            if needs:
                raise UserError(f"--validation_share=0: {flag} needs validations, and there would be none")
    for name in ("train",) if options.validation_share == 0 else ("train", "validation"):
        if name not in splits:
            raise UserError(
                f"--dataset={options.dataset}: {plan.data.info.name} has no {name} split, only {', '.join(splits)}", 1
            )
    if 0 < options.lr_range_test < lr_range.LEAST_STEPS:
        raise UserError(
            f"--lr_range_test={options.lr_range_test}: too few steps; give at least {lr_range.LEAST_STEPS}, e.g. 200"
        )
    distribution.check_batch(recipe.batch_size, plan.devices, recipe.accumulate)
    if recipe.accumulate > 1 and plan.devices.replicas > 1 and plan.config.options.get("batch_norm") == "global":
        raise UserError("--accumulate: --batch_norm=global takes a whole batch's statistics; leave one of them out")
    if options.jit and plan.devices.replicas > 1:
        raise UserError(f"--jit compiles the step of one device, not of {plan.devices.replicas} replicas")
    if options.jit and plan.config.options.get("stochastic_depth", 1.0) < 1.0:
        raise UserError(
            "--jit: XLA has no batches without images, which --stochastic_depth makes; leave one of them out"
        )
    if recipe.batch_size > splits["train"].examples:
        raise UserError(f"--batch_size={recipe.batch_size} is more than the {splits['train'].examples} training images")
    if options.snapshots and recipe.schedule not in ("sgdr", "cyclical"):
        raise UserError(f"--snapshots: --schedule={recipe.schedule} has no cycles; use sgdr or cyclical")
