"""The program behind every network's script: flags in, a mode run, one line out.

python train.py --arch resnet50 --mode train --dataset PATH
python resnet34.py --mode test --restore ckpt/
"""

import dataclasses
import json
import os
import shlex
import sys
from pathlib import Path
from typing import Any

import assembly
import exporting
import flag_tables
import flags
import networks
import predicting
import testing
from common import (
    averages,
    checkpoints,
    distribution,
    finetuning,
    machine,
    monitor,
    optimizers,
    pipeline,
    runs,
    schedules,
    sources,
)
from common import summary as summaries
from common import trainer as training
from common.architecture import Architecture
from common.errors import UserError
from common.job import Job, State
from common.recipe import Recipe


def main(family: str | None = None, arguments: list[str] | None = None) -> None:
    """Runs the command line and exits: 0, or the exit code of a user's mistake, which is said in one line."""
    arguments = sys.argv[1:] if arguments is None else arguments
    script = flags.script_name()
    try:
        if flags.wants_help(arguments):
            print(flags.help_text(script, family), flush=True)
            sys.exit(0)
        options = flags.parse(arguments)
        if options.mode is None:
            raise UserError(f"give --mode: {', '.join(flag_tables.MODES)}; for example: python {script} --mode train")
        start_tensorflow()
        modes = {
            "train": train,
            "test": testing.test,
            "predict": predicting.predict,
            "features": exporting.features,
            "export": exporting.export,
            "summary": summary,
        }
        modes[options.mode](options, family)
        sys.stdout.flush()
    except UserError as error:
        print(f"{script}: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except BrokenPipeError:  # what stands behind the pipe, say head, has read enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)


def start_tensorflow() -> None:
    """Imports TensorFlow without what its C++ part says before its log level counts (no GPU, and the like).

    oneDNN's kernels are on, which TensorFlow leaves off on x86 processors without AVX-512 VNNI or AMX; they are faster
    there too (docs/speed.md). TF_ENABLE_ONEDNN_OPTS=0 in the environment turns them off. Freed memory is kept.
    """
    machine.keep_freed_memory()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
    sys.stderr.flush()
    kept, silent = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(silent, 2)
    try:
        import tensorflow as tf

        tf.config.list_physical_devices()
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(silent)


def train(options: flags.Options, family: str | None) -> None:
    """`--mode train`: starts a run, or goes on with the unfinished one in the run directory, and tests its best."""
    architecture = assembly.choose_architecture(options, family)
    devices = distribution.choose(options.strategy, options.virtual_devices)
    data = assembly.open_data(options.dataset, options.seed)
    config = assembly.configure(options, architecture, data, options.seed)
    distribution.check_batch(config.recipe.batch_size, devices)
    if options.jit and devices.replicas > 1:
        raise UserError(f"--jit compiles the step of one device, not of {devices.replicas} replicas")
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
    assembly.ensemble_directory(run, [folder.name for folder, _ in members], devices.chief)
    for folder, seed in members:
        config = assembly.configure(options, architecture, data, seed)
        if not train_one(folder, options, architecture, devices, data, config):
            return
    if devices.chief:
        print(f"test all {len(members)} together: python {flags.script_name()} --mode test --restore {run}")


def train_one(
    run: Path,
    options: flags.Options,
    architecture: Architecture,
    devices: "distribution.Devices",
    data: "sources.Dataset",
    config: "runs.RunConfig",
) -> bool:
    """Trains the network of `config` in `run`, from its start or from where it stopped, and tests its best.

    Returns whether it was trained to its end. A finished member of an ensemble is left as it is.
    """
    with assembly.run_directory(run, config, devices.chief) as checkpoint, distribution.peers_named(devices):
        distribution.check_shared(run, checkpoint.step if checkpoint else 0, devices)
        if options.ensemble and checkpoint and checkpoint.state["finished"] and (run / runs.RESULTS_FILE).exists():
            if devices.chief:
                print(f"{run} is finished", flush=True)
            return True
        job = make_job(run, options, architecture, devices, data, config)
        if devices.chief:
            print(heading(job, config, data), flush=True)
        state = State()
        if checkpoint:
            state = training.resume(job, checkpoint)
            if devices.chief and not state.finished:
                print(f"going on from step {state.step} of {job.total_steps} ({checkpoint.folder})", flush=True)
        elif options.restore:
            said = assembly.start_from(options, architecture, job.model)
            if devices.chief:
                print(said, flush=True)
        if not state.finished:
            state = training.fit(job, state, recipe_table(job.recipe))
        if state.finished:
            test_the_best(job, state, config, data)
        return state.finished


def make_job(
    run: Path,
    options: flags.Options,
    architecture: Architecture,
    devices: "distribution.Devices",
    data: "sources.Dataset",
    config: "runs.RunConfig",
) -> Job:
    """Builds the network and its optimizer on the devices, and all else that stays the same through the run."""
    recipe, preprocessing = config.recipe, pipeline.Preprocessing(**config.preprocessing)
    with devices.strategy.scope():
        model = assembly.build_model(architecture, config)
        optimizer = optimizers.make_optimizer(recipe)
        optimizer.build(model.trainable_variables)
        finetuning.set_rates(optimizer, model, recipe)
        average = averages.WeightAverage(model, recipe.ema) if recipe.ema else None
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
        std=preprocessing.std,
        channels=preprocessing.channels,
        log_every=options.log_every,
        save_every=options.save_every,
        keep=options.keep,
        snapshots=bool(options.snapshots),
        jit=config.jit,
        profile=options.profile,
        resume_command="python " + shlex.join(sys.argv),
    )


