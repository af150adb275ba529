"""What `--restore` names, as trained networks: found once, with their configuration; loaded when they are used."""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

from cli import flags, import_weights, registry, setup
from common import distribution
from common.architecture import Architecture
from common.errors import UserError
from common.evaluation import prediction
from common.evaluation.protocol import Protocol
from common.input import datasets, pipeline
from common.nn import batch_norm_folding, fully_convolutional, graph_rewrite
from common.runs import checkpoints
from common.runs import config as runs
from common.training import finetuning


@dataclass(frozen=True)
class Trained:
    """One trained network.

    Attributes:
        run: its run directory.
        config: the run's configuration.
        architecture: the network.
        find: gives the checkpoint to load; imported weights are written as one at the first call.
        exact: the command line names the checkpoint, not only the run.
        part: flags leave out some of the layers that the checkpoint has.
    """

    run: Path
    config: "runs.RunConfig"
    architecture: Architecture
    find: "Callable[[], checkpoints.Checkpoint]"
    exact: bool = False
    part: bool = False

    @property
    def checkpoint(self) -> "checkpoints.Checkpoint":
        """The checkpoint to load."""
        return self.find()


def _parts(restore: str) -> list[str]:
    """The runs, checkpoints and files that `--restore` names, an ensemble's runs one by one."""
    parts = [restore] if Path(restore).exists() else [part for part in restore.split(",") if part]
    return [run for part in parts for run in runs.ensemble(part)]


def _find(path: str, options: flags.Options, family: str | None, members: tuple[Architecture, ...]) -> Trained:
    """What one part of `--restore` names: among several runs in a folder that of `--arch`, else the one of `members`.

    Raises UserError where it is no trained network.
    """
    arch = options.arch or family
    if import_weights.is_foreign(path):
        imported = import_weights.read(path, arch)
        find = cache(lambda: checkpoints.open_checkpoint(checkpoints.folder_at(imported.run(), 0)))
        return Trained(imported.folder, imported.config, registry.find(imported.config.arch), find)
    run, folder = runs.find(path, arch, tuple(member.name for member in members))
    checkpoint = checkpoints.open_checkpoint(folder) if folder else checkpoints.best(run)
    if checkpoint is None:
        raise UserError(f"--restore={path}: {run} holds no checkpoint yet; let it train for an epoch first")
    config = runs.read(run)
    return Trained(run, config, registry.find(config.arch), lambda: checkpoint, exact=folder is not None)


def restored(options: flags.Options, family: str | None) -> list[Trained]:
    """All that `--restore` and `--snapshots` name. Raises UserError where that is not one or more trained networks."""
    members = registry.FAMILIES[family] if family else tuple(registry.ARCHITECTURES.values())
    found: list[Trained] = []
    for path in _parts(options.restore):
        one = _find(path, options, family, members)
        architecture = setup.choose_architecture(options, family, one.config.arch)
        if architecture.name != one.config.arch:
            raise UserError(f"--arch={architecture.name}, but {one.run} holds {one.config.arch}")
        if "precision" in options.given:
            precision = distribution.resolve_precision(options.precision)
            one = dataclasses.replace(one, config=dataclasses.replace(one.config, precision=precision))
        one = _part(one, options)
        found += _snapshots(one, options.snapshots) if options.snapshots else [one]
    for one in found:
        if len(one.config.classes) != len(found[0].config.classes) or (
            one.config.classes != found[0].config.classes and not (one.config.imported or found[0].config.imported)
        ):
            raise UserError(f"--restore: {one.run} was trained on other classes than {found[0].run}")
    return found


def _part(trained: Trained, options: flags.Options) -> Trained:
    """The network with those of its layers that flags leave of it (`Option.testing`).

    Raises UserError for an option the network does not have.
    """
    setup.build_options(options, trained.architecture)
    chosen = {one.name for one in trained.architecture.own_options if one.testing} & options.given
    kept = trained.config.options | {name: options.values[name] for name in chosen}
    config = dataclasses.replace(trained.config, options=kept)
    return dataclasses.replace(trained, config=config, part=kept != trained.config.options)


def _snapshots(trained: Trained, wanted: str) -> list[Trained]:
    """The snapshots of a run that `--snapshots` names, `all` or `last:N`, oldest first."""
    run, kept = trained.run, checkpoints.snapshots(trained.run)
    if not kept:
        raise UserError(f"--snapshots: {run} holds none; train with --schedule sgdr --snapshots")
    count = wanted.removeprefix("last:") if wanted != "all" else str(len(kept))
    if count == wanted or not count.isdecimal() or not int(count):
        raise UserError(f"--snapshots={wanted}: give all, or last:N with a whole number, e.g. last:5")
    if int(count) > len(kept):
        raise UserError(f"--snapshots={wanted}: {run} holds only {len(kept)}")
    opened = [checkpoints.open_checkpoint(folder) for folder in kept[-int(count) :]]
    return [dataclasses.replace(trained, find=partial(_itself, one), exact=True) for one in opened]


