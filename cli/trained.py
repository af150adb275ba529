"""What `--restore` names, as trained networks: for the modes that use one."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cli import flags, setup
from common import distribution
from common.architecture import Architecture
from common.errors import UserError
from common.evaluation import prediction
from common.evaluation.protocol import Protocol
from common.input import datasets, pipeline
from common.nn import batch_norm_folding, fully_convolutional, graph_rewrite
from common.runs import checkpoints
from common.runs import config as runs


@dataclass(frozen=True)
class Trained:
    """One trained network: its run, the run's configuration, the checkpoint to load, the architecture."""

    run: Path
    config: "runs.RunConfig"
    checkpoint: "checkpoints.Checkpoint"
    architecture: Architecture


def restored(options: flags.Options, family: str | None) -> list[Trained]:
    """All that `--restore` and `--snapshots` name. Raises UserError where that is not one or more trained networks."""
    parts = [options.restore] if Path(options.restore).exists() else [p for p in options.restore.split(",") if p]
    found = []
    for path in (run for part in parts for run in runs.ensemble(part)):
        run, config, checkpoint = setup.load_run(path, options, family)
        architecture = setup.choose_architecture(options, family, config.arch)
        if architecture.name != config.arch:
            raise UserError(f"--arch={architecture.name}, but {run} holds {config.arch}")
        if "precision" in options.given:
            config = dataclasses.replace(config, precision=distribution.resolve_precision(options.precision))
        chosen = _snapshots(run, options.snapshots) if options.snapshots else [checkpoint]
        found += [Trained(run, config, one, architecture) for one in chosen]
    for one in found:
        if len(one.config.classes) != len(found[0].config.classes) or (
            one.config.classes != found[0].config.classes and not (one.config.imported or found[0].config.imported)
        ):
            raise UserError(f"--restore: {one.run} was trained on other classes than {found[0].run}")
    return found


def _snapshots(run: Path, wanted: str) -> list["checkpoints.Checkpoint"]:
    """The snapshots that `--snapshots` names, `all` or `last:N`, oldest first."""
    kept = checkpoints.snapshots(run)
    if not kept:
        raise UserError(f"--snapshots: {run} holds none; train with --schedule sgdr --snapshots")
    if wanted == "all":
        return [checkpoints.open_checkpoint(folder) for folder in kept]
    count = wanted.removeprefix("last:")
    if count == wanted or not count.isdecimal() or not int(count):
        raise UserError(f"--snapshots={wanted}: give all, or last:N with a whole number, e.g. last:5")
    if int(count) > len(kept):
        raise UserError(f"--snapshots={wanted}: {run} holds only {len(kept)}")
    return [checkpoints.open_checkpoint(folder) for folder in kept[-int(count) :]]


def one(options: flags.Options, family: str | None) -> Trained:
    """The one network that `--restore` names. Raises UserError for none or several."""
    if not options.restore:
        raise UserError(f"--mode={options.mode} needs --restore: a run directory, a checkpoint, or a weight file")
    trained = restored(options, family)
    if len(trained) > 1:
        raise UserError(f"--restore={options.restore}: {len(trained)} networks; name one for --mode={options.mode}")
    return trained[0]


def with_data(options: flags.Options, trained: Trained) -> tuple["datasets.Dataset", Trained]:
    """The data set to use, and the network with its class names."""
    data = setup.open_data(setup.dataset_of(options, trained.config), trained.config.data_seed)
    return data, dataclasses.replace(trained, config=setup.named(trained.config, data))


def batch_size_of(options: flags.Options, config: "runs.RunConfig") -> int:
    """Crops at a time: `--batch_size`, else that of the training. Raises UserError where it is less than 1."""
    if "batch_size" not in options.given:
        return config.recipe.batch_size
    return dataclasses.replace(config.recipe, batch_size=options.batch_size).batch_size


def view_of(config: "runs.RunConfig", protocol: Protocol) -> "prediction.View":
    """How a protocol looks at the pictures of a run. Raises UserError where a scale does not fit."""
    view = prediction.View(pipeline.Preprocessing(**config.preprocessing), protocol)
    _ = view.short_sides  # a scale that does not fit is said before the network is built
    return view


def load(trained: Trained, protocol: Protocol, devices: "distribution.Devices") -> "prediction.Member":
    """Builds a network with the weights of its checkpoint, in the form the protocol needs."""
    view = view_of(trained.config, protocol)
    with devices.strategy.scope():
        model = setup.build_model(trained.architecture, trained.config)
        checkpoints.restore_weights(trained.checkpoint, model)
        return prediction.Member(for_testing(model, protocol), view)


def for_testing(model: Any, protocol: Protocol) -> Any:
    """A network without what only training needs, batch norm folded away; for the dense protocol all convolutions."""
    model = batch_norm_folding.fold(graph_rewrite.main_path(model))
    return fully_convolutional.convert(model) if protocol.crops == "dense" else model


def build(trained: Trained) -> Any:
    """The main path of the network with its weights, on one device."""
    with distribution.choose("one").strategy.scope():
        model = setup.build_model(trained.architecture, trained.config)
        checkpoints.restore_weights(trained.checkpoint, model)
        return graph_rewrite.main_path(model)
