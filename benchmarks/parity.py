"""The same network trained by the same recipe here and in PyTorch: accuracy after each epoch, over several seeds.

    python benchmarks/parity.py --arch resnet20 --dataset datasets/cifar10 --epochs 8 --drops 1600,2300
    python benchmarks/parity.py --arch alexnet --dataset digits --epochs 6 --drops 80 --seeds 0,1,2

Here is the program's own training through its own pipeline. PyTorch is benchmarks/parity_torch.py, which shares the
decoded pictures and the rate of each step, nothing else. Both are measured on the test split after each epoch, with no
say in the training. The rate is multiplied by 0.1 at each of --drops, or stays. The other flags of `--mode train` that
concern the recipe apply to both sides, as in `--learning_rate 0.05 --classifier_initializer gaussian`.

Each finished epoch of each run is a row of parity.csv in --out. The same command goes on where it was stopped, and
takes further seeds and contenders. A folder of one run also gets results.json, with its last figures and its curves, as
experiments/run.py reads it. The table has mean +- standard deviation over the seeds in points of top-1, and for
the last epoch the difference to PyTorch in standard errors: within 2, chance explains it.
"""

import argparse
import contextlib
import csv
import dataclasses
import importlib.util
import io
import json
import os
import statistics
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")  # as the program does

from benchmarks import difference
from cli import flags
from common import errors
from common.errors import UserError
from common.lazy import lazy
from common.runs import files

plans = lazy("cli.plan")
peer = lazy("benchmarks.parity_torch")
schedules = lazy("common.training.schedules")

CONTENDERS = {
    "ours-float32": "float32",
    "ours-bfloat16": "mixed_bfloat16",
    "torch-float32": "float32",
    "torch-bfloat16": "mixed_bfloat16",
}
COLUMNS = ("contender", "seed", "epoch", "train_top1", "test_top1", "test_loss")
FIXED = ("--mode=train", "--ema=0", "--strategy=one", "--keep=1")


class Results:
    """parity.csv and settings.json in a folder: what was measured, and for which recipe.

    Raises UserError where the folder holds results of other settings.
    """

    def __init__(self, folder: Path, settings: dict):
        self.file, self.screen = folder / "parity.csv", sys.stdout
        folder.mkdir(parents=True, exist_ok=True)
        kept = folder / "settings.json"
        settings = json.loads(json.dumps(settings))
        before = json.loads(kept.read_text(encoding="utf-8")) if kept.exists() else settings
        different = sorted(name for name in settings.keys() | before.keys() if settings.get(name) != before.get(name))
        if different:
            raise UserError(f"--out={folder} holds results of other settings ({', '.join(different)}); name another")
        kept.write_text(json.dumps(settings, indent=1) + "\n", encoding="utf-8")
        self.rows: dict[tuple[str, int, int], dict] = {}
        if self.file.exists():
            lines = self.file.read_text(encoding="utf-8").splitlines(keepends=True)
            whole = [line for line in lines if line.endswith("\n")]  # a kill may leave half a line
            self.file.write_text("".join(whole), encoding="utf-8")
            for row in csv.DictReader(whole):
                values = {name: float(row[name]) for name in COLUMNS[3:]}
                self.rows[row["contender"], int(row["seed"]), int(row["epoch"])] = values
        else:
            self.file.write_text(",".join(COLUMNS) + "\n", encoding="utf-8")

    def add(self, contender: str, seed: int, row: dict) -> None:
        """Appends the row of an epoch, unless it is there already, and prints it."""
        key = (contender, seed, row["epoch"])
        if key in self.rows:
            return
        self.rows[key] = {name: row[name] for name in COLUMNS[3:]}
        with open(self.file, "a", newline="", encoding="utf-8") as opened:
            csv.writer(opened, lineterminator="\n").writerow([*key, *self.rows[key].values()])
        print(
            f"{contender} seed {seed} epoch {row['epoch']}: training {row['train_top1']:.2%}, "
            f"test {row['test_top1']:.2%}, loss {row['test_loss']:.4f}",
            file=self.screen,
            flush=True,
        )

    def epochs(self, contender: str, seed: int) -> int:
        """How many epochs of a run are there."""
        return sum(key[:2] == (contender, seed) for key in self.rows)

    def accuracies(self, contender: str, epoch: int) -> list[float]:
        """Test top-1 of every seed that has reached an epoch, in per cent."""
        return [100 * row["test_top1"] for key, row in self.rows.items() if (key[0], key[2]) == (contender, epoch)]


