"""Learning-rate schedules: global step -> learning rate, with a state that goes into the checkpoint.

t is the time in epochs as a real number, step / steps_per_epoch; a0 is the recipe's learning rate.

    plateau       a0 factor^drops; one more drop when validation top-1 stops improving
    step          a0 factor^floor(t / every)                    lab: x0.96 / 8 epochs, x0.5 / 5, x0.1 / 20
    exponential   a0 exp(-k t)
    inverse_time  a0 / (1 + k t)
    linear        a0 - (a0 - m) step / total                    m: the minimum; once over the run (Caffe's "poly" of
                  power 1, as SqueezeNet has it)
    cosine        m + (a0 - m) (1 + cos(pi step / total)) / 2    the same in half a wave
    sgdr          the same within each of a row of cycles, each `cycle_multiplier` times as long as the one before
                  (Loshchilov & Hutter 2016, equation 5)
    cyclical      m -> a0 -> m in straight lines over every cycle (Smith 2015, section 3, "triangular")
    constant      a0
    piecewise     a0 factor^(boundaries passed)                  He et al. 2015, section 4.2: 32k and 48k steps

A warm-up stands in front of any of them for W = warmup_epochs * steps_per_epoch steps:

    constant      warmup_factor a0: He et al. 2015, section 4.2 begin ResNet-110 with 0.01 in place of 0.1 "until the
                  training error is below 80% (about 400 iterations)"; here for a length that is known beforehand
    gradual       the rule's rate times f + (1 - f) step / W, f = warmup_factor (Goyal et al. 2017, section 2.2)

The rule's clock starts with the run, not after the warm-up: in both papers the later drops stand at the same steps
with and without it. Nothing here needs TensorFlow.
"""

import math
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import replace

from common.errors import UserError
from common.recipe import Recipe

Rule = Callable[[int], float]
_SLACK = 1e-9  # keeps 0.30000000000000004 from missing a boundary at 0.3


class Schedule:
    """A rule of the step alone, with its warm-up. Make one with `make_schedule`.

    Attributes:
        fixed_length: the run has total_steps, and the rule does not end it sooner.
    """

    fixed_length = False

    def __init__(self, recipe: Recipe, steps_per_epoch: int, total_steps: int, rule: Rule, ends: list[int]):
        self.recipe, self.steps_per_epoch, self.total_steps = recipe, steps_per_epoch, total_steps
        self._rule, self._ends = rule, ends
        self.warmup_steps = round(recipe.warmup_epochs * steps_per_epoch) if recipe.warmup != "none" else 0

    def rate(self, step: int) -> float:
        """Learning rate of the 0-based global step `step`."""
        if step < self.warmup_steps:
            share = self.recipe.warmup_factor
            if self.recipe.warmup == "constant":
                return share * self.recipe.learning_rate
            return (share + (1.0 - share) * step / self.warmup_steps) * self._rule(step)
        return self._rule(step)

    def observe(self, top1: float, ranked: bool = True) -> str | None:
        """Takes in a validation's top-1 (0..1), once an epoch. Returns a line to print where the rate changes.

        One that is not `ranked` says too little of the network to be compared with others.
        """
        return None

    @property
    def exhausted(self) -> bool:
        """True when the rule says that the run is over, whatever epochs remain."""
        return False

    def cycle_ends(self) -> list[int]:
        """The numbers of completed steps, at most total_steps, at which a cycle of sgdr or cyclical is complete.

        There the rate is lowest, and there a snapshot ensemble takes its snapshots (Huang et al. 2017, section 3).
        Empty for every other rule.
        """
        return list(self._ends)

    def cycle_end(self, step: int) -> bool:
        """True when `step` completed steps end a cycle: call it after a step has been counted."""
        return step in self._ends

    def state(self) -> dict:
        """What has to be kept to go on later: JSON-able, and exact (JSON writes floats with all their digits)."""
        return {"schedule": self.recipe.schedule}

    def load(self, state: dict) -> None:
        """Takes up a state that `state` returned. Raises UserError where it is another rule's."""
        if state.get("schedule") != self.recipe.schedule:
            raise UserError(
                f"checkpoint: its schedule is {state.get('schedule')}, here {self.recipe.schedule}; keep to one"
            )


