"""`--mode train`: a run from its start, or from where it stopped, to the test of its best checkpoint."""

import dataclasses
import shlex
import sys
from pathlib import Path
from typing import Any

from cli import flags, registry, setup
from cli import test as testing
from cli.trained import Trained
from common import distribution
from common.architecture import Architecture
from common.errors import UserError
from common.input import datasets, pipeline
from common.progress import duration
from common.runs import checkpoints
from common.runs import config as runs
from common.training import ema, finetuning, loss_scaling, optimizers, schedules
from common.training import trainer as training
from common.training.run_state import Job, State


def run(options: flags.Options, family: str | None) -> None:
    """`--mode train`: starts a run, or goes on with the unfinished one in the run directory, and tests its best."""
    architecture = setup.choose_architecture(options, family)
    devices = distribution.choose(options.strategy, options.virtual_devices)
    data = setup.open_data(options.dataset, options.seed)
    config = setup.configure(options, architecture, data, options.seed)
    distribution.check_batch(config.recipe.batch_size, devices)
    if options.jit and devices.replicas > 1:
        raise UserError(f"--jit compiles the step of one device, not of {devices.replicas} replicas")
    if options.jit and config.options.get("stochastic_depth", 1.0) < 1.0:
        raise UserError(
            "--jit: XLA has no batches without images, which --stochastic_depth makes; leave one of them out"
        )
    if config.recipe.batch_size > data.splits["train"].examples:
        raise UserError(
            f"--batch_size={config.recipe.batch_size} is more than the {data.splits['train'].examples} training images"
        )
    if options.snapshots and config.recipe.schedule not in ("sgdr", "cyclical"):
        raise UserError(f"--snapshots: --schedule={config.recipe.schedule} has no cycles; use sgdr or cyclical")
    run = Path(options.ckpt or f"ckpt/{architecture.name}")
    if options.dry_run:
        job = make_job(run, options, architecture, devices, data, config)
        print(heading(job, config, data), flush=True)
        print(dry_run(job))
        return
    if options.ensemble is None:
        train_one(run, options, architecture, devices, data, config)
        return
    members = [(run / f"seed-{seed}", seed) for seed in range(options.seed, options.seed + options.ensemble)]
    setup.ensemble_directory(run, [folder.name for folder, _ in members], devices.chief)
    for folder, seed in members:
        config = setup.configure(options, architecture, data, seed)
        train_one(folder, options, architecture, devices, data, config)
    if devices.chief:
        print(f"test all {len(members)} together: python {flags.script_name()} --mode test --restore {run}")


def train_one(
    run: Path,
    options: flags.Options,
    architecture: Architecture,
    devices: "distribution.Devices",
    data: "datasets.Dataset",
    config: "runs.RunConfig",
) -> None:
    """Trains the network of `config` in `run`, from its start or from where it stopped, and tests its best.

    A finished member of an ensemble is left as it is. Exits with 128 + the signal's number where a signal stopped it.
    """
    with setup.run_directory(run, config, devices.chief) as checkpoint, distribution.peers_named(devices):
        distribution.check_shared(run, checkpoint.step if checkpoint else 0, devices)
        if options.ensemble and checkpoint and checkpoint.state["finished"] and (run / runs.RESULTS_FILE).exists():
            if devices.chief:
                print(f"{run} is finished", flush=True)
            return
        job = make_job(run, options, architecture, devices, data, config)
        if devices.chief:
            print(heading(job, config, data), flush=True)
        state = State()
        if checkpoint:
            state = training.resume(job, checkpoint)
            if devices.chief and not state.finished:
                print(f"going on from step {state.step} of {job.total_steps} ({checkpoint.folder})", flush=True)
        elif options.restore:
            said = setup.start_from(options, architecture, job.model)
            if devices.chief:
                print(said, flush=True)
        stopped = None if state.finished else training.fit(job, state)
        if stopped is not None:
            sys.exit(128 + stopped)
        test_the_best(job, state, config, data)