def table(results: Results) -> str:
    """A row for each epoch, a column for each contender; then the differences to PyTorch in float32."""
    names = [name for name in CONTENDERS if any(key[0] == name for key in results.rows)]
    last = max((key[2] for key in results.rows), default=0)
    lines = ["epoch" + "".join(name.rjust(22) for name in names)]
    for epoch in range(1, last + 1):
        cells = []
        for name in names:
            found = results.accuracies(name, epoch)
            spread = f"{statistics.stdev(found):.2f}" if len(found) > 1 else "–"
            cells.append(f"{statistics.mean(found):.2f} +- {spread} ({len(found)})" if found else "")
        lines.append(f"{epoch:5}" + "".join(cell.rjust(22) for cell in cells))
    reference = results.accuracies("torch-float32", last)
    for name in names:
        found = results.accuracies(name, last)
        if name != "torch-float32" and len(found) > 1 and len(reference) > 1:
            apart, error = difference.of_means(found, reference)
            ratio = f"{abs(apart) / error:.1f} standard errors" if error else "no spread"
            lines.append(f"{name}: {apart:+.2f} points against torch-float32 after epoch {last}, {ratio}")
    return "\n".join(lines)


def write_results(results: Results, contender: str, seed: int, file: Path) -> None:
    """results.json of one run: figures of its last epoch, and the accuracies of all epochs as curves over them."""
    rows = {key[2]: row for key, row in results.rows.items() if key[:2] == (contender, seed)}
    last = max(rows)
    curves = {name: [(epoch, rows[epoch][name]) for epoch in sorted(rows)] for name in ("train_top1", "test_top1")}
    figures = {"top1": rows[last]["test_top1"], "loss": rows[last]["test_loss"], "train_top1": rows[last]["train_top1"]}
    content = {**figures, "epochs": last, "precision": CONTENDERS[contender], "curves": curves}
    files.write_json(file, content)
    print(f"test top1 {figures['top1']:.4f} after {last} epochs; figures in {file}")


class Listener:
    """The schedule of a run, which tells of every checkpoint: its state is saved with each."""

    def __init__(self, schedule: Any, tell: Callable[[], None]):
        self._schedule, self._tell = schedule, tell

    def state(self) -> dict:
        """As the schedule's own."""
        self._tell()
        return self._schedule.state()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._schedule, name)


