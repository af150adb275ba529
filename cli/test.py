"""`--mode test`: one run or several together, measured on a split of a data set."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cli import flags, setup
from cli import trained as trained_networks
from cli.trained import Trained
from common import distribution, machine
from common.errors import UserError
from common.evaluation import crops, error_analysis, prediction
from common.evaluation.protocol import Protocol
from common.input import datasets, read_errors
from common.nn.metrics import Metrics
from common.runs import checkpoints
from common.runs import config as runs
from common.training import log_writers

SHEET = 128  # width of a picture on the sheet of errors
SEVERAL = Path("ckpt/ensemble")  # where the results of runs go that share no directory


def run(options: flags.Options, family: str | None) -> None:
    """`--mode test`: measures a run, or several whose softmax is averaged, on a split."""
    if not options.restore:
        raise UserError("--mode=test needs --restore: a run directory, a folder that holds one, or a checkpoint")
    protocol = Protocol(options.crops, options.scales or ())
    devices = _devices(options, protocol)
    trained = trained_networks.restored(options, family)
    first = trained[0].config
    data = setup.open_data(setup.dataset_of(options, first), first.data_seed)
    trained = [dataclasses.replace(one, config=setup.named(one.config, data)) for one in trained]
    split = setup.test_split(options, data)
    _check_splits(trained, data, split)
    batch_size = trained_networks.batch_size_of(options, first)
    distribution.check_batch(batch_size, devices)
    members = [trained_networks.load(one, protocol, devices) for one in trained]
    result = prediction.predict(members, data.splits[split], devices, batch_size)
    if devices.chief:
        out = Path(options.ckpt) if options.ckpt else _directory(options.restore, trained)
        report(result, trained, members[0].view, data, split, out)


def test_run(
    model: Any,
    trained: Trained,
    devices: "distribution.Devices",
    data: "datasets.Dataset",
    options: flags.Options,
) -> None:
    """The end of a training: the network with its best weights on the test split, as `--mode test` measures it."""
    protocol, split = Protocol(), setup.test_split(options, data)
    with devices.strategy.scope():
        member = prediction.Member(
            trained_networks.for_testing(model, protocol), trained_networks.view_of(trained.config, protocol)
        )
    result = prediction.predict([member], data.splits[split], devices, trained.config.recipe.batch_size)
    if devices.chief:
        report(result, [trained], member.view, data, split, trained.run)


def _devices(options: flags.Options, protocol: Protocol) -> "distribution.Devices":
    if protocol.crops != "dense":
        return distribution.choose(options.strategy, options.virtual_devices)
    if options.strategy not in ("auto", "one"):
        raise UserError("--crops=dense runs on one device: pictures differ in shape; leave --strategy out")
    return distribution.choose("one", options.virtual_devices)


def _check_splits(trained: Sequence[Trained], data: "datasets.Dataset", split: str) -> None:
    """Raises UserError where one network may have learnt what another is tested on."""
    for one in trained[1:]:
        seeds = trained[0].config.data_seed, one.config.data_seed
        if data.splits[split].drawn and seeds[0] != seeds[1]:
            raise UserError(
                f"--restore: {trained[0].run} and {one.run} drew their {split} split by other seeds ({seeds[0]} and "
                f"{seeds[1]}), so one has learnt what the other is tested on; --ensemble trains runs that share it"
            )


def _directory(restore: str, trained: Sequence[Trained]) -> Path:
    """Where results go: the run's directory, the one above the members of an ensemble, or `SEVERAL`."""
    of_runs = {one.run for one in trained}
    if len(of_runs) == 1:
        return trained[0].run
    above = {run.parent for run in of_runs}
    return above.pop() if len(above) == 1 and (trained[0].run.parent / runs.ENSEMBLE_FILE).exists() else SEVERAL


