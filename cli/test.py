"""`--mode test`: one run or several together, measured on a split of a data set.

Results lie in the run's directory, or in that of the ensemble, or in ckpt/ensemble/NAMES for other runs together. The
plain test (one central crop, the run's own data set and best checkpoint) writes results.json and test/; every other one
results-NAME.json and test-NAME/, where NAME says what is different about it: `results-validation-10crops.json`.
"""

import dataclasses
import hashlib
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cli import flags, run_report, setup, thumbnails
from cli import trained as trained_networks
from cli.trained import Trained
from common import distribution
from common.errors import UserError
from common.evaluation import error_analysis, prediction
from common.evaluation.protocol import Protocol
from common.input import bad_images, datasets
from common.nn.metrics import Metrics
from common.report import analysis
from common.runs import config as runs
from common.runs.files import write_json
from common.training import log_writers

SEVERAL = Path("ckpt/ensemble")  # where the results of runs go that share no directory
LONGEST = 60  # characters of a list of names that becomes a part of a file name


@dataclass(frozen=True)
class Test:
    """What is tested.

    Attributes:
        trained: the networks.
        view: how the first of them looks at a picture.
        data: the data set.
        split: which of its splits.
        out: the directory for the results.
        name: of the results; "" for the plain test.
        page: whether report.html is written.
    """

    trained: tuple[Trained, ...]
    view: "prediction.View"
    data: "datasets.Dataset"
    split: str
    out: Path
    name: str
    page: bool = True

    @property
    def classes(self) -> tuple[str, ...]:
        """Names by label, for people."""
        return self.trained[0].config.names

    @property
    def results(self) -> Path:
        """The file with the figures."""
        plain = Path(runs.RESULTS_FILE)
        return self.out / (f"{plain.stem}-{self.name}{plain.suffix}" if self.name else plain)

    @property
    def folder(self) -> Path:
        """The folder with the error analysis."""
        return self.out / (f"test-{self.name}" if self.name else "test")

    @property
    def subject(self) -> str:
        """Networks, checkpoint and data set in words."""
        one = self.trained[0]
        what = f"{one.run} ({one.config.arch}), {one.checkpoint.folder.name}"
        if len(self.trained) > 1:
            what = f"{len(self.trained)} networks"
        return f"{what}, on the {self.split} split of {self.data.info.name} ({self.data.path})"


def run(options: flags.Options, family: str | None) -> None:
    """`--mode test`: measures a run, or several whose softmax is averaged, on a split."""
    if not options.restore:
        raise UserError("--mode=test needs --restore: a run directory, a folder that holds one, or a checkpoint")
    protocol = Protocol(options.crops, options.scales or ())
    devices = _devices(options, protocol)
    trained = trained_networks.restored(options, family)
    first = trained[0].config
    data = setup.open_runs_data(options, first)
    trained = [dataclasses.replace(one, config=setup.named(one.config, data)) for one in trained]
    test = describe(options, trained, protocol, data)
    _check_splits(test)
    batch_size = trained_networks.batch_size_of(options, first)
    distribution.check_batch(batch_size, devices)
    members = [trained_networks.load(one, protocol, devices) for one in trained]
    bad = setup.bad_images_of(options, data)
    result = prediction.predict(members, data.splits[test.split], devices, batch_size, **shown_as(options, bad))
    setup.tell(bad)
    if devices.chief:
        report(result, test)


def test_run(
    model: Any,
    trained: Trained,
    devices: "distribution.Devices",
    data: "datasets.Dataset",
    options: flags.Options,
    bad: "bad_images.BadImages | None",
) -> None:
    """The end of a training: the network with its best weights on the test split, as `--mode test` measures it.

    `bad` has taken down the images that cannot be decoded, and goes on; without it they are an error.
    """
    test = Test((trained,), trained_networks.view_of(trained.config, Protocol()), data, "test", trained.run, "")
    test = dataclasses.replace(test, split=setup.test_split(options, data), page=options.report)
    with devices.strategy.scope():
        member = prediction.Member(trained_networks.for_testing(model, test.view.protocol), test.view)
    batch_size = trained.config.recipe.batch_size
    result = prediction.predict([member], data.splits[test.split], devices, batch_size, **shown_as(options, bad))
    setup.tell(bad)
    if devices.chief:
        report(result, test)


