"""The program behind every network's script: flags in, a mode run, one line out.

python train.py --arch resnet50 --mode train --dataset PATH
python resnet34.py --mode test --restore ckpt/
"""

import dataclasses
import json
import os
import random
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import flags
import networks
from common import checkpoints, distribution, evaluation, optimizers, pipeline, records, runs, schedules, sources
from common import summary as summaries
from common import trainer
from common.architecture import Architecture
from common.errors import UserError
from common.recipe import Recipe

DATASETS = Path("datasets")
FALLBACK_EPOCHS = 90


def main(family: str | None = None, arguments: list[str] | None = None) -> None:
    """Runs the command line and exits: 0, or the exit code of a user's mistake, which is said in one line."""
    arguments = sys.argv[1:] if arguments is None else arguments
    script = flags.script_name()
    if flags.wants_help(arguments):
        print(flags.help_text(script, family))
        sys.exit(0)
    try:
        options = flags.parse(arguments)
        if options.mode is None:
            raise UserError(f"give --mode: {', '.join(flags.MODES)}; for example: python {script} --mode train")
        start_tensorflow()
        {"train": train, "test": test, "summary": summary}[options.mode](options, family)
    except UserError as error:
        print(f"{script}: {error}", file=sys.stderr)
        sys.exit(error.exit_code)


