"""What a training run tells people, and the sums of a log interval."""

import math
from typing import Any

import numpy as np
import tensorflow as tf

from common.errors import UserError
from common.input import read_errors
from common.nn import losses
from common.progress import ProgressLine, duration, sparkline
from common.training import log_writers, metrics_file
from common.training.run_state import SUMS, Job, State
from common.training.speed import Speed

CHANCE_STEPS = 100  # steps after which a loss at ln(classes) is worth a warning
FIRST_STEPS = 50  # so many steps are logged one by one: how a run begins decides much


class Interval:
    """The log interval under way: results not yet looked at, and the sums of those that were."""

    def __init__(self, job: Job, state: State):
        self.job, self.state = job, state
        self.pending: list = []

    def add(self, values: tf.Tensor, rate: float) -> None:
        """Takes the result of the step just done, at a learning rate; it is not read yet: a device may run ahead."""
        self.pending.append((values, rate))

    def collect(self) -> list[dict]:
        """Reads the pending results into the state's sums. Returns the rows of those among the first steps.

        Raises UserError (exit code 3) at the first loss that is not finite.
        """
        rows, first = [], self.state.step - len(self.pending) + 1
        for step, (tensor, rate) in enumerate(self.pending, first):
            values = np.asarray(tensor.numpy(), np.float64)
            if not np.isfinite(values[:3]).all():
                raise UserError(
                    f"the loss became {values[2]} at step {step}, learning rate {rate:g}; nothing was saved after the "
                    "last checkpoint: lower --learning_rate, or try --initializer glorot or --clip_norm 1",
                    3,
                )
            self.state.sums = [total + float(one) for total, one in zip(self.state.sums, values, strict=True)]
            self.state.summed += 1
            if step <= FIRST_STEPS:
                rows.append(self._row("step", step, rate, values.tolist()))
        self.pending.clear()
        return rows

    def row(self, rate: float) -> dict:
        """The row of the interval: means over its steps, those that were collected."""
        means = [total / max(self.state.summed, 1) for total in self.state.sums]
        return self._row("train", self.state.step, rate, means)

    def close(self) -> None:
        """Begins the next interval."""
        self.state.sums, self.state.summed = [0.0] * len(SUMS), 0

    def _row(self, split: str, step: int, rate: float, values: list[float]) -> dict:
        epoch = math.ceil(step / self.job.steps_per_epoch)
        row = {"step": step, "epoch": epoch, "split": split, "learning_rate": rate}
        return row | dict(zip(SUMS, values, strict=True))


class Logger:
    """What workers other than the chief tell: nothing."""

    def begin(self) -> None:
        """The start of a run: its recipe, and the graph of its network."""

    def inputs(self, images: Any) -> None:
        """The first batch as the network sees it, its normalisation undone."""

    def step(self, done: int, waited: float) -> None:
        """A step was taken, the `done`-th of this process; it waited so many seconds for its images."""

    def steps(self, rows: list[dict]) -> None:
        """The rows of single steps."""

    def interval(self, row: dict, further: dict[str, float]) -> None:
        """A row, a point of each curve, of `further` ones too, and a progress line for a log interval."""

    def epoch_ends(self) -> None:
        """From here on time does not count for the speed of training."""

    def epoch_begins(self) -> None:
        """From here on it does."""

    def validation(self, row: dict, curves: dict[str, float], lines: list[str]) -> None:
        """A row, a point of each curve, of those beside the row's too, the first filters and lines for a validation."""

    def flush(self) -> None:
        """Hands what TensorBoard has so far to the disk: a checkpoint must not be ahead of it."""

    def stopped(self) -> None:
        """A signal ended the run, which is saved."""

    def close(self) -> None:
        """Ends the progress line and closes the files."""


