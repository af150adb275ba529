"""`--mode train`: a run from its start, or from where it stopped, to the test of its best checkpoint."""

import dataclasses
import shlex
import sys
import time
from typing import Any

from cli import budget, config_file, flags, length, plan, range_test, run_directory, run_report, setup
from cli import test as testing
from cli import trained as trained_networks
from cli.plan import Plan
from cli.trained import Trained
from common import distribution
from common import recipe as recipes
from common.input import bad_images, class_balance, device_part, pipeline, random_changes, read_errors
from common.progress import duration
from common.runs import checkpoints
from common.runs import config as runs
from common.training import ema, finetuning, loss_scaling, optimizers, schedules
from common.training import trainer as training
from common.training.run_state import Job, State, as_they_are


def run(options: flags.Options, family: str | None) -> None:
    """`--mode train`: starts a run, or goes on with the unfinished one in the run directory, and tests its best."""
    folder = setup.prepared_folder(options.dataset)
    prepared = folder is not None and not folder.exists()
    whole = plan.make(options, family)
    if options.dry_run or options.lr_range_test:
        bad = setup.bad_images_of(options, whole.data)
        job = make_job(whole, bad)
        if options.dry_run and whole.config.minutes is not None:
            job, whole = length.fit_into_time(job, whole, options.begun)
        if whole.devices.chief:
            print(heading(job, whole), flush=True)
        if options.dry_run:
            expected = dry_run(job, whole, options.ensemble or 1, whole.data.path if prepared else None)
            if whole.devices.chief:
                print(expected)
        else:
            range_test.run(job, whole)
            setup.tell(bad)
        return
    if options.ensemble is None:
        train_one(whole, options.begun)
        return
    members = [whole.member(seed) for seed in range(options.seed, options.seed + options.ensemble)]
    with run_directory.ensemble(whole.run, [member.run.name for member in members], whole.devices.chief):
        for number, member in enumerate(members):
            train_one(member, time.perf_counter() if number else options.begun)
    if whole.devices.chief:
        print(f"test all {len(members)} together: python {flags.script_name()} --mode test --restore {whole.run}")


def train_one(run: Plan, begun: float) -> None:
    """Trains a network from its start, or from where it stopped, and tests its best.

    `begun` (of time.perf_counter) is when the time of `--minutes` began.
    A finished member of an ensemble is left as it is. Exits with 128 + the signal's number where a signal stopped it.
    """
    devices, given, defaults = run.devices, run.options.given, run.architecture.defaults
    with (
        run_directory.opened(run.run, run.config, given, defaults, devices.chief) as (config, checkpoint),
        distribution.peers_named(devices),
    ):
        run = dataclasses.replace(run, config=config)
        distribution.check_shared(run.run, checkpoint.step if checkpoint else 0, devices)
        if run.options.ensemble and checkpoint is not None and length.is_finished(run, checkpoint):
            if devices.chief:
                print(length.end(run, checkpoint), flush=True)
            return
        bad = setup.bad_images_of(run.options, run.data)
        job = make_job(run, bad)
        if config.minutes is not None and config.steps is None:
            job, run = length.fit_into_time(job, run, begun)
            if devices.chief:
                runs.rewrite(run.run, run.config)
        if devices.chief:
            print(heading(job, run), flush=True)
        state = State()
        if checkpoint:
            state = training.resume(job, checkpoint)
            going_on = f"going on from step {state.step} of {job.total_steps} ({checkpoint.folder})"
            if devices.chief:
                print(length.end(run, checkpoint) if state.finished else going_on, flush=True)
        elif run.start:
            news = trained_networks.transfer(run.start, run.architecture, job.model, run.config.classes)
            if devices.chief:
                print(news, flush=True)
        if devices.chief and not state.finished:
            run_directory.keep_epochs(run.run, config)
        stopped = None if state.finished else training.fit(job, state)
        if stopped is not None:
            sys.exit(128 + stopped)
        test_the_best(job, state, run, bad)


