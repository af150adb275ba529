"""`--lr_range_test N`: a sweep of the learning rate in N steps, its picture, and a rate to train with."""

import shlex
import sys
from collections.abc import Container
from pathlib import Path

from cli import run_directory
from cli import trained as trained_networks
from cli.plan import Plan
from common import distribution
from common.input import read_errors
from common.progress import ProgressLine
from common.recipe import Recipe
from common.training import lr_range
from common.training.run_state import Job


def run(job: Job, plan: Plan) -> None:
    """Sweeps, writes table and picture into the run directory's folder for them, and says which rate they suggest.

    The run directory stays free for a training: nothing else of a run is in it. Of several workers only the chief
    writes and speaks.
    """
    run_directory.check(plan.run)
    steps, chief = plan.options.lr_range_test, plan.devices.chief
    if plan.start:
        trained_networks.transfer(plan.start, plan.architecture, job.model, plan.config.classes)
    if chief:
        print(f"sweeping the learning rate from {lr_range.LOWEST:g} to {lr_range.HIGHEST:g} in {steps} steps")
    line = ProgressLine(steps) if chief else None

    def tell(number: int, rate: float, loss: float) -> None:
        text = f"step {number}/{steps}  learning rate {rate:.3g}  loss {loss:.4f}"
        if line is not None and number % job.log_every == 0:
            line.show(number, text)
        elif line is not None:
            line.live(number, text)

    try:
        with distribution.peers_named(plan.devices):
            losses = lr_range.sweep(job, steps, tell)
    finally:
        if line is not None:
            line.close()
    if chief:
        advice = lr_range.advise(losses, steps)
        folder = plan.run / run_directory.RANGE_TEST
        with read_errors.writing(plan.run):
            folder.mkdir(parents=True, exist_ok=True)
            lr_range.write(folder, losses, steps, advice)
        taken = run_directory.is_begun(plan.run)
        print(report(advice, folder, sys.argv, plan.options.given, head_share(job.recipe), taken))


def head_share(recipe: Recipe) -> float | None:
    """What the classifier's learning rate was times that of the other layers, throughout the sweep; None: the same."""
    return None if recipe.head_learning_rate is None else recipe.head_learning_rate / recipe.learning_rate


def report(
    advice: lr_range.Advice | None,
    folder: Path,
    command: list[str],
    given: Container[str],
    head: float | None = None,
    taken: bool = False,
) -> str:
    """The sweep's result in two or three lines.

    `command` is the one that made it, the program's name first, with the flags `given` in it or in its file; `head` is
    that of `head_share`. `taken` tells that there is a run in the directory already: the command names another.
    """
    picture = f"picture and table in {folder}"
    if advice is None:
        return f"no suggestion: the loss fell by less than {lr_range.FALL:.0%} at every rate\n{picture}"
    edge = ", the highest rate tried" if advice.lowest == lr_range.HIGHEST else ""
    other = folder.parent.with_name(f"{folder.parent.name}-{advice.suggested:g}") if taken else None
    return "\n".join(
        [
            f"suggestion: learning rate {advice.suggested:g}, a tenth of {advice.lowest:.2g}{edge}, where the smoothed "
            f"loss was lowest ({advice.loss:.4f}); it fell fastest at {advice.steepest:.2g}",
            f"train with it: {training_command(command, given, advice.suggested, head, other)}",
            picture,
        ]
    )


def training_command(
    command: list[str], given: Container[str], rate: float, head: float | None = None, other: Path | None = None
) -> str:
    """The command of a sweep made into that of the training at a rate, in the `other` directory; its other flags stay.

    The classifier's own rate is `head` times that rate, as in the sweep. Flags that are `given` but do not stand in the
    command, since they come from the file of `--config`, are turned off.
    """
    replaced = {"lr_range_test", "learning_rate", "learning_rate_batch", "head_learning_rate"}
    replaced |= set() if other is None else {"ckpt"}
    kept, dropped, value_follows = [], set(), False
    for word in command:
        name, equals, _ = word.lstrip("-").partition("=")
        if value_follows:
            value_follows = False
        elif word.startswith("-") and name in replaced:
            dropped.add(name)
            value_follows = not equals
        else:
            kept.append(word)
    off = [f"--{name}=0" for name in ("lr_range_test", "learning_rate_batch") if name in given and name not in dropped]
    rates = [f"--learning_rate={rate:g}", *([] if head is None else [f"--head_learning_rate={rate * head:g}"])]
    where = [] if other is None else [f"--ckpt={other}"]
    return "python " + shlex.join([*kept, *where, *off, *rates])
