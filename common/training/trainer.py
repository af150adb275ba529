"""The training loop: one step traced once, the same on one CPU and on many devices."""

import dataclasses
import math
import signal
import time
from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from functools import cached_property
from pathlib import Path
from typing import Any

import tensorflow as tf

from common import distribution
from common.errors import UserError
from common.input import read_errors
from common.nn import losses, metrics
from common.recipe import Recipe
from common.runs import checkpoints
from common.training import dead_units, gradient_norms, log_writers, optimizers, replicas, stop_signals, validation
from common.training.logger import Interval, make_logger
from common.training.run_state import Job, State
from common.training.train_step import make_train_step


def groups(job: Job) -> dict:
    """The variables a training checkpoint holds, by group."""
    found = {"model": job.model.variables, "optimizer": job.optimizer.variables}
    more = {"average": job.average, "loss_scale": job.loss_scale}
    return found | {name: owner.variables for name, owner in more.items() if owner is not None}


def _values(job: Job, state: State) -> dict:
    """What a checkpoint holds beside the variables."""
    snapshot = job.snapshots and job.schedule.cycle_end(state.step)
    return {**job.identity, **dataclasses.asdict(state), "schedule": job.schedule.state(), "snapshot": snapshot}


def _prune(job: Job, state: State, written: Path) -> None:
    checkpoints.prune(job.run, [] if state.best_step is None else [state.best_step], job.keep, written)


def save(job: Job, state: State) -> Path:
    """Writes a checkpoint of this moment and removes those that are neither new nor best nor snapshots."""
    with read_errors.writing(job.run):
        folder = checkpoints.save(job.run, _values(job, state), groups(job), job.devices.chief)
        if job.devices.chief:
            _prune(job, state, folder)
    return folder


def amend(job: Job, state: State) -> None:
    """Adds the result of a validation to the checkpoint that was saved before it."""
    if job.devices.chief:
        with read_errors.writing(job.run):
            _prune(job, state, checkpoints.amend(job.run, _values(job, state)))


def ended_by(recipe: Recipe, steps_per_epoch: int, values: Mapping[str, Any]) -> str | None:
    """The flag that ends a run whatever its length, or None.

    Args:
        recipe: of the run.
        steps_per_epoch: full global batches in an epoch.
        values: what a checkpoint holds beside the variables; all validations up to its step are taken in.
    """
    if values["schedule"].get("exhausted"):
        return f"--schedule={recipe.schedule}"
    improved = values.get("improved_step")
    waited = 0 if improved is None else (values["step"] - improved) // steps_per_epoch
    return "--patience" if recipe.patience and waited >= recipe.patience else None


def _complete(job: Job, state: State) -> bool:
    """Whether there is nothing left to train, the validations so far taken in."""
    return state.step >= job.total_steps or ended_by(job.recipe, job.steps_per_epoch, _values(job, state)) is not None


def resume(job: Job, checkpoint: checkpoints.Checkpoint) -> State:
    """Loads a checkpoint of the same run into the job and rewinds its records to that step."""
    for name, value in job.identity.items():
        if checkpoint.state.get(name) != value:
            raise UserError(f"{checkpoint.folder}: {name} is {checkpoint.state.get(name)}, here {value}")
    wanted = groups(job)
    if not any(key.startswith("loss_scale:") for key in checkpoint.state["variables"]):
        wanted.pop("loss_scale", None)  # a run in float16 that was begun without one
    checkpoints.restore(checkpoint, wanted)
    job.schedule.load(checkpoint.state["schedule"])
    saved = {field.name for field in dataclasses.fields(State)} & checkpoint.state.keys()
    state = State(**{name: checkpoint.state[name] for name in saved})
    state.finished = state.finished and _complete(job, state)  # not where epochs were added
    if job.devices.chief:
        log_writers.rewind(job.run, state.step, validated=not state.validation_due)
    return state


