"""One picture that tells a run: its training curve, its first filters, and what it predicts for test images.

    python benchmarks/overview.py --run ckpt/alexnet --out docs/images/overview.png

Needs a finished run that was tested: metrics.csv, the checkpoints, and test/predictions.csv of the run directory.
"""

import argparse
import csv
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from common.training import metrics_file

SHOWN = 8  # predictions


def curves(run: Path) -> dict[str, list[tuple[int, float]]]:
    """(step, top-1) of training, over log intervals, and of validation, in metrics.csv."""
    rows = metrics_file.read(run / metrics_file.METRICS_FILE)
    return {
        split: [(row["step"], row["top1"]) for row in rows if row["split"] == split]
        for split in ("train", "validation")
    }


def first_filters(run: Path) -> np.ndarray:
    """The first convolution's filters of the best checkpoint, as a sheet of uint8."""
    from common.report import filters
    from common.runs import checkpoints
    from common.training import log_writers

    kernel = filters.first(checkpoints.best(run))
    assert kernel is not None, "its first convolution sees three colours"
    return log_writers.filter_sheet(kernel)


def predictions(run: Path) -> list[tuple[np.ndarray, str, str, float]]:
    """(picture, predicted, true label, probability) of test images: the first of each class in turn."""
    from cli import setup
    from common.input import images
    from common.runs import config as runs

    config = runs.read(run)
    split = setup.open_data(config.dataset, config.data_seed).splits["test"]
    with open(run / "test" / "predictions.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    found, seen = [], set()
    for row, element in zip(rows, split.serialized(None), strict=False):
        if row["label"] not in seen and len(found) < SHOWN:
            seen.add(row["label"])
            picture = images.decode(split.parse(element)[0]).numpy()
            found.append((picture, row["predicted"], row["label"], float(row["probability"])))
    return found


def draw(run: Path, out: Path) -> None:
    """Writes the picture, a PNG of 1,080 by 360 pixels."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure = plt.figure(figsize=(12, 4), dpi=90, layout="constrained")
    left, middle, right = figure.subfigures(1, 3, width_ratios=(4, 3, 5))
    axes = left.subplots()
    for split, points in curves(run).items():
        axes.plot(*zip(*points, strict=True), label=split, marker="o" if split != "train" else None, markersize=3)
    axes.set(title="top-1 during training", xlabel="step", ylim=(0, 1.02))
    axes.legend(frameon=False)
    axes = middle.subplots()
    axes.imshow(first_filters(run))
    axes.set(title="filters of the first convolution")
    axes.axis("off")
    for axes, (picture, predicted, label, probability) in zip(
        right.subplots(2, 4).flat, predictions(run), strict=False
    ):
        axes.imshow(picture)
        axes.set_title(f"{predicted} {probability:.0%}", color="green" if predicted == label else "red")
        axes.axis("off")
    out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out)


def main() -> None:
    """Parses the arguments and draws."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, required=True, help="a run directory")
    parser.add_argument("--out", type=Path, required=True, help="the PNG to write")
    options = parser.parse_args()
    draw(options.run, options.out)


if __name__ == "__main__":
    main()