def make_job(run: Plan, bad: "bad_images.BadImages | None" = None) -> Job:
    """Builds the network and its optimizer on the devices, and all else that stays the same through the run.

    `bad` takes down the images that cannot be decoded; without it they are an error.
    """
    config, options, devices, data = run.config, run.options, run.devices, run.data
    recipe, preprocessing = config.recipe, pipeline.Preprocessing(**config.preprocessing)
    with devices.strategy.scope():
        model = setup.build_model(run.architecture, config)
        optimizer = optimizers.make_optimizer(recipe)
        optimizer.build(model.trainable_variables)
        finetuning.set_rates(optimizer, model, recipe)
        average = ema.WeightAverage(model, recipe.ema) if recipe.ema else None
        loss_scale = loss_scaling.LossScale() if config.precision == "mixed_float16" else None
    steps_per_epoch, _ = length.steps(run)
    shares: dict[str, Any] = {"batch_size": recipe.batch_size, "worker": devices.worker, "workers": devices.workers}
    shares |= {"skip_bad_images": bad, "as_bytes": config.device_normalise == "on"}

    weights = None
    if recipe.class_weight == "balanced":
        with read_errors.named(data.splits["train"]):
            weights = class_balance.weights(class_balance.counts(data.splits["train"], data.info))

    def validation():
        return pipeline.evaluation(data.splits["validation"], preprocessing, **shares)

    return Job(
        run=run.run,
        model=model,
        optimizer=optimizer,
        average=average,
        recipe=recipe,
        auxiliary_weight=run.architecture.auxiliary_weight,
        devices=devices,
        splits=data.splits,
        training=lambda start: pipeline.training(
            data.splits["train"], preprocessing, recipe, data.info, seed=config.seed, start_step=start, **shares
        ),
        validation=validation if "validation" in data.splits else None,
        steps_per_epoch=steps_per_epoch,
        **length.timing(config, steps_per_epoch),
        identity={"arch": config.arch, "classes": len(config.classes), "optimizer": recipe.optimizer},
        mean=pipeline.mean_picture(preprocessing),
        loss_scale=loss_scale,
        class_weights=weights,
        std=preprocessing.std,
        channels=preprocessing.channels,
        log_every=options.log_every,
        save_every=options.save_every,
        keep=options.keep,
        snapshots=bool(options.snapshots),
        histograms=options.histograms,
        finish=device_part.finisher(preprocessing) if shares["as_bytes"] else as_they_are,
        log_gradients=options.log_gradients,
        jit=config.jit,
        profile=options.profile,
        resume_command="python " + shlex.join(sys.argv),
    )


def test_the_best(job: Job, state: State, run: Plan, bad: "bad_images.BadImages | None") -> None:
    """The end of a run: its best checkpoint, on all workers the one that the chief finds, on the test split.

    Without validations the last checkpoint stands for the best.
    """
    winner = checkpoints.best(job.run) if job.devices.chief else None
    step = distribution.from_chief(winner.step if winner else 0, job.devices)
    winner = winner or checkpoints.open_checkpoint(checkpoints.folder_at(job.run, step))
    checkpoints.restore_weights(winner, job.model)
    if job.devices.chief:
        if state.best_step is None:
            print(f"no validation, so the last checkpoint is tested: {winner.folder}")
        else:
            print(f"best validation top1 {state.best_top1:.4f} at step {state.best_step}, kept in {winner.folder}")
        print(f"test it again: python {flags.script_name()} --mode test --restore {job.run}")
    trained = Trained(job.run, run.config, run.architecture, lambda: winner)
    if not {"test", "validation"} & run.data.splits.keys():
        print(f"{run.data.info.name} has neither a test nor a validation split: nothing is measured")
        setup.tell(bad)
        if job.devices.chief and run.options.report:
            run_report.write(job.run, [trained])
        return
    testing.test_run(job.model, trained, run.devices, run.data, run.options, bad)