class Trainer:
    """One process' part in a run, from a state to the run's end or to a signal."""

    def __init__(self, job: Job, state: State):
        self.job, self.state = job, state
        self.train_step = make_train_step(job)
        self.eval_step = dead_units.WatchedStep(job.model, job.devices, job.jit, job.finish)
        self.watched_step = gradient_norms.WatchedStep(job) if job.log_gradients else None
        self.interval, self.log = Interval(job, state), make_logger(job, state)
        self.profiler = log_writers.Profiler(job.run, job.profile if job.devices.chief else None)
        self.decayed = losses.decayed_variables(job.model, job.recipe.decay_biases_and_norms)
        self.settling_steps = validation.settling_steps(job.model)
        self.any_worker = distribution.make_any(job.devices)
        averages = [] if job.average is None else job.average.variables
        self.synchronise = replicas.make_synchronise([*job.model.variables, *averages], job.devices)
        self.begun, self.saved, self.rate, self.stop = state.step, state.step, math.nan, False
        self.signals: list[signal.Signals] = []

    @cached_property
    def batches(self) -> Iterator:
        """The training batches from here on; opened when the first is needed."""
        return iter(distribution.distribute(self.job.training(self.state.step), self.job.devices))

    @cached_property
    def validation_data(self) -> tf.data.Dataset:
        """The validation split, as often as it is needed."""
        assert self.job.validation is not None
        return distribution.distribute(self.job.validation(), self.job.devices)

    def run(self) -> signal.Signals | None:
        """Trains. Returns the signal that ended it, of whichever worker, or None where the run is complete."""
        try:
            with stop_signals.noted() as self.signals:
                self._train()
                stopped = self._signal()
            if stopped is not None:
                self.log.stopped()
            return stopped
        finally:
            self.profiler.stop()
            self.log.close()

    def _train(self) -> None:
        """Steps and epochs, until the run is complete or told to stop; then everything is saved."""
        job, state = self.job, self.state
        if state.step == 0:
            self.log.begin()
        self._validate()
        while not state.finished and not self._stopping(state.step):
            self._take_step()
            if job.epoch_ends(state.step):
                self._end_epoch()
            elif self._save_due():
                self._save()
        if state.step != self.saved:
            self._save()

    def _stopping(self, number: int) -> bool:
        """Whether to stop before step or batch `number`. Several workers decide it together, every log interval."""
        if not self.stop and (self.job.devices.workers == 1 or number % self.job.log_every == 0):
            self.stop = self.any_worker(self.signals)
        return self.stop

    def _signal(self) -> signal.Signals | None:
        """The signal that reached any worker, the same for all of them; SIGTERM before SIGINT."""
        if not self.any_worker(self.signals):
            return None
        return signal.SIGTERM if self.any_worker(signal.SIGTERM in self.signals) else signal.SIGINT

    def _take_step(self) -> None:
        """One step, and what is due right after it: its row among the first, the row and line of a log interval."""
        job, state = self.job, self.state
        if job.schedule.rate(state.step) != self.rate:
            self.rate = job.schedule.rate(state.step)
            job.optimizer.learning_rate.assign(self.rate)
        with self.profiler.step(state.step + 1):
            asked = time.perf_counter()
            with read_errors.named(job.splits["train"]):
                images, labels = next(self.batches)
            waited = time.perf_counter() - asked
            watched = self.watched_step if job.interval_ends(state.step + 1) else None
            self.interval.add((watched or self.train_step)(images, labels), self.rate)
        if state.step == 0:
            self.log.inputs(images)
        state.step += 1
        done = state.step - self.begun
        if done in (1, 3) or self.profiler.last(state.step):  # the clock and the profile end with the step itself
            self._collect()
        if self.profiler.last(state.step):
            self.profiler.stop()
        self.log.step(done, waited)
        if job.interval_ends(state.step):
            self._collect()
            self.log.interval(self.interval.row(self.rate), self.watched_step.take() if self.watched_step else {})
            self.interval.close()

    def _collect(self) -> None:
        self.log.steps(self.interval.collect())

    def _save_due(self) -> bool:
        job, step = self.job, self.state.step
        return bool(job.save_every and step % job.save_every == 0) or (job.snapshots and job.schedule.cycle_end(step))

    def _save(self) -> None:
        """Writes a checkpoint; no worker goes on before it is whole."""
        self._collect()
        self.log.flush()
        self.synchronise()
        save(self.job, self.state)
        self.saved = self.state.step
        self.any_worker(False)

    def _end_epoch(self) -> None:
        """Saves first, then validates, where the run does: a kill in the midst of it loses nothing."""
        self.log.epoch_ends()
        self.state.validation_due = self.job.validation is not None
        self.state.finished = self.job.validation is None and self.state.step >= self.job.total_steps
        self._save()
        self._validate()
        self.log.epoch_begins()

    def _validate(self) -> None:
        """Measures what was saved last, if that is due, and adds the result; a signal leaves it to be done."""
        job, state = self.job, self.state
        if not state.validation_due:
            return
        with job.average.swapped() if job.average is not None else nullcontext():
            result = validation.evaluate(self.eval_step, self.validation_data, job.splits["validation"], self._stopping)
        dead = self.eval_step.take()
        if result is None:
            return
        l2 = float(losses.regularisation(self.decayed, job.recipe.weight_decay, optimizers.l1_in_loss(job.recipe)))
        row = {"step": state.step, "epoch": -(-state.step // job.steps_per_epoch), "split": "validation"}
        row |= {"learning_rate": job.schedule.rate(state.step - 1), "data_loss": result.loss, "l2_loss": l2}
        row |= {"loss": result.loss + l2, "top1": result.top1, "top5": result.top5}
        settled = state.step >= self.settling_steps
        notes = [job.schedule.observe(result.top1, ranked=settled), self.eval_step.remark(dead)]
        last = job.schedule.exhausted or state.step >= job.total_steps
        rank = self._rank(result, settled or last)
        line = f"epoch {row['epoch']}: {result.line('validation', job.identity['classes'])}{rank}"
        state.finished = _complete(job, state)
        if state.finished and not last:
            waited = "1 validation" if job.recipe.patience == 1 else f"{job.recipe.patience} validations"
            notes.append(f"validation top-1 has not risen in {waited}: the run ends here")
        state.validation_due = False
        curves = {"dead_units": dead_units.share(dead), "balanced_accuracy": result.balanced_accuracy}
        self.log.validation(row, curves, [line, *filter(None, notes)])
        self.log.flush()
        amend(job, state)

    def _rank(self, result: metrics.Metrics, ranked: bool) -> str:
        """Notes whether a validation is the best so far. Returns the end of its line.

        Moving statistics that have not settled say little of the network, so its validation is not ranked, unless it is
        the run's last.
        """
        state = self.state
        if not ranked:
            return (
                f", not ranked: batch norm's moving statistics settle in {self.settling_steps} steps, so far there "
                f"were {state.step}"
            )
        if result.top1 > state.best_top1:
            state.improved_step = state.step
        if (result.top1, -result.loss) > (state.best_top1, -state.best_loss):  # a small split has many ties
            tied = result.top1 == state.best_top1
            state.best_top1, state.best_loss, state.best_step = result.top1, result.loss, state.step
            return ", the best so far by its loss" if tied else ", the best so far"
        return ""


def fit(job: Job, state: State) -> signal.Signals | None:
    """Trains from `state` until the epochs or the schedule are exhausted, or a signal asks to stop.

    Saves and then validates at every epoch's end. On SIGINT or SIGTERM saves at the next step, or gives up the
    validation under way, and returns the signal. Raises UserError (exit code 3) on a non-finite loss, before anything
    of that interval is saved. `state` moves on; its `finished` tells whether the run is complete.
    """
    return Trainer(job, state).run()
