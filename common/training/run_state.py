"""`Job`, what stays the same through a training run, and `State`, what moves."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from common.recipe import Recipe

if TYPE_CHECKING:
    import numpy as np
    import tensorflow as tf

    from common.distribution import Devices
    from common.input.splits import Split

SUMS = ("data_loss", "l2_loss", "loss", "top1", "top5")  # what a step returns, in this order


def as_they_are(images: Any) -> Any:
    """Images that the pipeline has normalised."""
    return images


@dataclass(frozen=True)
class Job:
    """Everything that stays the same through a run.

    Attributes:
        run: the run directory.
        model, optimizer: built inside the strategy's scope; the optimizer's variables exist already.
        average: the moving average of the weights that is evaluated in their place, or None.
        schedule: of the learning rate (`common.training.schedules`).
        recipe: resolved, `epochs` is a number.
        auxiliary_weight: weight of the loss of every auxiliary classifier.
        devices: where to compute.
        length: steps in the whole run, where it is not that of the recipe's epochs.
        splits: of the data set, by name, to name the file behind a reading error.
        training: start step -> endless data set of this worker's batches.
        validation: () -> one pass over the validation split; None: there is no validation.
        steps_per_epoch: full global batches in an epoch.
        identity: what a checkpoint of this run must agree with (arch, classes ...).
        loss_scale: `loss_scaling.LossScale` of a run in float16, else None.
        class_weights: (classes,) float32, what each class's losses are multiplied by in training; None: nothing.
        mean: the picture or channel mean that was subtracted, to show inputs as they looked.
        std, channels: of `pipeline.Preprocessing`, for the same.
        log_every: steps between two log rows.
        save_every: steps between checkpoints beside those at each epoch's end; 0: none.
        keep: how many of the newest checkpoints stay, beside the best.
        snapshots: keep a checkpoint at the end of each of the schedule's cycles.
        finish: images as `training` and `validation` hand them over -> as the network takes them, in the step
            (`device_part.finisher`).
        jit: compile the steps with XLA.
        profile: first and last step to profile, or None.
        log_gradients: write norms of gradients and updates for TensorBoard at every log interval's last step.
        histograms: write histograms of the weights for TensorBoard at every validation.
        resume_command: how to go on, printed when the run is interrupted.
    """

    run: Path
    model: Any
    optimizer: Any
    average: Any
    schedule: Any
    recipe: Recipe
    auxiliary_weight: float
    devices: "Devices"
    splits: "dict[str, Split]"
    training: Callable[[int], "tf.data.Dataset"]
    validation: Callable[[], "tf.data.Dataset"] | None
    steps_per_epoch: int
    identity: dict
    mean: "np.ndarray"
    length: int | None = None
    loss_scale: Any = None
    class_weights: "np.ndarray | None" = None
    log_every: int = 10
    save_every: int = 0
    keep: int = 1
    snapshots: bool = False
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)
    channels: str = "rgb"
    finish: Callable[[Any], "tf.Tensor"] = as_they_are
    jit: bool = False
    profile: tuple[int, int] | None = None
    log_gradients: bool = False
    histograms: bool = False
    resume_command: str = ""

    @property
    def total_steps(self) -> int:
        """Steps in the whole run, if the schedule does not end it sooner."""
        if self.length is not None:
            return self.length
        assert self.recipe.epochs is not None  # resolved
        return self.steps_per_epoch * self.recipe.epochs

    @property
    def epochs(self) -> int:
        """Epochs in the whole run, the last of which may be cut short."""
        return -(-self.total_steps // self.steps_per_epoch)

    def interval_ends(self, step: int) -> bool:
        """Whether `step` steps end a log interval."""
        return step % self.log_every == 0 or self.epoch_ends(step)

    def epoch_ends(self, step: int) -> bool:
        """Whether `step` steps end an epoch, or the run in the midst of one."""
        return step % self.steps_per_epoch == 0 or step == self.total_steps


@dataclass
class State:
    """Everything that moves, beside the variables: saved with every checkpoint, so a resumed run has it all.

    Attributes:
        step: steps taken.
        best_step, best_top1, best_loss: the validation that counts as the best so far; None before the first.
        improved_step: the validation in which top-1 last rose; among equals the best has the lowest loss.
        validation_due: the epoch that ends here is not validated yet.
        finished: there is nothing left to train.
        sums, summed: of the log interval under way, in SUMS' order, over so many steps.
    """

    step: int = 0
    best_top1: float = -1.0
    best_loss: float = 0.0
    best_step: int | None = None
    improved_step: int | None = None
    validation_due: bool = False
    finished: bool = False
    sums: list[float] = field(default_factory=lambda: [0.0] * 5)
    summed: int = 0