def heading(job: Job, run: Plan) -> str:
    """What is about to happen: model, data, recipe, devices, where to look."""
    config, data = run.config, run.data
    recipe, info = job.recipe, data.info
    parameters = sum(variable.shape.num_elements() for variable in job.model.trainable_variables)
    counts = ", ".join(f"{split.examples:,} {name}" for name, split in data.splits.items())
    scaled = ""
    if recipe.learning_rate_batch not in (0, recipe.batch_size):
        original = recipe.learning_rate * recipe.learning_rate_batch / recipe.batch_size
        scaled = f", {original:g} at batch {recipe.learning_rate_batch}"
    suggested = ", ".join(f"{name} {value}" for name, value in info.suggested.items())
    initial, of_head = recipe.initializer, recipe.classifier_initializer
    initial += f", classifier {of_head}" if of_head not in (None, initial) else ""
    decoupled = f", decoupled {recipe.decoupled_weight_decay:g}" if recipe.decoupled_weight_decay else ""
    named = "" if config.recipe_name == "lab" else f"{config.recipe_name}: "
    lines = {
        "model": f"{config.arch}, {parameters:,} parameters{' to train' if recipe.freeze else ''}",
        "data": f"{info.name}, {len(info.classes)} classes: {counts}{suggested and f'; suggests {suggested}'}",
        "input": f"{config.image_size}x{config.image_size}, crop {recipe.crop}, mean {recipe.mean}"
        + ("" if recipe.flip and info.flip else ", no flip"),
        "augment": random_changes.in_force(recipe, info),
        "recipe": f"{named}{recipe.optimizer}, learning rate {recipe.learning_rate:g} ({recipe.schedule}{scaled}), "
        f"batch {recipe.batch_size}, {length.text(job, config)}, weight decay "
        f"{recipe.weight_decay:g}{decoupled}, {initial}",
        "training": finetuning.rates(job.model, recipe),
        "devices": f"{job.devices.text}, {precision(run)}{', XLA' if config.jit else ''}"
        + (", normalising bytes" if config.device_normalise == "on" else ""),
        "run": job.run,
        "watch": f"tensorboard --logdir {job.run}",
    }
    notes = [*data.notes, *optimizers.cautions(recipe), *idle(run)]
    if job.validation is None:
        notes.append("note: no validation, so no best checkpoint is chosen; the last one is tested")
    obstacle = device_part.obstacle(recipe, pipeline.Preprocessing(**config.preprocessing))
    if obstacle and distribution.normalises(run.options.device_normalise):
        notes.append(f"note: pictures are normalised before they go to the device: {obstacle}")
    if config.minutes is None or config.steps is not None:  # else its length is not known yet
        notes += schedules.remarks(job.schedule.recipe, job.steps_per_epoch, job.total_steps)
    return "\n".join([*(f"{name.ljust(8)} {value}" for name, value in lines.items() if value), *notes])


def idle(run: Plan) -> list[str]:
    """A line for each flag on the command line that changes nothing."""
    recipe, info, typed = run.config.recipe, run.data.info, run.options.typed
    flips = [name for name in ("flip", "vertical_flip") if name in typed and getattr(recipe, name) and not info.flip]
    forbidden = [f"note: --{name} is left out: mirror images are forbidden in {info.name}" for name in flips]
    return forbidden + recipes.idle(recipe, typed)


def precision(run: Plan) -> str:
    """The precision, and why it is that one where nobody named it."""
    policy = run.config.precision
    if run.options.precision != "auto" or policy != distribution.resolve_precision():
        return policy
    units = distribution.bfloat16_units()
    return f"{policy} (auto: {f'{units} is faster in it' if units else 'nothing here is faster in bfloat16'})"


def dry_run(job: Job, run: Plan, count: int, prepared: str | None) -> str:
    """`--dry_run`: everything that was resolved, as a file for `--config`, and the time that `count` runs would take.

    The time comes from three real steps. `prepared` is the data set that had to be prepared for it, if any.
    """
    seconds, _ = budget.seconds_per_step(job)
    steps, each = job.total_steps, duration(seconds * job.total_steps)
    several = f"{duration(count * seconds * steps)} for {count} runs: " if count > 1 else ""
    written = f"nothing was written but the data set, {prepared}" if prepared else "nothing was written"
    values = config_file.of_command(dataclasses.asdict(run.config), run.options.values, run.options.given)
    begin, end = config_file.DRY_RUN
    return (
        f"{begin}{config_file.text(values)}{end}{several}{each} for {steps} steps "
        f"({job.recipe.batch_size / seconds:.1f} images/s){', and validation' if job.validation else ''}; {written}"
    )