def test_the_best(job: Job, state: State, config: "runs.RunConfig", data: "sources.Dataset") -> None:
    """The end of a run: its best checkpoint measured on the test split."""
    winner = checkpoints.best(job.run)
    checkpoints.restore_weights(winner, job.model)
    if job.devices.chief:
        print(f"best validation top1 {state.best_top1:.4f} at step {state.best_step}, kept in {winner.folder}")
        print(f"test it again: python {flags.script_name()} --mode test --restore {job.run}")
    trained = testing.Trained(job.run, config, winner, networks.find(config.arch))
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
        "devices": f"{job.devices.text}, {config.precision}{', XLA' if config.jit else ''}",
        "run": job.run,
        "watch": f"tensorboard --logdir {job.run}",
    }
    notes = [*data.notes, *filter(None, [optimizers.caution(recipe)])]
    return "\n".join([*(f"{name.ljust(8)} {value}" for name, value in lines.items()), *notes])


def dry_run(job: Job) -> str:
    """`--dry_run`: every field of the recipe, and the time the run would take, from three real steps."""
    fields = dataclasses.asdict(job.recipe).items()
    seconds = training.seconds_per_step(job)
    return "\n".join(
        [
            *(f"  {name.ljust(24)} {value}" for name, value in fields),
            f"expecting {monitor.duration(seconds * job.total_steps)} for {job.total_steps} steps "
            f"({job.recipe.batch_size / seconds:.1f} images/s), and validation; nothing was written",
        ]
    )


def recipe_table(recipe: Recipe) -> str:
    """The resolved recipe as a Markdown table."""
    rows = [f"| {name} | {value} |" for name, value in dataclasses.asdict(recipe).items()]
    return "\n".join(["| field | value |", "| --- | --- |", *rows])


def summary(options: flags.Options, family: str | None) -> None:
    """`--mode summary`: the per-layer table."""
    architecture = assembly.choose_architecture(options, family)
    table = summaries.summarise(
        architecture,
        options.classes,
        options.image_size or architecture.image_size,
        **assembly.build_options(options, architecture),
    )
    if options.summary_format == "json":
        print(json.dumps(summaries.to_json(table), indent=1))
    else:
        print({"csv": summaries.to_csv, "text": summaries.to_text}[options.summary_format](table))


if __name__ == "__main__":
    main()