def shown_as(options: flags.Options, bad: "bad_images.BadImages | None") -> dict[str, Any]:
    """What the command line says of the pictures' way to the device, and of those that cannot be decoded."""
    return {"skip_bad_images": bad, "as_bytes": distribution.normalises(options.device_normalise)}


def _devices(options: flags.Options, protocol: Protocol) -> "distribution.Devices":
    if protocol.crops != "dense":
        return distribution.choose(options.strategy, options.virtual_devices, False, options.communication)
    if options.strategy not in ("auto", "one"):
        raise UserError("--crops=dense runs on one device: pictures differ in shape; leave --strategy out")
    return distribution.choose("one", options.virtual_devices)


def describe(options: flags.Options, trained: Sequence[Trained], protocol: Protocol, data: "datasets.Dataset") -> Test:
    """The test that a command line asks for, with a name that tells it from others of the same networks.

    The name has a part for each of these: a data set that is not the run's, a split that is not the default, a
    precision that was asked for, a protocol, checkpoints that were named.
    """
    first, split = trained[0].config, setup.test_split(options, data)
    parts = []
    if not setup.same_dataset(first.dataset, setup.dataset_name(setup.dataset_of(options, first))):
        parts.append(re.sub(r"[^\w.-]+", "_", data.info.name))
    if split != ("test" if "test" in data.splits else "validation"):
        parts.append(split)
    if "precision" in options.given:
        parts.append(first.precision)
    view = trained_networks.view_of(first, protocol)
    parts.append(protocol.name(view.preprocessing.image_size, view.preprocessing.resize))
    if len({one.run for one in trained}) == 1 and (options.snapshots or trained[0].exact):
        steps = [one.checkpoint.folder.name for one in trained]
        parts.append(f"snapshots-{options.snapshots.replace(':', '-')}" if options.snapshots else joined(steps))
    out = Path(options.ckpt) if options.ckpt else _directory(trained)
    return Test(tuple(trained), view, data, split, out, "-".join(filter(None, parts)), options.report)


def joined(names: Iterable[str]) -> str:
    """Names as a part of a file name; what is too long ends in a digest of all of them."""
    text = "+".join(names)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}-{_digest(text)}"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:8]


def _directory(trained: Sequence[Trained]) -> Path:
    """Where results go: the run's directory, the one above all members of an ensemble, or one below `SEVERAL`."""
    of_runs = sorted({one.run for one in trained})
    parent = of_runs[0].parent
    if len(of_runs) == 1:
        return of_runs[0]
    named = runs.members(parent) if (parent / runs.ENSEMBLE_FILE).exists() else []
    if not any(one.exact for one in trained) and of_runs == sorted(parent / name for name in named):
        return parent
    chosen = [one.checkpoint.folder if one.exact else one.run for one in trained]
    places = "+".join(sorted(os.path.abspath(path) for path in chosen))
    return SEVERAL / f"{'+'.join(run.name for run in of_runs)[:LONGEST]}-{_digest(places)}"


def _check_splits(test: Test) -> None:
    """Raises UserError where one network may have learnt what another is tested on."""
    first = test.trained[0]
    for one in test.trained[1:]:
        seeds = first.config.data_seed, one.config.data_seed
        if test.data.splits[test.split].drawn and seeds[0] != seeds[1]:
            raise UserError(
                f"--restore: {first.run} and {one.run} drew their {test.split} split by other seeds ({seeds[0]} and "
                f"{seeds[1]}), so one has learnt what the other is tested on; --ensemble trains runs that share it"
            )
        shares = first.config.validation_share, one.config.validation_share
        if test.split == "validation" and shares[0] != shares[1]:
            raise UserError(
                f"--restore: {first.run} and {one.run} held out other validation images (--validation_share "
                f"{shares[0]} and {shares[1]}), so one has learnt what the other is tested on; test on the test split"
            )