def epochs_of(run: Path) -> list[dict]:
    """The finished epochs of a run directory, from metrics.csv: a row of training and one of validation each."""
    with open(run / "metrics.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    training = {row["step"]: float(row["top1"]) for row in rows if row["split"] == "train"}
    return [
        {
            "epoch": int(row["epoch"]),
            "train_top1": training[row["step"]],
            "test_top1": float(row["top1"]),
            "test_loss": float(row["data_loss"]),
        }
        for row in rows
        if row["split"] == "validation"
    ]


def ours(plan: Any, split: str, told: Callable[[dict], None]) -> bool:
    """The program's training of a plan, from where it stopped; whether it is complete. `split` serves as validation."""
    import keras

    from cli import run_directory, train
    from common import machine
    from common.training import trainer
    from common.training.run_state import State

    machine.keep_freed_memory()  # as the program does
    keras.utils.clear_session()
    measured = dataclasses.replace(plan.data, splits=plan.data.splits | {"validation": plan.data.splits[split]})
    defaults = plan.architecture.defaults
    with run_directory.opened(plan.run, plan.config, plan.options.given, defaults, chief=True) as (config, checkpoint):
        job = train.make_job(dataclasses.replace(plan, config=config, data=measured))
        state = trainer.resume(job, checkpoint) if checkpoint else State()

        def tell() -> None:
            for row in epochs_of(plan.run):
                told(row)

        if not state.finished:
            schedule, steps = Listener(job.schedule, tell), job.total_steps
            with contextlib.redirect_stdout(io.StringIO()):  # a row of training for each epoch, and no other
                trainer.fit(dataclasses.replace(job, schedule=schedule, log_every=steps), state)
        tell()
    return state.finished


def parse(arguments: list[str]) -> tuple[argparse.Namespace, list[str]]:
    """This program's own options, and the flags of the recipe."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--arch", default="resnet20", help="alexnet, resnet20, 32, 44 or 56 (default: resnet20)")
    parser.add_argument("--dataset", default="digits", help="as train.py takes it (default: digits)")
    parser.add_argument("--epochs", type=int, default=8, help="of every run (default: 8)")
    parser.add_argument("--drops", default="", help="steps at which the rate is divided by 10, e.g. 1600,2300")
    parser.add_argument("--seeds", "--seed", default="0,1,2,3,4", help="one run each (default: 0,1,2,3,4)")
    parser.add_argument(
        "--contenders",
        default="ours-float32,torch-float32",
        help=f"some of {', '.join(CONTENDERS)} (default: %(default)s)",
    )
    parser.add_argument("--threads", type=int, help="for each operation (default: one a core)")
    out = "folder for runs and results (default: parity)"
    parser.add_argument("--out", "--ckpt", type=Path, default=Path("parity"), help=out)
    parser.add_argument("--table", action="store_true", help="print what --out holds, train nothing")
    options, rest = parser.parse_known_args(arguments)
    try:
        options.seeds = [int(seed) for seed in options.seeds.split(",")]
    except ValueError as error:
        raise UserError(f"--seeds={options.seeds}: give whole numbers, e.g. 0,1,2") from error
    if min(options.seeds) < 0:
        raise UserError(f"--seeds={','.join(map(str, options.seeds))}: give whole numbers from 0 on")
    if options.threads is not None and options.threads < 1:
        raise UserError(f"--threads={options.threads}: give a whole number from 1 on")
    if options.table and not (options.out / "parity.csv").exists():
        raise UserError(f"--out={options.out}: there are no results (parity.csv) in it")
    options.contenders = options.contenders.split(",")
    for name in options.contenders:
        if name not in CONTENDERS:
            raise UserError(f"--contenders: {name} is not one of {', '.join(CONTENDERS)}")
    return options, rest


def recipe_flags(options: argparse.Namespace, rest: list[str]) -> flags.Options:
    """The command line of `--mode train` that both sides follow."""
    schedule = ["--schedule=constant"]
    if options.drops:
        schedule = ["--schedule=piecewise", "--schedule_factor=0.1", f"--schedule_boundaries={options.drops}"]
    which = [f"--arch={options.arch}", f"--dataset={options.dataset}", f"--epochs={options.epochs}"]
    return flags.parse([*FIXED, *which, *schedule, *rest])


def set_threads(count: int) -> None:
    """Limits the threads of an operation in both frameworks; before either computes."""
    import tensorflow as tf

    peer.torch.set_num_threads(count)
    tf.config.threading.set_intra_op_parallelism_threads(count)
    tf.config.threading.set_inter_op_parallelism_threads(count)


def main(arguments: list[str] | None = None) -> None:
    """Trains whatever is missing, in turns over the seeds, and prints the table."""
    options, rest = parse(sys.argv[1:] if arguments is None else arguments)
    given = recipe_flags(options, rest)
    if not importlib.util.find_spec("torch"):
        raise UserError("PyTorch is missing: pip install -r requirements-optional.txt", 1)
    if options.threads:
        set_threads(options.threads)
    whole = plans.make(given, None)
    if whole.architecture.name not in peer.NETWORKS:
        raise UserError(f"--arch={whole.architecture.name}: PyTorch's side has {', '.join(peer.NETWORKS)}")
    peer.check(whole.config.recipe)
    if whole.config.options != whole.architecture.defaults:
        raise UserError("options of the network have no counterpart on PyTorch's side; leave them out")
    recipe = whole.config.recipe
    for remark in schedules.remarks(recipe, whole.data.splits["train"].examples // recipe.batch_size):
        print(remark, file=sys.stderr)
    split = "test" if "test" in whole.data.splits else "validation"
    settings = dataclasses.asdict(whole.config)
    kept = ("arch", "image_size", "preprocessing", "recipe", "dataset", "split_seed", "validation_share")
    results = Results(options.out, {name: settings[name] for name in kept})
    for seed in [] if options.table else options.seeds:
        for name in options.contenders:
            told = partial(results.add, name, seed)
            if results.epochs(name, seed) == options.epochs:
                continue
            one = whole.member(seed)
            config = dataclasses.replace(one.config, precision=CONTENDERS[name])
            place = options.out / f"{name}-seed{seed}"
            if name.startswith("torch"):
                peer.train(config, one.data, split, place.with_suffix(".pt"), told)
            elif not ours(dataclasses.replace(one, run=place, config=config), split, told):
                print("stopped; the same command goes on", flush=True)
                sys.exit(130)
    print(table(results))
    if not options.table and len(options.seeds) * len(options.contenders) == 1:
        write_results(results, options.contenders[0], options.seeds[0], options.out / "results.json")


if __name__ == "__main__":
    with errors.ending_in_a_line("parity.py", "stopped; the same command goes on"):
        main()
