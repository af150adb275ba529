"""The training loop: one step traced once, the same on one CPU and on many devices."""

import math
import signal
import time
from collections.abc import Callable
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from common import checkpoints, distribution, evaluation, losses, monitor, optimizers
from common.errors import UserError
from common.recipe import Recipe


@dataclass(frozen=True)
class Job:
    """Everything that stays the same through a run.

    Attributes:
        run: the run directory.
        model, optimizer: built inside the strategy's scope; the optimizer's variables exist already.
        average: the moving average of the weights that is evaluated in their place, or None.
        schedule: learning-rate rule (`common.schedules`).
        recipe: resolved, `epochs` is a number.
        auxiliary_weight: weight of the loss of every auxiliary classifier.
        devices: where to compute.
        training: start step -> endless data set of this worker's batches.
        validation: () -> one pass over the validation split.
        steps_per_epoch: full global batches in an epoch.
        identity: what a checkpoint of this run must agree with (arch, classes ...).
        mean: the picture or channel mean that was subtracted, to show inputs as they looked.
        log_every: steps between two log rows.
        save_every: steps between checkpoints beside those at each epoch's end; 0: none.
        keep: how many of the newest checkpoints stay, beside the best.
        resume_command: how to go on, printed when the run is interrupted.
    """

    run: Path
    model: Any
    optimizer: Any
    average: Any
    schedule: Any
    recipe: Recipe
    auxiliary_weight: float
    devices: distribution.Devices
    training: Callable[[int], tf.data.Dataset]
    validation: Callable[[], tf.data.Dataset]
    steps_per_epoch: int
    identity: dict
    mean: np.ndarray
    log_every: int = 10
    save_every: int = 0
    keep: int = 1
    resume_command: str = ""

    @property
    def total_steps(self) -> int:
        """Steps in the whole run, if the schedule does not end it sooner."""
        return self.steps_per_epoch * self.recipe.epochs


@dataclass
class State:
    """Everything that moves, beside the variables: saved with every checkpoint, so a resumed run has it all."""

    step: int = 0
    best_top1: float = -1.0
    best_step: int | None = None
    finished: bool = False
    sums: list[float] = field(default_factory=lambda: [0.0] * 5)  # of the log interval under way, in SUMS' order
    summed: int = 0  # steps in `sums`


CHANCE_STEPS = 100  # steps after which a loss at ln(classes) is worth a warning
SUMS = ("data_loss", "l2_loss", "loss", "top1", "top5")


def make_train_step(job: Job):
    """A traced function (images, labels) -> (5,) float32 in SUMS' order, over the global batch.

    The data loss is the mean over the global batch, auxiliary classifiers included with their weight; L2 is counted
    once over all replicas.
    """
    model, optimizer, recipe, strategy = job.model, job.optimizer, job.recipe, job.devices.strategy
    decayed = losses.decayed_variables(model, recipe.decay_biases_and_norms)
    l1 = optimizers.l1_in_loss(recipe)

    def replica_step(images, labels):
        with tf.GradientTape() as tape:
            outputs = model(images, training=True)
            each = losses.data_loss(labels, outputs, recipe.label_smoothing, job.auxiliary_weight)
            data_loss = tf.reduce_sum(each) / recipe.batch_size
            l2_loss = losses.regularisation(decayed, recipe.weight_decay, l1) / job.devices.replicas
            loss = data_loss + l2_loss
            scaled = optimizer.scale_loss(loss)
        gradients = tape.gradient(scaled, model.trainable_variables)
        optimizers.apply_gradients(optimizer, gradients, model.trainable_variables, recipe.clip_norm)
        logits = evaluation.main_logits(outputs)
        hits = [tf.reduce_sum(tf.cast(evaluation.correct(labels, logits, k), tf.float32)) for k in (1, 5)]
        return tf.stack([data_loss, l2_loss, loss, hits[0] / recipe.batch_size, hits[1] / recipe.batch_size])

    @tf.function
    def step(images, labels):
        sums = strategy.reduce("SUM", strategy.run(replica_step, args=(images, labels)), axis=None)
        if job.average is not None:
            job.average.update(optimizer.iterations.value)
        return sums

    return step