def report(result: "prediction.Pass", test: Test) -> None:
    """Prints the result, its last line the figures; writes them and the error analysis into the test's directory."""
    metrics, classes, view = result.together.metrics(result.seconds), len(test.classes), test.view
    calibration = error_analysis.calibration(result.together)
    print(test.subject)
    if view.protocol.mirrored and not test.data.info.flip:
        print(f"note: {test.data.info.name} is trained without mirror images, and half of these views are mirrored")
    values: dict[str, Any] = {
        "split": test.split,
        "crops": view.protocol.crops,
        "scales": view.short_sides,
        "dataset": test.data.path,
    }
    if len(test.trained) == 1:
        values |= {"checkpoint": str(test.trained[0].checkpoint.folder)}
    else:
        values |= _gain(metrics, result, test)
    values |= metrics.figures(classes) | {"images": metrics.images, "seconds": metrics.seconds}
    values |= {"images_per_second": result.images_per_second, "calibration_error": calibration.error}
    print(
        f"{view.protocol.text(view.short_sides)}: {result.images_per_second:.1f} images/s, "
        f"calibration error {calibration.error:.4f}"
    )
    try:
        test.out.mkdir(parents=True, exist_ok=True)
        write_json(test.results, values)
        _analyse_errors(result, metrics, test)
    except OSError as error:
        print(metrics.line(test.split, classes))
        raise UserError(
            f"{test.out}: the results cannot be written: {error.strerror}; name a directory with --ckpt", 1
        ) from error
    print(f"figures in {test.results}, error analysis in {test.folder}")
    print(metrics.line(test.split, classes))


def _gain(metrics: Metrics, result: "prediction.Pass", test: Test) -> dict[str, Any]:
    """Prints every member and what averaging gained; the same for results.json."""
    classes, each = len(test.classes), [one.metrics(result.seconds) for one in result.members]
    for one, found in zip(test.trained, each, strict=True):
        print(f"{one.checkpoint.folder}: {found.line(test.split, classes)}")
    gains: dict[str, float] = {}
    texts = []
    for name in (name for name in metrics.shown(classes) if name != "loss"):
        values, together = [getattr(found, name) for found in each], getattr(metrics, name)
        over_mean, over_best = together - float(np.mean(values)), together - max(values)
        gains |= {f"{name}_over_mean": over_mean, f"{name}_over_best": over_best}
        over = f"{over_mean:+.4f} over the mean of the {len(each)} and {over_best:+.4f} over the best"
        texts.append(f"{name} {together:.4f}, {over}")
    print(f"together: {'; '.join(texts)}")
    members = [
        {"checkpoint": str(one.checkpoint.folder)} | found.figures(classes)
        for one, found in zip(test.trained, each, strict=True)
    ]
    return {"members": members, "gain": gains}


def _analyse_errors(result: "prediction.Pass", metrics: Metrics, test: Test) -> None:
    """Writes the error analysis, the same pictures and figures for TensorBoard, and the run's page."""
    predictions = result.together
    wanted = error_analysis.most_confident_errors(predictions)
    if test.page:
        wanted = np.union1d(wanted, analysis.places(predictions, len(test.classes)))
    files, pictures = thumbnails.look_up(test.data.splits[test.split], result.places, wanted)
    synsets = test.trained[0].config.synsets
    drawn = error_analysis.write(test.folder, predictions, test.classes, files, pictures, synsets)
    board, step = log_writers.TensorBoard(test.out, test.folder.name), test.trained[0].checkpoint.step
    figures = metrics.figures(len(test.classes))
    board.scalars(step, figures | {"calibration_error": error_analysis.calibration(predictions).error})
    for name, picture in drawn.items():
        board.picture(f"test/{name}", picture, step)
    board.close()
    if test.page:
        run_report.write(
            test.out, test.trained, analysis.analyse(predictions, test.classes, files, pictures), test.name
        )
