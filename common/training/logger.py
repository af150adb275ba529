"""What a training run writes for people, and the sums of a log interval."""

import math

import numpy as np
import tensorflow as tf

from common.errors import UserError
from common.input import read_errors
from common.training import log_writers
from common.training.run_state import SUMS, Job, State

CHANCE_STEPS = 100  # steps after which a loss at ln(classes) is worth a warning


class Interval:
    """The log interval under way: results not yet looked at, and the sums of those that were."""

    def __init__(self, job: Job, state: State):
        self.job, self.state, self.pending = job, state, []

    def add(self, values: tf.Tensor) -> None:
        """Takes the result of the step just done; it is not read yet, so a device may run ahead."""
        self.pending.append(values)

    def collect(self, rate: float) -> dict:
        """Reads the pending results into the state's sums and returns the row of the interval so far.

        Raises UserError (exit code 3) at the first loss that is not finite.
        """
        state = self.state
        for offset, tensor in enumerate(self.pending):
            values = np.asarray(tensor.numpy(), np.float64)
            if not np.isfinite(values[:3]).all():
                raise UserError(
                    f"the loss became {values[2]} at step {state.step - len(self.pending) + offset + 1}, learning rate "
                    f"{rate:g}; nothing was saved after the last checkpoint: lower --learning_rate, or try "
                    "--initializer glorot or --clip_norm 1",
                    3,
                )
            state.sums = [total + float(value) for total, value in zip(state.sums, values, strict=True)]
            state.summed += 1
        self.pending.clear()
        means = {name: total / max(state.summed, 1) for name, total in zip(SUMS, state.sums, strict=True)}
        epoch = math.ceil(state.step / self.job.steps_per_epoch)
        return {"step": state.step, "epoch": epoch, "split": "train", "learning_rate": rate, **means}

    def close(self) -> None:
        """Begins the next interval."""
        self.state.sums, self.state.summed = [0.0] * len(SUMS), 0


class Reporter:
    """Everything the chief writes for people: metrics.csv, TensorBoard, the progress line."""

    def __init__(self, job: Job):
        self.job = job
        self.metrics, self.board = log_writers.MetricsFile(job.run), log_writers.TensorBoard(job.run)
        self.progress, self.clock = log_writers.Progress(), log_writers.Clock()
        self.warned = False

    def inputs(self, images) -> None:
        """The first batch as the network sees it, its normalisation undone."""
        first = self.job.devices.strategy.experimental_local_results(images)[0][:16].numpy()
        first = (first[..., ::-1] if self.job.channels == "bgr" else first) * np.float32(self.job.std)
        with read_errors.writing(self.job.run):
            self.board.picture("augmented_inputs", log_writers.input_sheet(first, self.job.mean), 0)

    def interval(self, row: dict, seconds_left: float) -> None:
        """A row, a point of each curve and a progress line for a log interval."""
        speed, waiting = self.clock.read()
        rates = {"learning_rate": row["learning_rate"], "images_per_second": speed, "data_wait_share": waiting}
        with read_errors.writing(self.job.run):
            self.metrics.add(row)
            self.board.scalars(row["step"], "train", {name: row[name] for name in SUMS})
            self.board.scalars(row["step"], "run", rates)
        self.progress.show(
            log_writers.progress_text(row, self.job.total_steps, self.job.recipe.epochs, speed, waiting, seconds_left)
        )
        self._watch(row)
        self.clock.reset()

    def flush(self) -> None:
        """Hands what TensorBoard has so far to the disk: a checkpoint must not be ahead of it."""
        with read_errors.writing(self.job.run):
            self.board.flush()

    def _watch(self, row: dict) -> None:
        """Says once when the loss sits at that of guessing: ln(classes)."""
        heads = 1 + self.job.auxiliary_weight * (len(self.job.model.outputs) - 1)
        classes = self.job.identity["classes"]
        chance = heads * math.log(classes)
        if not self.warned and row["step"] >= CHANCE_STEPS and abs(row["data_loss"] - chance) < 0.01 * chance:
            self.warned = True
            self.progress.say(
                f"warning: after {row['step']} steps the loss is still that of guessing, ln({classes}) "
                f"= {chance:.3f}. Known cures: --initializer glorot or he, another --learning_rate, --mean channel"
            )

    def validation(self, row: dict, line: str, better: bool, news: str | None) -> None:
        """A row, a point of each curve, the first filters and a line for a validation."""
        first = next((v for v in self.job.model.variables if len(v.shape) == 4), None)
        with read_errors.writing(self.job.run):
            self.metrics.add(row)
            self.board.scalars(row["step"], "validation", {name: row[name] for name in SUMS})
            if first is not None:
                self.board.picture("conv1", log_writers.filter_sheet(first.numpy()), row["step"])
        self.progress.say(f"epoch {row['epoch']}: {line}{', the best so far' if better else ''}")
        if news:
            self.progress.say(news)