@contextmanager
def _polite_signals():
    """Yields a list that fills when SIGINT or SIGTERM arrives; a second one ends the process at once."""
    caught = []

    def note(number, _):
        caught.append(number)
        signal.signal(number, signal.SIG_DFL)

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield caught
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def groups(job: Job) -> dict:
    """The variables a training checkpoint holds, by group."""
    found = {"model": job.model.variables, "optimizer": job.optimizer.variables}
    return found | ({"average": job.average.variables} if job.average is not None else {})


def save(job: Job, state: State) -> Path:
    """Writes a checkpoint of this moment and removes those that are neither new nor best."""
    values = {
        **job.identity,
        **{name: getattr(state, name) for name in ("step", "best_top1", "best_step", "finished", "sums", "summed")},
        "schedule": job.schedule.state(),
    }
    folder = checkpoints.save(job.run, values, groups(job), job.devices.chief)
    if job.devices.chief:
        checkpoints.prune(job.run, [state.best_step] if state.best_step is not None else [], job.keep)
    return folder


def resume(job: Job, checkpoint: checkpoints.Checkpoint) -> State:
    """Loads a checkpoint of the same run into the job and rewinds its records to that step."""
    for name, value in job.identity.items():
        if checkpoint.state.get(name) != value:
            raise UserError(f"{checkpoint.folder}: {name} is {checkpoint.state.get(name)}, here {value}")
    checkpoints.restore(checkpoint, groups(job))
    job.schedule.load(checkpoint.state["schedule"])
    if job.devices.chief:
        monitor.MetricsFile(job.run).rewind(checkpoint.step)
        monitor.rewind_events(job.run / monitor.EVENTS_FOLDER, checkpoint.step)
    names = ("step", "best_top1", "best_step", "finished", "sums", "summed")
    return State(**{name: checkpoint.state[name] for name in names})


class _Interval:
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


class _Reporter:
    """Everything the chief writes for people: metrics.csv, TensorBoard, the progress line."""

    def __init__(self, job: Job):
        self.job = job
        self.metrics, self.board = monitor.MetricsFile(job.run), monitor.TensorBoard(job.run)
        self.progress, self.clock = monitor.Progress(), monitor.Clock()
        self.warned = False

    def inputs(self, images) -> None:
        """The first batch as the network sees it, its mean added back."""
        first = self.job.devices.strategy.experimental_local_results(images)[0]
        self.board.picture("augmented_inputs", monitor.input_sheet(first[:16].numpy(), self.job.mean), 0)

    def interval(self, row: dict, seconds_left: float) -> None:
        """A row, a point of each curve and a progress line for a log interval."""
        speed, waiting = self.clock.read()
        self.metrics.add(row)
        self.board.scalars(row["step"], "train", {name: row[name] for name in SUMS})
        rates = {"learning_rate": row["learning_rate"], "images_per_second": speed, "data_wait_share": waiting}
        self.board.scalars(row["step"], "run", rates)
        self.progress.show(
            monitor.progress_text(row, self.job.total_steps, self.job.recipe.epochs, speed, waiting, seconds_left)
        )
        self._watch(row)
        self.clock.reset()

    def _watch(self, row: dict) -> None:
        """Says once when the loss sits at that of guessing: ln(classes)."""
        heads = 1 + self.job.auxiliary_weight * (len(self.job.model.outputs) - 1)
        chance = heads * math.log(self.job.identity["classes"])
        if not self.warned and row["step"] >= CHANCE_STEPS and abs(row["data_loss"] - chance) < 0.01 * chance:
            self.warned = True
            self.progress.say(
                f"warning: after {row['step']} steps the loss is still that of guessing, ln({self.job.identity['classes']}) "
                f"= {chance:.3f}. Known cures: --initializer glorot or he, another --learning_rate, --mean channel"
            )

    def validation(self, row: dict, line: str, better: bool, news: str | None) -> None:
        """A row, a point of each curve, the first filters and a line for a validation."""
        self.metrics.add(row)
        self.board.scalars(row["step"], "validation", {name: row[name] for name in SUMS})
        first = next((v for v in self.job.model.trainable_variables if len(v.shape) == 4), None)
        if first is not None:
            self.board.picture("conv1", monitor.filter_sheet(first.numpy()), row["step"])
        self.board.flush()
        self.progress.say(f"epoch {row['epoch']}: {line}{', the best so far' if better else ''}")
        if news:
            self.progress.say(news)