def report(
    result: "prediction.Pass",
    trained: Sequence[Trained],
    view: "prediction.View",
    data: "datasets.Dataset",
    split: str,
    out: Path,
) -> None:
    """Prints the result, its last line the figures; writes results.json and the account of the mistakes into `out`."""
    metrics = result.together.metrics(result.seconds)
    what = view.protocol.text(view.short_sides)
    if view.protocol.mirrored and not data.info.flip:
        print(f"note: {data.info.name} is trained without mirror images, and half of these views are mirrored")
    values = {"split": split, "crops": view.protocol.crops, "scales": view.short_sides}
    if len(trained) == 1:
        values |= {"checkpoint": str(trained[0].checkpoint.folder)}
    else:
        each = [one.metrics(result.seconds) for one in result.members]
        values |= _gain(metrics, each, trained, split)
        what = f"{len(trained)} networks, {what}"
    calibration = error_analysis.calibration(result.together)
    values |= dataclasses.asdict(metrics)
    values |= {"images_per_second": result.images_per_second, "calibration_error": calibration.error}
    print(f"{what}: {result.images_per_second:.1f} images/s, calibration error {calibration.error:.4f}")
    try:
        out.mkdir(parents=True, exist_ok=True)
        checkpoints.write_json(out / runs.RESULTS_FILE, values)
        _account(result.together, trained[0], metrics, data, split, out)
    except OSError as error:
        print(metrics.line(split))
        raise UserError(
            f"{out}: the results cannot be written: {error.strerror}; name a directory with --ckpt", 1
        ) from error
    print(f"the mistakes, one by one: {out / split}")
    print(metrics.line(split))


def _gain(metrics, each: list, trained: Sequence[Trained], split: str) -> dict[str, Any]:
    """Prints every member and what averaging gained; the same for results.json."""
    for one, found in zip(trained, each, strict=True):
        print(f"{one.checkpoint.folder}: {found.line(split)}")
    gains = {}
    for name in ("top1", "top5"):
        values = [getattr(found, name) for found in each]
        together = getattr(metrics, name)
        gains |= {f"{name}_over_mean": together - float(np.mean(values)), f"{name}_over_best": together - max(values)}
    print(
        f"together: top1 {metrics.top1:.4f}, {gains['top1_over_mean']:+.4f} over the mean of the {len(each)} and "
        f"{gains['top1_over_best']:+.4f} over the best; top5 {metrics.top5:.4f}, {gains['top5_over_mean']:+.4f} and "
        f"{gains['top5_over_best']:+.4f}"
    )
    members = [
        {"checkpoint": str(one.checkpoint.folder), "top1": found.top1, "top5": found.top5, "loss": found.loss}
        for one, found in zip(trained, each, strict=True)
    ]
    return {"members": members, "gain": gains}


def _account(
    predictions: "prediction.Predictions",
    trained: Trained,
    metrics: Metrics,
    data: "datasets.Dataset",
    split: str,
    out: Path,
) -> None:
    """Writes OUT/SPLIT/ and the same pictures and figures for TensorBoard."""
    files, pictures = _look_up(data.splits[split], error_analysis.surest_errors(predictions))
    drawn = error_analysis.write(out / split, predictions, trained.config.classes, files, pictures)
    board, step = log_writers.TensorBoard(out, split), trained.checkpoint.step
    figures = {"top1": metrics.top1, "top5": metrics.top5, "loss": metrics.loss}
    board.scalars(step, figures | {"calibration_error": error_analysis.calibration(predictions).error})
    for name, picture in drawn.items():
        board.picture(f"test/{name}", picture, step)
    board.close()


def _look_up(split: "datasets.Split", places: np.ndarray) -> tuple[list[str], dict[int, np.ndarray]]:
    """The file name of every image of a split, and small pictures (SHEET, SHEET, 3) uint8 of those at some places."""
    import tensorflow as tf

    from common.input import images

    wanted = tf.constant(places, tf.int64)

    @tf.autograph.experimental.do_not_convert
    def read(place, element):
        encoded, _, name = split.parse(element)
        return name, tf.where(tf.reduce_any(wanted == place), encoded, b"")

    @tf.function(input_signature=[tf.TensorSpec([], tf.string)], autograph=False)
    def show(encoded):
        return crops.views(images.decode(encoded), Protocol(), SHEET, (SHEET,))[0]

    names, found = [], {}
    with read_errors.named(split):
        read_all = machine.parallel_map(split.serialized(None).enumerate(), read)
        for place, (name, encoded) in enumerate(read_all.prefetch(64).as_numpy_iterator()):
            names.append(name.decode("utf-8", "surrogateescape"))
            if encoded:
                found[place] = np.rint(show(tf.constant(encoded)).numpy()).astype(np.uint8)
    return names, found