def start_tensorflow() -> None:
    """Imports TensorFlow without what its C++ part says before its log level counts (no GPU, and the like)."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
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


def choose_architecture(options: flags.Options, family: str | None, arch: str | None = None) -> Architecture:
    """The network that `--arch` (or a run's config.json) names; the script's own where neither does.

    Raises UserError where it is not of the script's family.
    """
    name = options.arch or arch or family
    if name is None:
        raise UserError(f"give --arch: {', '.join(networks.ARCHITECTURES)}")
    architecture = networks.find(name)
    if family and architecture.family != family:
        members = ", ".join(member.name for member in networks.FAMILIES[family])
        raise UserError(f"--arch={name} is not in {family}.py, which has {members}; use {architecture.family}.py")
    return architecture


def build_options(options: flags.Options, architecture: Architecture) -> dict[str, Any]:
    """The network's own options, as flags give them. Raises UserError for an option the network does not have."""
    for flag in ("shortcut", "stride_in"):
        if flag in options.given and flag not in architecture.options:
            raise UserError(f"--{flag}: {architecture.name} has no such option")
    return {
        name: options.values[name] if name in options.given else default
        for name, default in architecture.options.items()
    }


def open_data(dataset: str, seed: int) -> "sources.Dataset":
    """Opens what `--dataset` names; prepares `digits` and `tfds:NAME` under datasets/ the first time."""
    if dataset == "digits":
        from data import digits

        folder = DATASETS / "digits"
        digits.prepare(folder)
        return sources.open_dataset(str(folder), seed)
    if dataset.startswith("tfds:"):
        from data import tfds

        folder = DATASETS / dataset.replace(":", "_").replace("/", "_")
        tfds.prepare(dataset, folder)
        return sources.open_dataset(str(folder), seed)
    return sources.open_dataset(dataset, seed)


def resolve(recipe: Recipe, architecture: Architecture, info: "records.DatasetInfo", given: frozenset[str]) -> Recipe:
    """Fills in what the recipe leaves to the data set and the network, so that nothing in it is open."""
    epochs = recipe.epochs if "epochs" in given else info.epochs or recipe.epochs or FALLBACK_EPOCHS
    return dataclasses.replace(recipe, epochs=epochs)


def build_model(architecture: Architecture, config: "runs.RunConfig") -> Any:
    """The network of a configuration, as it is trained. Call it inside the strategy's scope."""
    random.seed(config.seed)  # where Keras draws its initializers' and dropout's seeds from
    arguments = dict(config.options)
    if config.recipe.dropout is not None:
        arguments["dropout"] = config.recipe.dropout
    if architecture.auxiliary_weight:
        arguments["auxiliary"] = True
    with distribution.precision(config.precision):
        return architecture.build(
            classes=len(config.classes),
            image_size=config.image_size,
            initializer=config.recipe.initializer,
            **arguments,
        )


def describe(pairs: dict[str, Any]) -> str:
    """Lines of `name   value`, aligned."""
    width = max(map(len, pairs))
    return "\n".join(f"{name.ljust(width)}  {value}" for name, value in pairs.items())


def recipe_table(recipe: Recipe) -> str:
    """The resolved recipe as a Markdown table."""
    rows = [f"| {name} | {value} |" for name, value in dataclasses.asdict(recipe).items()]
    return "\n".join(["| field | value |", "| --- | --- |", *rows])


@dataclass(frozen=True)
class Tested:
    """A finished test: its metrics and where the weights came from."""

    metrics: "evaluation.Metrics"
    split: str
    checkpoint: str

    def report(self, run: Path) -> str:
        """Writes results.json into the run directory and returns the line to print last."""
        values = {"split": self.split, "checkpoint": self.checkpoint} | dataclasses.asdict(self.metrics)
        checkpoints.write_json(run / runs.RESULTS_FILE, values)
        return self.metrics.line(self.split)


def test_split(data: "sources.Dataset", wanted: str) -> str:
    """The split to measure; validation stands in for a test split that the data set does not have."""
    if wanted in data.splits:
        return wanted
    if wanted == "test" and "validation" in data.splits:
        return "validation"
    raise UserError(f"--split={wanted}: {data.info.name} has {', '.join(data.splits)}")


def measure(model, devices, config: "runs.RunConfig", data: "sources.Dataset", wanted: str, checkpoint: Path) -> Tested:
    """Tests `model` on a split with the preprocessing of its configuration."""
    name = test_split(data, wanted)
    batches = pipeline.evaluation(
        data.splits[name],
        pipeline.Preprocessing(**config.preprocessing),
        batch_size=config.recipe.batch_size,
        worker=devices.worker,
        workers=devices.workers,
    )
    step = evaluation.make_eval_step(model, devices)
    metrics = evaluation.evaluate(step, distribution.distribute(batches, devices))
    return Tested(metrics, name, str(checkpoint))


def train(options: flags.Options, family: str | None) -> None:
    """`--mode train`: starts a run, or goes on with the unfinished one in the run directory, and tests its best."""
    architecture = choose_architecture(options, family)
    devices = distribution.choose(options.strategy, options.virtual_devices)
    data = open_data(options.dataset, options.seed)
    info = data.info
    recipe = resolve(flags.recipe(options, architecture), architecture, info, options.given)
    distribution.check_batch(recipe.batch_size, devices)
    image_size = options.image_size or architecture.image_size
    preprocessing = pipeline.preprocessing(recipe, info, image_size, data.path)
    config = runs.RunConfig(
        arch=architecture.name,
        options=build_options(options, architecture),
        classes=info.classes,
        image_size=image_size,
        preprocessing=dataclasses.asdict(preprocessing),
        recipe=recipe,
        dataset=options.dataset
        if ":" in options.dataset or options.dataset == "digits"
        else os.path.abspath(options.dataset),
        seed=options.seed,
        precision=distribution.resolve_precision(options.precision),
    )
    steps_per_epoch = data.splits["train"].examples // recipe.batch_size
    if not steps_per_epoch:
        raise UserError(
            f"--batch_size={recipe.batch_size} is more than the {data.splits['train'].examples} training images"
        )

    run = Path(options.ckpt or f"ckpt/{architecture.name}")
    checkpoint = prepare_run(run, config)
    with devices.strategy.scope():
        model = build_model(architecture, config)
        optimizer = optimizers.make_optimizer(recipe)
        optimizer.build(model.trainable_variables)
        average = optimizers.WeightAverage(model, recipe.ema) if recipe.ema else None
    job = trainer.Job(
        run=run,
        model=model,
        optimizer=optimizer,
        average=average,
        schedule=schedules.make_schedule(recipe, steps_per_epoch, steps_per_epoch * recipe.epochs),
        recipe=recipe,
        auxiliary_weight=architecture.auxiliary_weight,
        devices=devices,
        training=lambda start: pipeline.training(
            data.splits["train"],
            preprocessing,
            recipe,
            info,
            batch_size=recipe.batch_size,
            seed=options.seed,
            start_step=start,
            worker=devices.worker,
            workers=devices.workers,
        ),
        validation=lambda: pipeline.evaluation(
            data.splits["validation"],
            preprocessing,
            batch_size=recipe.batch_size,
            worker=devices.worker,
            workers=devices.workers,
        ),
        steps_per_epoch=steps_per_epoch,
        identity={"arch": architecture.name, "classes": len(info.classes), "optimizer": recipe.optimizer},
        mean=pipeline.mean_picture(preprocessing),
        log_every=options.log_every,
        save_every=options.save_every,
        keep=options.keep,
        resume_command="python " + shlex.join(sys.argv),
    )
    if devices.chief:
        print(
            describe(
                {
                    "model": f"{architecture.name}, {sum(v.shape.num_elements() for v in model.trainable_variables):,} parameters",
                    "data": f"{info.name}, {len(info.classes)} classes: "
                    + ", ".join(f"{split.examples:,} {name}" for name, split in data.splits.items()),
                    "input": f"{image_size}x{image_size}, crop {recipe.crop}, mean {recipe.mean}"
                    + ("" if recipe.flip and info.flip else ", no flip"),
                    "recipe": f"{recipe.optimizer}, learning rate {recipe.learning_rate:g} ({recipe.schedule}), batch "
                    f"{recipe.batch_size}, {recipe.epochs} epochs of {steps_per_epoch} steps, weight decay "
                    f"{recipe.weight_decay:g}, {recipe.initializer}",
                    "devices": f"{devices.text}, {config.precision}",
                    "run": run,
                    "watch": f"tensorboard --logdir {run}",
                }
            ),
            flush=True,
        )
    state = trainer.State()
    if checkpoint:
        state = trainer.resume(job, checkpoint)
        if not state.finished:
            print(f"going on from step {state.step} of {job.total_steps} ({checkpoint.folder})", flush=True)
    elif options.restore:
        start_from(options, architecture, model)
    if not state.finished:
        state = trainer.fit(job, state, recipe_table(recipe))
    if not state.finished:
        return
    winner = checkpoints.best(run)
    checkpoints.restore_weights(winner, model)
    tested = measure(model, devices, config, data, "test", winner.folder)
    if devices.chief:
        print(f"best validation top1 {state.best_top1:.4f} at step {state.best_step}, kept in {winner.folder}")
        print(f"test it again: python {flags.script_name()} --mode test --restore {run}")
        print(tested.report(run))


def prepare_run(run: Path, config: "runs.RunConfig") -> "checkpoints.Checkpoint | None":
    """Makes the run directory, or finds the checkpoint to go on from. Refuses a directory of another run."""
    try:
        if (run / checkpoints.CONFIG_FILE).exists():
            different = runs.differences(runs.read(run), config)
            if different:
                raise UserError(
                    f"{run} holds a run of other settings ({'; '.join(different)}); name another with --ckpt"
                )
            return checkpoints.newest(run)
        if run.exists() and any(run.iterdir()):
            raise UserError(f"--ckpt={run} is not empty and holds no run; name another directory")
        run.mkdir(parents=True, exist_ok=True)
        runs.write(run, config)
    except OSError as error:
        raise UserError(f"--ckpt={run}: {error.strerror}", 1) from error
    return None


def load_run(
    path: str, options: flags.Options, family: str | None
) -> tuple[Path, "runs.RunConfig", "checkpoints.Checkpoint"]:
    """What `--restore` names: the run directory, its configuration and the checkpoint to load."""
    members = tuple(member.name for member in networks.FAMILIES[family]) if family else tuple(networks.ARCHITECTURES)
    run, folder = runs.find(path, options.arch or family, members)
    checkpoint = checkpoints.open_checkpoint(folder) if folder else checkpoints.best(run)
    if checkpoint is None:
        raise UserError(f"--restore={path}: {run} holds no checkpoint yet; let it train for an epoch first")
    return run, runs.read(run), checkpoint


def start_from(options: flags.Options, architecture: Architecture, model) -> None:
    """`--mode train --restore`: takes over another run's weights, layer by layer; says which layers start afresh.

    Of the same network every layer whose shapes agree is taken (so the classifier starts afresh where the classes
    differ); of another one, the layers this network inherits, if it does.
    """
    run, config, checkpoint = load_run(options.restore, options, None)
    layers = None
    if config.arch != architecture.name:
        if not architecture.inherits:
            raise UserError(
                f"--restore={options.restore}: holds {config.arch}, which {architecture.name} cannot start from"
            )
        layers = architecture.inherits
    taken, left = checkpoints.transfer(checkpoint, model.variables, layers)
    if not taken:
        raise UserError(f"--restore={checkpoint.folder}: no layer of {config.arch} fits {architecture.name}")
    print(
        f"starting from {checkpoint.folder}: {len(taken)} variables taken; new: {', '.join(left) or 'none'}", flush=True
    )


def test(options: flags.Options, family: str | None) -> None:
    """`--mode test`: measures a run's best checkpoint, or the one named, on a split."""
    if not options.restore:
        raise UserError("--mode=test needs --restore: a run directory, a folder that holds one, or a checkpoint")
    run, config, checkpoint = load_run(options.restore, options, family)
    architecture = choose_architecture(options, family, config.arch)
    if architecture.name != config.arch:
        raise UserError(f"--arch={architecture.name}, but {run} holds {config.arch}")
    devices = distribution.choose(options.strategy, options.virtual_devices)
    data = open_data(options.dataset if "dataset" in options.given else config.dataset, config.seed)
    if data.info.classes != config.classes:
        raise UserError(f"--dataset={data.path}: its classes are not those that {run} was trained on")
    with devices.strategy.scope():
        model = build_model(architecture, config)
        checkpoints.restore_weights(checkpoint, model)
    print(measure(model, devices, config, data, options.split, checkpoint.folder).report(run))


def summary(options: flags.Options, family: str | None) -> None:
    """`--mode summary`: the per-layer table."""
    architecture = choose_architecture(options, family)
    table = summaries.summarise(
        architecture, 1000, options.image_size or architecture.image_size, **build_options(options, architecture)
    )
    if options.summary_format == "json":
        print(json.dumps(summaries.to_json(table), indent=1))
    else:
        print({"csv": summaries.to_csv, "text": summaries.to_text}[options.summary_format](table))


if __name__ == "__main__":
    main()