class Plateau(Schedule):
    """x factor whenever validation top-1 has not gained `plateau_delta` in `plateau_patience` validations.

    A gain is measured against the best value that counted as one. After `plateau_drops` drops the next one due
    ends the run; one of fixed length goes on at the last rate. Validations within the warm-up can raise the mark but
    are not counted as waiting; those that are not ranked do neither.
    """

    def __init__(self, recipe: Recipe, steps_per_epoch: int, total_steps: int):
        super().__init__(recipe, steps_per_epoch, total_steps, self._now, [])
        self._best: float | None = None
        self._seen, self._waited, self._drops, self._exhausted = 0, 0, 0, False

    def _now(self, step: int) -> float:
        return self.recipe.learning_rate * self.recipe.schedule_factor**self._drops

    def observe(self, top1: float, ranked: bool = True) -> str | None:
        recipe = self.recipe
        self._seen += 1
        if not ranked:
            return None
        if self._best is None or (top1 > self._best and top1 - self._best >= recipe.plateau_delta - _SLACK):
            self._best, self._waited = top1, 0
            return None
        if self._seen * self.steps_per_epoch <= self.warmup_steps:
            return None
        self._waited += 1
        last_rate = self._drops == recipe.plateau_drops
        if self._waited < recipe.plateau_patience or (last_rate and self.fixed_length):
            return None
        why = f"validation top-1 has not improved on {self._best:.4f} in {recipe.plateau_patience} validations"
        self._waited = 0
        if last_rate:
            self._exhausted = True
            return f"{why}, after {self._drops} drops of the learning rate: the run ends here"
        before = self._now(0)
        self._drops += 1
        return f"{why}: learning rate {before:.3g} -> {self._now(0):.3g}"

    @property
    def exhausted(self) -> bool:
        return self._exhausted

    def state(self) -> dict:
        own = {name: getattr(self, f"_{name}") for name in ("best", "seen", "waited", "drops", "exhausted")}
        return super().state() | own

    def load(self, state: dict) -> None:
        super().load(state)
        for name in ("best", "seen", "waited", "drops", "exhausted"):
            setattr(self, f"_{name}", state[name])


def cycle_boundaries(first: float, multiplier: float, total_steps: int) -> list[int]:
    """Steps at which cycles begin: 0, first, first (1 + m), first (1 + m + m^2) ..., rounded.

    The last, and only that, lies beyond total_steps.

    Args:
        first: length of the first cycle in steps, need not be whole.
        multiplier: m, at least 1.
        total_steps: of the run.
    """
    found, end, length = [0], 0.0, first
    while found[-1] <= total_steps:
        end += length
        length *= multiplier
        found.append(max(round(end), found[-1] + 1))
    return found


def _cosine(low: float, high: float, position: float) -> float:
    return low + (high - low) * (1.0 + math.cos(math.pi * position)) / 2.0


def _cycles(recipe: Recipe, steps_per_epoch: int, total_steps: int) -> tuple[Rule, list[int]]:
    """The rules of sgdr and cyclical, and the steps at which their cycles end."""
    multiplier = recipe.cycle_multiplier if recipe.schedule == "sgdr" else 1.0
    starts = cycle_boundaries(recipe.schedule_every * steps_per_epoch, multiplier, total_steps)
    low, high = recipe.minimum_learning_rate, recipe.learning_rate

    def rule(step: int) -> float:
        index = min(bisect_right(starts, step), len(starts) - 1)
        position = (step - starts[index - 1]) / (starts[index] - starts[index - 1])
        if recipe.schedule == "sgdr":
            return _cosine(low, high, position)
        return low + (high - low) * (1.0 - abs(2.0 * position - 1.0))

    return rule, [step for step in starts[1:] if step <= total_steps]


def _of_step(rule: Callable[[Recipe, int, int, int], float]) -> Callable[[Recipe, int, int], Schedule]:
    """The schedule of a rule (recipe, step, steps per epoch, total steps) -> rate."""

    def make(recipe: Recipe, steps_per_epoch: int, total_steps: int) -> Schedule:
        return Schedule(
            recipe, steps_per_epoch, total_steps, lambda step: rule(recipe, step, steps_per_epoch, total_steps), []
        )

    return make


def _in_cycles(recipe: Recipe, steps_per_epoch: int, total_steps: int) -> Schedule:
    return Schedule(recipe, steps_per_epoch, total_steps, *_cycles(recipe, steps_per_epoch, total_steps))


def _step(recipe: Recipe, step: int, per_epoch: int, _: int) -> float:
    drops = math.floor(step / (recipe.schedule_every * per_epoch) + _SLACK)
    return recipe.learning_rate * recipe.schedule_factor**drops