def fit(job: Job, state: State, recipe_text: str) -> State:
    """Trains from `state` until the epochs or the schedule are exhausted, or a signal asks to stop.

    Validates and saves at every epoch's end. On SIGINT or SIGTERM saves at the next step and returns. Raises UserError
    (exit code 3) on a non-finite loss, before anything of that interval is saved. Returns the state; `finished` tells
    whether the run is complete.
    """
    step_fn, eval_fn = make_train_step(job), evaluation.make_eval_step(job.model, job.devices)
    report = _Reporter(job) if job.devices.chief else None
    interval, saved, rate = _Interval(job, state), state.step, math.nan
    begun, begun_step = time.perf_counter(), None
    if report and state.step == 0:
        report.board.text("recipe", recipe_text)
    batches = iter(distribution.distribute(job.training(state.step), job.devices))

    def seconds_left() -> float:
        per_step = (time.perf_counter() - begun) / max(state.step - begun_step, 1)
        return (job.total_steps - state.step) * per_step

    def validate() -> None:
        with job.average.swapped() if job.average is not None else nullcontext():
            result = evaluation.evaluate(eval_fn, distribution.distribute(job.validation(), job.devices))
        l2 = float(losses.regularisation(decayed, job.recipe.weight_decay, optimizers.l1_in_loss(job.recipe)))
        row = {"step": state.step, "epoch": state.step // job.steps_per_epoch, "split": "validation"}
        row |= {"learning_rate": rate, "data_loss": result.loss, "l2_loss": l2, "loss": result.loss + l2}
        row |= {"top1": result.top1, "top5": result.top5}
        news = job.schedule.observe(result.top1)
        better = result.top1 > state.best_top1
        if better:
            state.best_top1, state.best_step = result.top1, state.step
        state.finished = job.schedule.exhausted or state.step >= job.total_steps
        if report:
            report.validation(row, result.line("validation"), better, news)

    decayed = losses.decayed_variables(job.model, job.recipe.decay_biases_and_norms)
    with _polite_signals() as signals:
        while not state.finished and not signals:
            if job.schedule.rate(state.step) != rate:
                rate = job.schedule.rate(state.step)
                job.optimizer.learning_rate.assign(rate)
            asked = time.perf_counter()
            images, labels = next(batches)
            waited = time.perf_counter() - asked
            if report and state.step == 0:
                report.inputs(images)
            interval.add(step_fn(images, labels))
            state.step += 1
            ends = state.step % job.steps_per_epoch == 0
            if begun_step is None:  # the first step holds the tracing: it does not count for the speed
                interval.collect(rate)
                begun, begun_step = time.perf_counter(), state.step
                if report:
                    report.clock.reset()
            elif report:
                report.clock.count(job.recipe.batch_size, waited)
                if state.step == begun_step + 2:
                    interval.collect(rate)
                    steps = job.total_steps - state.step
                    report.progress.say(
                        f"expecting {monitor.duration(seconds_left())} for {steps} steps, and validation"
                    )
            if ends or state.step % job.log_every == 0:
                row = interval.collect(rate)
                if report:
                    report.interval(row, seconds_left())
                interval.close()
            if ends:
                paused = time.perf_counter()
                validate()
            if ends or (job.save_every and state.step % job.save_every == 0):
                interval.collect(rate)
                save(job, state)
                saved = state.step
            if ends:
                begun += time.perf_counter() - paused
                if report:
                    report.clock.reset()
        if state.step != saved:
            interval.collect(rate)
            save(job, state)
    if report:
        report.board.close()
        if not state.finished:
            print(f"stopped at step {state.step} of {job.total_steps}, saved; go on with: {job.resume_command}")
    return state
