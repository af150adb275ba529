"""What a run directory says of its run, read back for people: configuration, curves, results, speed."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common.errors import UserError
from common.runs import checkpoints
from common.runs import config as runs
from common.runs.files import read_json
from common.training import log_writers, metrics_file


@dataclass(frozen=True)
class Record:
    """A run directory's files.

    Attributes:
        run: the directory.
        config: the values of config.json; empty where there is none, as in the directory of an ensemble.
        rows: of metrics.csv, numbers as numbers; empty where nothing was trained here.
        results: the values of every results file by its name: "" for the plain test, else NAME of results-NAME.json;
            the plain test first.
        speed: (step, images per second, share of time spent waiting for data) of every log interval.
    """

    run: Path
    config: Mapping[str, Any]
    rows: tuple[dict[str, Any], ...]
    results: Mapping[str, dict[str, Any]]
    speed: tuple[tuple[int, float, float], ...] = ()

    @property
    def best(self) -> dict[str, Any] | None:
        """The validation with the highest top-1, of equals the lowest loss; None without one."""
        validations = [row for row in self.rows if row["split"] == "validation"]
        return max(validations, key=lambda row: (row["top1"], -row["loss"]), default=None)


def read(run: Path) -> Record:
    """Reads a run directory. A results file that is damaged is left out; so is what is not there."""
    run = Path(run)
    config_file = run / checkpoints.CONFIG_FILE
    config = read_json(config_file) if config_file.exists() else {}
    return Record(run, config, metrics_file.read(run / metrics_file.METRICS_FILE), results(run), speed(run))


def results(run: Path) -> dict[str, dict[str, Any]]:
    """The values of all results files of a directory, by name."""
    plain = Path(runs.RESULTS_FILE)
    found = {}
    for path in sorted(run.glob(f"{plain.stem}*{plain.suffix}"), key=lambda path: (len(path.stem), path.stem)):
        name = path.stem.removeprefix(plain.stem)
        if name and not name.startswith("-"):
            continue
        try:
            values = read_json(path)
        except UserError:
            continue
        if isinstance(values, dict):
            found[name[1:]] = values
    return found


def speed(run: Path) -> tuple[tuple[int, float, float], ...]:
    """What TensorBoard's events of the training say of its speed."""
    import tensorflow as tf

    points: dict[str, dict[int, float]] = {"images_per_second": {}, "data_wait_share": {}}
    for path in sorted((run / log_writers.EVENTS_FOLDER / "train").glob("events.*")):
        try:
            for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator():
                if not any(tag.encode() in record for tag in points):  # quicker than to parse it
                    continue
                event = tf.compat.v1.Event.FromString(record)
                for value in event.summary.value:
                    if value.tag in points:
                        points[value.tag][event.step] = float(tf.make_ndarray(value.tensor))
        except tf.errors.DataLossError:  # the end that was being written when the process was killed
            continue
    fast, waited = points.values()
    return tuple((step, fast[step], waited[step]) for step in sorted(fast.keys() & waited.keys()))