# Name -> (recipe, steps per epoch, total steps) -> Schedule.
SCHEDULES: dict[str, Callable[[Recipe, int, int], Schedule]] = {
    "plateau": Plateau,
    "step": _of_step(_step),
    "exponential": _of_step(lambda r, step, epoch, _: r.learning_rate * math.exp(-r.schedule_rate * step / epoch)),
    "inverse_time": _of_step(lambda r, step, epoch, _: r.learning_rate / (1.0 + r.schedule_rate * step / epoch)),
    "linear": _of_step(
        lambda r, step, _, total: r.learning_rate - (r.learning_rate - r.minimum_learning_rate) * min(step / total, 1.0)
    ),
    "cosine": _of_step(
        lambda r, step, _, total: _cosine(r.minimum_learning_rate, r.learning_rate, min(step / total, 1.0))
    ),
    "sgdr": _in_cycles,
    "cyclical": _in_cycles,
    "constant": _of_step(lambda r, *_: r.learning_rate),
    "piecewise": _of_step(
        lambda r, step, *_: r.learning_rate * r.schedule_factor ** bisect_right(r.schedule_boundaries, step)
    ),
}


# Rules that do not look at the run's length: a run under one of them may be made longer.
OPEN_ENDED = ("plateau", "step", "exponential", "inverse_time", "constant", "piecewise")


def make_schedule(recipe: Recipe, steps_per_epoch: int, total_steps: int, fixed_length: bool = False) -> Schedule:
    """The schedule a recipe names.

    Args:
        recipe: its `schedule`, `schedule_*`, `plateau_*`, `cycle_multiplier`, `minimum_learning_rate`, `warmup*`.
        steps_per_epoch: full global batches in an epoch.
        total_steps: steps of the whole run, for cosine; 1 or more.
        fixed_length: the run has so many steps; a plateau does not end it sooner.
    """
    schedule = SCHEDULES[recipe.schedule](recipe, steps_per_epoch, total_steps)
    schedule.fixed_length = fixed_length
    return schedule


def fitted(recipe: Recipe, share: float) -> Recipe:
    """The recipe with its schedule shortened or stretched to `share` of its length, so that all of it takes place."""
    return replace(
        recipe,
        schedule_every=recipe.schedule_every * share,
        schedule_rate=recipe.schedule_rate / share,
        schedule_boundaries=tuple(dict.fromkeys(max(1, round(step * share)) for step in recipe.schedule_boundaries)),
        plateau_patience=max(1, round(recipe.plateau_patience * share)),
        warmup_epochs=recipe.warmup_epochs * share,
    )


def _number(epochs: float) -> str:
    """To one decimal place, which a whole number does without."""
    return f"{epochs:,.1f}".removesuffix(".0")


def remarks(recipe: Recipe, steps_per_epoch: int, total_steps: int | None = None) -> list[str]:
    """Lines to print at the start of a run that ends before its schedule acts.

    The run has `total_steps`, by default those of `recipe.epochs`.
    """
    assert recipe.epochs is not None  # resolved
    total = recipe.epochs * steps_per_epoch if total_steps is None else total_steps
    epochs = total / steps_per_epoch
    run = "but the run has 1 epoch" if epochs == 1 else f"but the run has {_number(epochs)} epochs"
    found = []
    if recipe.warmup != "none" and recipe.warmup_epochs >= epochs - _SLACK:
        found.append(f"the warm-up takes {recipe.warmup_epochs:.4g} epochs, {run}")
    if recipe.schedule == "piecewise":
        late = [f"{step:,}" for step in recipe.schedule_boundaries if step >= total]
        if late:
            found.append(f"piecewise drops at {' and '.join(late)} steps, but the run has {total:,}")
    elif recipe.schedule == "step" and recipe.schedule_every >= epochs - _SLACK:
        found.append(f"step drops every {recipe.schedule_every:.4g} epochs, {run}")
    elif recipe.schedule in ("sgdr", "cyclical") and recipe.schedule_every > epochs + _SLACK:
        found.append(f"the first cycle of {recipe.schedule} takes {recipe.schedule_every:.4g} epochs, {run}")
    elif recipe.schedule == "plateau" and recipe.plateau_patience + 1 >= math.ceil(epochs):
        found.append(f"plateau drops after epoch {recipe.plateau_patience + 1} at the earliest, {run}")
    return [f"note: {line}" for line in found]