class ChiefLogger(Logger):
    """Everything the chief writes for people: metrics.csv, TensorBoard, the progress line."""

    def __init__(self, job: Job, state: State):
        self.job, self.state = job, state
        self.metrics = metrics_file.MetricsFile(job.run)
        self.board = log_writers.TensorBoard(job.run)
        self.train, self.validated = (log_writers.TensorBoard(job.run, name) for name in ("train", "validation"))
        self.progress, self.speed = ProgressLine(job.total_steps, state.step), Speed(job.recipe.batch_size)
        self.figures, self.warned = "", False
        self.course: dict[str, list[float]] = {"loss": [], "top1": []}  # of every interval of this process

    def begin(self):
        with read_errors.writing(self.job.run):
            self.board.recipe(self.job.recipe, self.job.identity)
            self.board.graph(self.job.model)

    def inputs(self, images):
        local = self.job.devices.strategy.experimental_local_results(images)[0]
        first = self.job.finish(tf.nest.map_structure(lambda part: part[:16], local)).numpy()
        first = (first[..., ::-1] if self.job.channels == "bgr" else first) * np.float32(self.job.std)
        with read_errors.writing(self.job.run):
            self.train.picture("augmented_inputs", log_writers.input_sheet(first, self.job.mean), 0)

    def step(self, done, waited):
        if done == 1:  # it holds the tracing
            self.speed.restart()
            return
        self.speed.count(waited)
        if done == 3:
            steps = self.job.total_steps - self.state.step
            further = ", and validation" if self.job.validation else ""
            self.progress.say(f"expecting {duration(self._seconds_left())} for {steps} steps{further}")
        self.progress.live(self.state.step, self._text())

    def steps(self, rows):
        if rows:
            with read_errors.writing(self.job.run):
                self.metrics.add(*rows)

    def interval(self, row, further):
        speed, waiting = self.speed.read()
        curves = {name: row[name] for name in (*SUMS, "learning_rate")}
        curves |= {"images_per_second": speed, "data_wait_share": waiting}
        scaling = self._loss_scale()
        with read_errors.writing(self.job.run):
            self.metrics.add(row)
            self.train.scalars(row["step"], curves | scaling | further)
        for name, values in self.course.items():
            values.append(row[name])
        drawn = {name: sparkline(values) for name, values in self.course.items()} if self.progress.draws else None
        self.figures = figures(row, speed, waiting, **scaling, drawn=drawn)
        self.progress.show(self.state.step, self._text())
        self._watch(row)

    def epoch_ends(self):
        self.speed.pause()

    def epoch_begins(self):
        self.speed.resume()

    def validation(self, row, curves, lines):
        job, first = self.job, next((v for v in self.job.model.variables if len(v.shape) == 4), None)
        best = {"best_top1": self.state.best_top1, "best_loss": self.state.best_loss}
        with read_errors.writing(job.run):
            self.metrics.add(row)
            self.validated.scalars(row["step"], {name: row[name] for name in SUMS} | curves)
            if self.state.best_step is not None:
                self.board.scalars(row["step"], best)
            if first is not None:
                self.validated.picture("conv1", log_writers.filter_sheet(first.numpy()), row["step"])
            if job.histograms:
                self.validated.histograms(row["step"], job.model.trainable_variables)
        for line in lines:
            self.progress.say(line)

    def flush(self):
        with read_errors.writing(self.job.run):
            for board in (self.board, self.train, self.validated):
                board.flush()

    def stopped(self):
        self.progress.say(
            f"stopped at step {self.state.step} of {self.job.total_steps}, saved; go on with: {self.job.resume_command}"
        )

    def close(self):
        self.progress.close()
        for board in (self.board, self.train, self.validated):
            board.close()

    def _seconds_left(self) -> float:
        job, step = self.job, self.state.step
        return self.speed.seconds_left(
            job.total_steps - step, math.ceil((job.total_steps - step) / job.steps_per_epoch)
        )

    def _text(self) -> str:
        job, step = self.job, self.state.step
        epoch = math.ceil(step / job.steps_per_epoch)
        left = duration(self._seconds_left())
        return f"epoch {epoch}/{job.epochs}  step {step}/{job.total_steps}  ETA {left}{self.figures}"

    def _loss_scale(self) -> dict[str, float]:
        scale = self.job.loss_scale
        return {} if scale is None else {"loss_scale": scale.value, "skipped_steps": scale.skipped}

    def _watch(self, row: dict) -> None:
        """Says once when the loss sits at that of guessing, of cross-entropy ln(classes)."""
        heads = 1 + self.job.auxiliary_weight * (len(self.job.model.outputs) - 1)
        classes, recipe = self.job.identity["classes"], self.job.recipe
        chance = heads * losses.of_guessing(recipe.loss, classes, recipe.focal_gamma)
        name = f"ln({classes}) " if recipe.loss == "cross_entropy" else f"{recipe.loss} of {classes} classes "
        if not self.warned and row["step"] >= CHANCE_STEPS and abs(row["data_loss"] - chance) < 0.01 * chance:
            self.warned = True
            self.progress.say(
                f"warning: after {row['step']} steps the loss is still that of guessing, {name}"
                f"= {chance:.3f}. Known cures: --initializer glorot or he, another --learning_rate, --mean channel"
            )


def make_logger(job: Job, state: State) -> Logger:
    """The logger of this worker."""
    return ChiefLogger(job, state) if job.devices.chief else Logger()


def figures(
    row: dict,
    speed: float,
    waiting: float,
    loss_scale: float = 0.0,
    skipped_steps: int = 0,
    drawn: dict[str, str] | None = None,
) -> str:
    """The end of a progress line, the most wanted first: a narrow terminal cuts it off.

    `  loss 0.5321  top1 0.9062  12.9 images/s  data wait 1%  lr 0.01  (data 0.3012 + l2 0.2309)`, and with a loss
    scale `  loss scale 32768, 2 steps skipped`. `drawn` are sparklines of loss and top-1 to show behind them.
    """
    curves = {name: f" {line}" for name, line in (drawn or {}).items()}
    text = (
        f"  loss {row['loss']:.4f}{curves.get('loss', '')}  top1 {row['top1']:.4f}{curves.get('top1', '')}  "
        f"{speed:.1f} images/s  data wait {waiting:.0%}  "
        f"lr {row['learning_rate']:.3g}  (data {row['data_loss']:.4f} + l2 {row['l2_loss']:.4f})"
    )
    return f"{text}  loss scale {loss_scale:g}, {skipped_steps} steps skipped" if loss_scale else text