def make_job(
    run: Path,
    options: flags.Options,
    architecture: Architecture,
    devices: "distribution.Devices",
    data: "datasets.Dataset",
    config: "runs.RunConfig",
) -> Job:
    """Builds the network and its optimizer on the devices, and all else that stays the same through the run."""
    recipe, preprocessing = config.recipe, pipeline.Preprocessing(**config.preprocessing)
    with devices.strategy.scope():
        model = setup.build_model(architecture, config)
        optimizer = optimizers.make_optimizer(recipe)
        optimizer.build(model.trainable_variables)
        finetuning.set_rates(optimizer, model, recipe)
        average = ema.WeightAverage(model, recipe.ema) if recipe.ema else None
        loss_scale = loss_scaling.LossScale() if config.precision == "mixed_float16" else None
    steps_per_epoch = data.splits["train"].examples // recipe.batch_size
    shares = {"batch_size": recipe.batch_size, "worker": devices.worker, "workers": devices.workers}
    return Job(
        run=run,
        model=model,
        optimizer=optimizer,
        average=average,
        schedule=schedules.make_schedule(recipe, steps_per_epoch, steps_per_epoch * recipe.epochs),
        recipe=recipe,
        auxiliary_weight=architecture.auxiliary_weight,
        devices=devices,
        splits=data.splits,
        training=lambda start: pipeline.training(
            data.splits["train"], preprocessing, recipe, data.info, seed=config.seed, start_step=start, **shares
        ),
        validation=lambda: pipeline.evaluation(data.splits["validation"], preprocessing, **shares),
        steps_per_epoch=steps_per_epoch,
        identity={"arch": architecture.name, "classes": len(config.classes), "optimizer": recipe.optimizer},
        mean=pipeline.mean_picture(preprocessing),
        loss_scale=loss_scale,
        std=preprocessing.std,
        channels=preprocessing.channels,
        log_every=options.log_every,
        save_every=options.save_every,
        keep=options.keep,
        snapshots=bool(options.snapshots),
        histograms=options.histograms,
        jit=config.jit,
        profile=options.profile,
        resume_command="python " + shlex.join(sys.argv),
    )


def test_the_best(job: Job, state: State, config: "runs.RunConfig", data: "datasets.Dataset") -> None:
    """The end of a run: its best checkpoint, on all workers the one that the chief finds, on the test split."""
    winner = checkpoints.best(job.run) if job.devices.chief else None
    step = distribution.from_chief(winner.step if winner else 0, job.devices)
    winner = winner or checkpoints.open_checkpoint(checkpoints.folder_at(job.run, step))
    checkpoints.restore_weights(winner, job.model)
    if job.devices.chief:
        print(f"best validation top1 {state.best_top1:.4f} at step {state.best_step}, kept in {winner.folder}")
        print(f"test it again: python {flags.script_name()} --mode test --restore {job.run}")
    trained = Trained(job.run, config, winner, registry.find(config.arch))
    testing.test_run(job.model, trained, job.devices, data)


def heading(job: Job, config: "runs.RunConfig", data: Any) -> str:
    """What is about to happen: model, data, recipe, devices, where to look."""
    recipe, info = job.recipe, data.info
    parameters = sum(variable.shape.num_elements() for variable in job.model.trainable_variables)
    counts = ", ".join(f"{split.examples:,} {name}" for name, split in data.splits.items())
    scaled = ""
    if recipe.learning_rate_batch not in (0, recipe.batch_size):
        original = recipe.learning_rate * recipe.learning_rate_batch / recipe.batch_size
        scaled = f", {original:g} at batch {recipe.learning_rate_batch}"
    suggested = ", ".join(f"{name} {value}" for name, value in info.suggested.items())
    lines = {
        "model": f"{config.arch}, {parameters:,} parameters{' to train' if recipe.freeze else ''}",
        "data": f"{info.name}, {len(info.classes)} classes: {counts}{suggested and f'; suggests {suggested}'}",
        "input": f"{config.image_size}x{config.image_size}, crop {recipe.crop}, mean {recipe.mean}"
        + ("" if recipe.flip and info.flip else ", no flip"),
        "recipe": f"{recipe.optimizer}, learning rate {recipe.learning_rate:g} ({recipe.schedule}{scaled}), batch "
        f"{recipe.batch_size}, {recipe.epochs} epochs of {job.steps_per_epoch} steps, weight decay "
        f"{recipe.weight_decay:g}, {recipe.initializer}",
        "training": finetuning.rates(job.model, recipe),
        "devices": f"{job.devices.text}, {config.precision}{', XLA' if config.jit else ''}",
        "run": job.run,
        "watch": f"tensorboard --logdir {job.run}",
    }
    notes = [*data.notes, *filter(None, [optimizers.caution(recipe)])]
    notes += schedules.remarks(recipe, job.steps_per_epoch)
    return "\n".join([*(f"{name.ljust(8)} {value}" for name, value in lines.items() if value), *notes])


def dry_run(job: Job) -> str:
    """`--dry_run`: every field of the recipe, and the time the run would take, from three real steps."""
    fields = dataclasses.asdict(job.recipe).items()
    seconds = training.seconds_per_step(job)
    return "\n".join(
        [
            *(f"  {name.ljust(24)} {value}" for name, value in fields),
            f"expecting {duration(seconds * job.total_steps)} for {job.total_steps} steps "
            f"({job.recipe.batch_size / seconds:.1f} images/s), and validation; nothing was written",
        ]
    )
