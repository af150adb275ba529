"""The training loop: one step traced once, the same on one CPU and on many devices."""

import dataclasses
import math
import signal
import time
from contextlib import contextmanager, nullcontext
from functools import cache
from pathlib import Path

import tensorflow as tf

from common import distribution
from common.errors import UserError
from common.input import read_errors
from common.nn import losses, metrics
from common.runs import checkpoints
from common.training import log_writers, optimizers, validation
from common.training.logger import Interval, Reporter
from common.training.run_state import Job, State


def make_train_step(job: Job):
    """A traced function (images, labels) -> (5,) float32 in SUMS' order, over the global batch.

    The data loss is the mean over the global batch, auxiliary classifiers included with their weight; L2 is counted
    once over all replicas. With the job's `jit` XLA compiles it, for one device.
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
        logits = metrics.main_logits(outputs)
        hits = [tf.reduce_sum(tf.cast(metrics.correct(labels, logits, k), tf.float32)) for k in (1, 5)]
        return tf.stack([data_loss, l2_loss, loss, hits[0] / recipe.batch_size, hits[1] / recipe.batch_size])

    @tf.function(jit_compile=job.jit or None)
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
    """Writes a checkpoint of this moment and removes those that are neither new nor best nor snapshots."""
    values = {
        **job.identity,
        **dataclasses.asdict(state),
        "schedule": job.schedule.state(),
        "snapshot": job.snapshots and job.schedule.cycle_end(state.step),
    }
    with read_errors.writing(job.run):
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
        log_writers.rewind(job.run, checkpoint.step)
    return State(**{field.name: checkpoint.state[field.name] for field in dataclasses.fields(State)})


def seconds_per_step(job: Job, steps: int = 3) -> float:
    """Mean wall time of `steps` steps after the first, which holds the tracing. The weights are trained meanwhile."""
    step_fn = make_train_step(job)
    batches = iter(distribution.distribute(job.training(0), job.devices))
    job.optimizer.learning_rate.assign(job.schedule.rate(0))
    step_fn(*next(batches)).numpy()
    start = time.perf_counter()
    for _ in range(steps):
        step_fn(*next(batches)).numpy()
    return (time.perf_counter() - start) / steps


def fit(job: Job, state: State, recipe_text: str) -> State:
    """Trains from `state` until the epochs or the schedule are exhausted, or a signal asks to stop.

    Validates and saves at every epoch's end. On SIGINT or SIGTERM saves at the next step and returns. Raises UserError
    (exit code 3) on a non-finite loss, before anything of that interval is saved. Returns the state; `finished` tells
    whether the run is complete.
    """
    step_fn, eval_fn = make_train_step(job), validation.make_eval_step(job.model, job.devices, job.jit)
    profiler = log_writers.Profiler(job.run, job.profile if job.devices.chief else None)
    report = Reporter(job) if job.devices.chief else None
    interval, saved, rate = Interval(job, state), state.step, math.nan
    begun, begun_step = time.perf_counter(), None
    if report and state.step == 0:
        report.board.text("recipe", recipe_text)
    batches = iter(distribution.distribute(job.training(state.step), job.devices))
    # Built once, when it is first needed.
    validation_data = cache(lambda: distribution.distribute(job.validation(), job.devices))

    def seconds_left() -> float:
        per_step = (time.perf_counter() - begun) / max(state.step - begun_step, 1)
        return (job.total_steps - state.step) * per_step

    def store() -> None:
        interval.collect(rate)
        if report:
            report.flush()
        save(job, state)

    def validate() -> None:
        with job.average.swapped() if job.average is not None else nullcontext():
            result = validation.evaluate(eval_fn, validation_data(), job.splits["validation"])
        l2 = float(losses.regularisation(decayed, job.recipe.weight_decay, optimizers.l1_in_loss(job.recipe)))
        row = {"step": state.step, "epoch": state.step // job.steps_per_epoch, "split": "validation"}
        row |= {"learning_rate": rate, "data_loss": result.loss, "l2_loss": l2, "loss": result.loss + l2}
        row |= {"top1": result.top1, "top5": result.top5}
        news = job.schedule.observe(result.top1)
        better = (result.top1, -result.loss) > (state.best_top1, -state.best_loss)  # a small split has many ties
        if better:
            state.best_top1, state.best_loss, state.best_step = result.top1, result.loss, state.step
        state.finished = job.schedule.exhausted or state.step >= job.total_steps
        if report:
            report.validation(row, result.line("validation"), better, news)

    decayed = losses.decayed_variables(job.model, job.recipe.decay_biases_and_norms)
    any_worker = distribution.make_any(job.devices)
    with _polite_signals() as signals:
        while not state.finished and not any_worker(signals):
            if job.schedule.rate(state.step) != rate:
                rate = job.schedule.rate(state.step)
                job.optimizer.learning_rate.assign(rate)
            with profiler.step(state.step + 1):
                asked = time.perf_counter()
                with read_errors.named(job.splits["train"]):
                    images, labels = next(batches)
                waited = time.perf_counter() - asked
                interval.add(step_fn(images, labels))
            if report and state.step == 0:
                report.inputs(images)
            state.step += 1
            if profiler.last(state.step):
                interval.collect(rate)  # a device may still be at it
                profiler.stop()
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
                        f"expecting {log_writers.duration(seconds_left())} for {steps} steps, and validation"
                    )
            if ends or state.step % job.log_every == 0:
                row = interval.collect(rate)
                if report:
                    report.interval(row, seconds_left())
                interval.close()
            if ends:
                paused = time.perf_counter()
                validate()
            cycle_ends = job.snapshots and job.schedule.cycle_end(state.step)
            if ends or cycle_ends or (job.save_every and state.step % job.save_every == 0):
                store()
                saved = state.step
            if ends:
                begun += time.perf_counter() - paused
                if report:
                    report.clock.reset()
        if state.step != saved:
            store()
    profiler.stop()
    if report:
        report.board.close()
        if not state.finished:
            print(f"stopped at step {state.step} of {job.total_steps}, saved; go on with: {job.resume_command}")
    return state
