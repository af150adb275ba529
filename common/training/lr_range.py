"""The learning-rate range test: one short training at a rising rate, and what its losses say about a good one.

L. N. Smith, "Cyclical Learning Rates for Training Neural Networks", https://arxiv.org/abs/1506.01186, section 3.3. The
rate rises exponentially here, so that each decade has as many steps as any other; in the paper it rises linearly.

lr_range_test.csv   a row for each step: learning rate, loss of its batch without weight decay, smoothed loss
lr_range_test.png   both losses over the rate, and the rates that `Advice` has
"""

import csv
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from common import distribution
from common.input import read_errors
from common.training.run_state import SUMS, Job
from common.training.train_step import make_train_step

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LOWEST, HIGHEST = 1e-5, 10.0
LEAST_STEPS = 20
WORSE = 4.0  # the sweep ends where the loss is so many times its lowest
FALL = 0.01  # the share by which a loss must fall for a suggestion
NAME = "lr_range_test"
_BLUE, _GREY, _ORANGE = "#0072B2", "#8a8a8a", "#D55E00"


@dataclass(frozen=True)
class Advice:
    """What a sweep says.

    Attributes:
        lowest, loss: the rate at which the smoothed loss was lowest, and that loss.
        steepest: the rate at which it fell fastest.
        suggested: a tenth of `lowest`, to two digits.
    """

    lowest: float
    loss: float
    steepest: float
    suggested: float


def rates(steps: int) -> np.ndarray:
    """(steps,) float64: learning rates from LOWEST to HIGHEST, each the same multiple of the one before it."""
    return np.geomspace(LOWEST, HIGHEST, steps)


def half_width(steps: int) -> int:
    """How many steps on either side a smoothed loss takes in, a fortieth of the sweep."""
    return max(1, steps // 40)


def smoothed(losses: Sequence[float], half: int) -> np.ndarray:
    """The mean of each loss and of those at most `half` steps away from it, (N,) float64."""
    sums = np.concatenate([[0.0], np.cumsum(np.asarray(losses, np.float64))])
    places = np.arange(len(losses))
    first, last = np.maximum(places - half, 0), np.minimum(places + half + 1, len(losses))
    return (sums[last] - sums[first]) / (last - first)


def is_over(losses: Sequence[float], half: int) -> bool:
    """Whether the last loss is not finite, or the mean of the last 2 half + 1 is WORSE times the lowest such mean."""
    if not np.isfinite(losses[-1]):
        return True
    width = 2 * half + 1
    if len(losses) <= width:
        return False
    means = np.convolve(losses, np.full(width, 1 / width), "valid")
    return bool(means[-1] > WORSE * means.min())


def sweep(job: Job, steps: int, tell: Callable[[int, float, float], None]) -> list[float]:
    """Trains with the job's data, network and optimizer at the rates of `rates(steps)`; its own schedule is left out.

    Args:
        job: new; its weights are trained.
        steps: of the whole sweep, at least LEAST_STEPS.
        tell: called after each step with its number from 1, its rate and its loss.

    Returns:
        The finite losses of the batches, without weight decay: `steps` of them, or fewer where the sweep ended early.
    """
    step = make_train_step(job)
    with read_errors.named(job.splits["train"]):  # balanced sampling reads all labels here
        batches = iter(distribution.distribute(job.training(0), job.devices))
    losses: list[float] = []
    for rate in rates(steps):
        job.optimizer.learning_rate.assign(rate)
        with read_errors.named(job.splits["train"]):
            images, labels = next(batches)
        losses.append(float(step(images, labels).numpy()[SUMS.index("data_loss")]))
        tell(len(losses), float(rate), losses[-1])
        if is_over(losses, half_width(steps)):
            break
    return losses if np.isfinite(losses[-1]) else losses[:-1]


def advise(losses: Sequence[float], steps: int) -> Advice | None:
    """What the losses of a sweep of `steps` say; None where they did not fall by a share of FALL.

    The steepest descent is that of the smoothed loss over the logarithm of the rate, from one width of the smoothing
    before a rate to one after it, so that no batch counts on both sides; not at the first rates, which lack the former.
    """
    if len(losses) < 2:
        return None
    half, at = half_width(steps), rates(steps)
    smooth, places = smoothed(losses, half), np.arange(len(losses))
    lowest = int(np.argmin(smooth))
    if smooth[lowest] > (1 - FALL) * smooth[0]:
        return None
    width = 2 * half + 1
    before, after = np.maximum(places - width, 0), np.minimum(places + width, len(losses) - 1)
    slopes = (smooth[after] - smooth[before]) / (after - before)  # per step: the steps are even in log(rate)
    first = min(width, lowest)
    steepest = first + int(np.argmin(slopes[first : lowest + 1]))
    rate = float(at[lowest])
    return Advice(rate, float(smooth[lowest]), float(at[steepest]), float(f"{rate / 10:.2g}"))


def write(folder: Path, losses: Sequence[float], steps: int, advice: Advice | None) -> None:
    """Writes the table and the picture into an existing folder."""
    at, smooth = rates(steps)[: len(losses)], smoothed(losses, half_width(steps))
    with open(folder / f"{NAME}.csv", "w", newline="", encoding="utf-8") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["step", "learning_rate", "data_loss", "smoothed_loss"])
        table.writerows(zip(range(1, len(losses) + 1), at.tolist(), losses, smooth.tolist(), strict=True))
    _draw(at, np.asarray(losses), smooth, advice).savefig(folder / f"{NAME}.png", dpi=100)


def _draw(at: np.ndarray, losses: np.ndarray, smooth: np.ndarray, advice: Advice | None) -> "Figure":
    from matplotlib.figure import Figure  # most trainings draw nothing

    figure = Figure(figsize=(7.0, 4.4), layout="constrained")
    axes = figure.add_subplot()
    axes.plot(at, losses, color=_GREY, linewidth=0.8, label="a batch")
    axes.plot(at, smooth, color=_BLUE, linewidth=2, label="smoothed")
    low, start = float(smooth.min(initial=np.inf)), float(smooth[: len(smooth) // 4 + 1].max(initial=0.0))
    if advice is not None:
        axes.plot(advice.lowest, advice.loss, "o", color=_BLUE, label=f"lowest, at {advice.lowest:.2g}")
        axes.axvline(advice.steepest, color=_GREY, linestyle=":", label=f"falls fastest, at {advice.steepest:.2g}")
        axes.axvline(advice.suggested, color=_ORANGE, linestyle="--", label=f"suggested, {advice.suggested:g}")
    if len(losses):
        span = max(start - low, 0.05 * start)
        axes.set_ylim(max(0.0, low - 0.2 * span), start + span)
    axes.set(xscale="log", xlim=(LOWEST, HIGHEST), xlabel="learning rate", ylabel="loss, without weight decay")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    return figure