def _itself(checkpoint: "checkpoints.Checkpoint") -> "checkpoints.Checkpoint":
    return checkpoint


def one(options: flags.Options, family: str | None) -> Trained:
    """The one network that `--restore` names. Raises UserError for none or several."""
    if not options.restore:
        raise UserError(f"--mode={options.mode} needs --restore: a run directory, a checkpoint, or a weight file")
    trained = restored(options, family)
    if len(trained) > 1:
        raise UserError(f"--restore={options.restore}: {len(trained)} networks; name one for --mode={options.mode}")
    return trained[0]


def start(options: flags.Options, family: str | None) -> Trained | None:
    """`--mode train --restore`: the network, of any family, whose weights training starts from; None without it."""
    if not options.restore:
        return None
    parts = _parts(options.restore)
    if len(parts) > 1:
        raise UserError(f"--restore={options.restore}: {len(parts)} networks; training starts from one")
    return _find(parts[0], options, family, tuple(registry.ARCHITECTURES.values()))


def check_fit(source: Trained, architecture: Architecture) -> None:
    """Raises UserError where a network cannot start from the weights of another."""
    if source.architecture.name != architecture.name and not architecture.inherits:
        name = source.architecture.name
        raise UserError(
            f"--restore: {source.run} holds {name}, which {architecture.name} cannot start from; "
            f"leave --arch out to train {name}"
        )


def transfer(source: Trained, architecture: Architecture, model: Any, classes: tuple[str, ...]) -> str:
    """Takes over what a test of the source uses, layer by layer; returns a line on which layers start afresh.

    Of the same network every layer whose shapes agree is taken; of another one, the layers this network inherits. The
    classifiers start afresh where the source's classes are not `classes`, even if they are as many. Imported weights do
    not name theirs: their classifier is taken where its shape agrees, as in a test.

    Raises:
        UserError: nothing fits.
    """
    same = source.architecture.name == architecture.name
    checkpoint, unnamed = source.checkpoint, bool(source.config.imported)
    heads = {layer.name for layer in finetuning.classifiers(model)}
    layers = {layer.name for layer in model.layers} if same else set(architecture.inherits)
    others = not unnamed and source.config.classes != classes
    taken, left = checkpoints.transfer(checkpoint, model.variables, layers - heads if others else layers)
    if not taken:
        raise UserError(
            f"--restore={checkpoint.folder}: no layer of {source.architecture.name} fits {architecture.name}"
        )
    said = f"starting from {checkpoint.folder}: {len(taken)} variables taken; new layers: {', '.join(left) or 'none'}"
    if others:
        return f"{said}; the classifier is new, as the classes are others"
    if unnamed and heads & {path.split("/")[0] for path in taken}:
        return f"{said}; the classifier is taken for the data set's: imported weights do not name their classes"
    return said


def with_data(options: flags.Options, trained: Trained) -> tuple["datasets.Dataset", Trained]:
    """The data set to use, and the network with its class names."""
    data = setup.open_runs_data(options, trained.config)
    return data, dataclasses.replace(trained, config=setup.named(trained.config, data))


def batch_size_of(options: flags.Options, config: "runs.RunConfig") -> int:
    """Crops at a time: `--batch_size`, else that of the training. Raises UserError where it is less than 1."""
    if "batch_size" not in options.given:
        return config.recipe.batch_size
    return dataclasses.replace(config.recipe, batch_size=options.batch_size).batch_size


def view_of(config: "runs.RunConfig", protocol: Protocol) -> "prediction.View":
    """How a protocol looks at the pictures of a run. Raises UserError where a scale does not fit."""
    view = prediction.View(pipeline.Preprocessing(**config.preprocessing), protocol)
    _ = view.short_sides  # refuses a scale that does not fit, before the network is built
    return view


def load(trained: Trained, protocol: Protocol, devices: "distribution.Devices") -> "prediction.Member":
    """Builds a network with the weights of its checkpoint, in the form the protocol needs."""
    view = view_of(trained.config, protocol)
    with devices.strategy.scope():
        model = setup.build_model(trained.architecture, trained.config)
        checkpoints.restore_weights(trained.checkpoint, model, part=trained.part)
        return prediction.Member(for_testing(model, protocol), view)


def for_testing(model: Any, protocol: Protocol) -> Any:
    """A network without what only training needs, batch norm folded away; for the dense protocol all convolutions."""
    model = batch_norm_folding.fold(graph_rewrite.main_path(model))
    return fully_convolutional.convert(model) if protocol.crops == "dense" else model


def build(trained: Trained) -> Any:
    """The main path of the network with its weights, on one device."""
    with distribution.choose("one").strategy.scope():
        model = setup.build_model(trained.architecture, trained.config)
        checkpoints.restore_weights(trained.checkpoint, model, part=trained.part)
        return graph_rewrite.main_path(model)
