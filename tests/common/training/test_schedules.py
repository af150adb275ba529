"""Schedules at their boundaries, over 100 epochs against closed forms, and after a restore."""

import json
import math
import subprocess
import sys
from pathlib import Path

import pytest

from common.errors import UserError
from common.recipe import Recipe
from common.training.schedules import SCHEDULES, cycle_boundaries, make_schedule

SPE, EPOCHS = 7, 100  # steps per epoch, and epochs: no boundary falls on a round number by luck
TOTAL = SPE * EPOCHS


def schedule(steps_per_epoch=SPE, total=TOTAL, **fields):
    return make_schedule(Recipe(**fields), steps_per_epoch, total)


def rates(rule, steps=TOTAL):
    return [rule.rate(step) for step in range(steps)]


def test_needs_no_tensorflow():
    code = "import sys, common.training.schedules; sys.exit('tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[3]).returncode == 0


@pytest.mark.parametrize(("factor", "every"), [(0.96, 8), (0.5, 5), (0.1, 20)])
def test_step_pairs_of_the_lab(factor, every):
    rule = schedule(schedule="step", learning_rate=0.01, schedule_factor=factor, schedule_every=every)
    expected = [0.01 * factor ** (epoch // every) for epoch in range(EPOCHS) for _ in range(SPE)]
    assert rates(rule) == pytest.approx(expected, rel=1e-12)
    assert rule.rate(every * SPE - 1) == 0.01
    assert rule.rate(every * SPE) == pytest.approx(0.01 * factor)


def test_step_of_part_of_an_epoch_falls_on_its_boundary():
    rule = schedule(steps_per_epoch=3, schedule="step", learning_rate=1.0, schedule_factor=0.5, schedule_every=0.1)
    # 0.1 * 3 = 0.30000000000000004: step 3 is epoch 1, ten drops
    assert rule.rate(3) == 0.5**10


@pytest.mark.parametrize(
    ("name", "closed"),
    [
        ("exponential", lambda t: 0.2 * math.exp(-0.05 * t)),
        ("inverse_time", lambda t: 0.2 / (1 + 0.05 * t)),
        ("linear", lambda t: 0.2 - 0.199 * t / EPOCHS),
        ("cosine", lambda t: 0.001 + 0.199 * 0.5 * (1 + math.cos(math.pi * t / EPOCHS))),
        ("constant", lambda t: 0.2),
        ("plateau", lambda t: 0.2),
        ("piecewise", lambda t: 0.2 * 0.1 ** ((t * SPE >= 320) + (t * SPE >= 480))),
    ],
)
def test_closed_forms_over_100_epochs(name, closed):
    low = 0.001 if name in ("linear", "cosine") else 0.0
    rule = schedule(
        schedule=name,
        learning_rate=0.2,
        schedule_rate=0.05,
        schedule_boundaries=(320, 480),
        minimum_learning_rate=low,
    )
    assert rates(rule) == pytest.approx([closed(step / SPE) for step in range(TOTAL)], rel=1e-12)
    assert rule.cycle_ends() == []
    assert not rule.exhausted
    assert rule.observe(0.5) is None


def test_piecewise_of_he_et_al():
    rule = schedule(391, 64000, schedule="piecewise", learning_rate=0.1, schedule_boundaries=(32000, 48000))
    found = [rule.rate(step) for step in (0, 31999, 32000, 47999, 48000, 63999)]
    assert found == pytest.approx([0.1, 0.1, 0.01, 0.01, 0.001, 0.001])


@pytest.mark.parametrize("name", ["linear", "cosine"])
def test_linear_and_cosine_end_at_the_minimum_and_stay(name):
    rule = schedule(schedule=name, learning_rate=0.2, minimum_learning_rate=0.05)
    assert rule.rate(0) == pytest.approx(0.2)
    assert rule.rate(TOTAL // 2) == pytest.approx(0.125)
    assert rule.rate(TOTAL) == rule.rate(TOTAL + 50) == pytest.approx(0.05)


def sgdr_by_the_paper(step, first, multiplier, low, high):
    """Loshchilov & Hutter 2016, equation 5, T_cur counted by hand."""
    current, period = step, first
    while current >= period:
        current -= period
        period *= multiplier
    return low + 0.5 * (high - low) * (1 + math.cos(math.pi * current / period))


def test_sgdr_over_100_epochs():
    rule = schedule(
        schedule="sgdr", learning_rate=0.1, schedule_every=10, cycle_multiplier=2, minimum_learning_rate=0.01
    )
    expected = [sgdr_by_the_paper(step, 10 * SPE, 2, 0.01, 0.1) for step in range(TOTAL)]
    assert rates(rule) == pytest.approx(expected, rel=1e-12)
    # cycles of 10, 20 and 40 epochs are complete after 10, 30 and 70; the next would end after 150
    assert rule.cycle_ends() == [70, 210, 490]
    assert [step for step in range(TOTAL + 1) if rule.cycle_end(step)] == [70, 210, 490]
    assert rule.rate(69) < 0.0101
    assert rule.rate(70) == 0.1


def test_cyclical_over_100_epochs():
    rule = schedule(schedule="cyclical", learning_rate=0.06, minimum_learning_rate=0.02, schedule_every=8)
    half = 4 * SPE  # Smith's step size

    def smith(iteration):
        cycle = math.floor(1 + iteration / (2 * half))
        return 0.02 + 0.04 * max(0, 1 - abs(iteration / half - 2 * cycle + 1))

    assert rates(rule) == pytest.approx([smith(step) for step in range(TOTAL)], rel=1e-12)
    assert rule.rate(0) == rule.rate(2 * half) == 0.02
    assert rule.rate(half) == 0.06
    assert rule.cycle_ends() == [2 * half * n for n in range(1, 13)]
    assert all(rule.rate(step) == 0.02 for step in rule.cycle_ends())


def test_cycles_that_divide_the_run_end_with_it():
    rule = schedule(schedule="sgdr", schedule_every=20, cycle_multiplier=1)
    assert rule.cycle_ends() == [140, 280, 420, 560, 700]


def test_cycle_boundaries_of_broken_lengths():
    assert cycle_boundaries(2.5, 1.0, 8) == [0, 2, 5, 8, 10]  # 2.5, 5, 7.5, 10: halves to the even number, no drift
    assert cycle_boundaries(0.2, 1.0, 3) == [0, 1, 2, 3, 4]  # never shorter than a step


def observe(rule, values):
    return [rule.observe(value) for value in values]


def test_plateau_drops_after_its_patience():
    rule = schedule(schedule="plateau", learning_rate=0.01, plateau_patience=3, plateau_drops=2, plateau_delta=0.001)
    assert observe(rule, [0.3, 0.5, 0.5, 0.5]) == [None] * 4
    assert rule.rate(0) == 0.01
    line = rule.observe(0.4)
    assert "0.5000" in line
    assert "0.01 -> 0.001" in line
    assert rule.rate(0) == pytest.approx(0.001)
    assert observe(rule, [0.6, 0.6, 0.6]) == [None] * 3  # a gain starts the count afresh
    assert "0.001 -> 0.0001" in rule.observe(0.6)
    assert not rule.exhausted
    assert observe(rule, [0.6, 0.6]) == [None] * 2
    assert "the run ends" in rule.observe(0.6)
    assert rule.exhausted
    assert rule.rate(0) == pytest.approx(0.0001)  # no drop beyond the last


def test_plateau_delta_is_measured_from_the_last_gain_that_counted():
    rule = schedule(schedule="plateau", plateau_patience=3, plateau_delta=0.01)
    # each is less than 0.01 above the mark of 0.5, until 0.51 is exactly that
    assert observe(rule, [0.5, 0.504, 0.509, 0.51, 0.515, 0.519]) == [None] * 6
    assert rule.observe(0.5199) is not None


def test_plateau_counts_equal_values_as_no_gain_even_without_a_delta():
    rule = schedule(schedule="plateau", plateau_patience=2, plateau_delta=0.0)
    assert [line is not None for line in observe(rule, [0.5, 0.5, 0.5])] == [False, False, True]


def test_plateau_without_drops_ends_at_the_first():
    rule = schedule(schedule="plateau", plateau_patience=1, plateau_drops=0)
    observe(rule, [0.5, 0.5])
    assert rule.exhausted


def test_plateau_of_a_run_of_fixed_length_goes_on_at_its_last_rate():
    fields = {"schedule": "plateau", "learning_rate": 0.01, "plateau_patience": 1, "plateau_drops": 2}
    rule = make_schedule(Recipe(**fields), SPE, TOTAL, fixed_length=True)
    found = observe(rule, [0.5] * 6)
    assert [line is not None for line in found] == [False, True, True, False, False, False]
    assert not rule.exhausted
    assert rule.rate(0) == pytest.approx(0.0001)
    rule.load(rule.state() | {"exhausted": True})  # of a run that an earlier version ended
    assert rule.exhausted


def test_plateau_passes_over_validations_that_are_not_ranked():
    rule = schedule(schedule="plateau", plateau_patience=2, warmup="constant", warmup_epochs=3)
    assert [rule.observe(value, ranked=False) for value in (0.9, 0.8, 0.7, 0.6)] == [None] * 4
    assert observe(rule, [0.5, 0.5]) == [None] * 2  # the mark, and one without a gain: the warm-up is over
    assert "has not improved on 0.5000 in 2 validations" in rule.observe(0.5)


def test_plateau_over_100_epochs():
    rule = schedule(schedule="plateau", learning_rate=0.1, schedule_factor=0.5, plateau_patience=4, plateau_drops=30)
    accuracy = [min(epoch, 40) / 100 for epoch in range(EPOCHS)]  # rises until epoch 40, then stands
    found = []
    for epoch in range(EPOCHS):
        found += rates(rule, SPE)
        rule.observe(accuracy[epoch])
    # the validation after epoch 44 is the 4th without a gain; the rate halves from epoch 45 on, then every 4
    expected = [0.1 * 0.5 ** max(0, (epoch - 41) // 4) for epoch in range(EPOCHS) for _ in range(SPE)]
    assert found == pytest.approx(expected, rel=1e-12)


def test_plateau_does_not_wait_during_the_warmup():
    fields = {"schedule": "plateau", "plateau_patience": 2, "warmup": "constant", "warmup_epochs": 3}
    rule = schedule(**fields)
    assert observe(rule, [0.1, 0.1, 0.1, 0.1]) == [None] * 4
    assert rule.observe(0.1) is not None


def test_constant_warmup_of_he_et_al():
    rule = schedule(
        391,
        64000,
        schedule="piecewise",
        learning_rate=0.1,
        schedule_boundaries=(32000, 48000),
        warmup="constant",
        warmup_epochs=400 / 391,
    )
    found = [rule.rate(step) for step in (0, 399, 400, 31999, 32000)]
    assert found == pytest.approx([0.01, 0.01, 0.1, 0.1, 0.01])  # the drops stay where they were


def test_gradual_warmup_is_linear_then_the_rule():
    fields = {"schedule": "step", "learning_rate": 0.8, "schedule_every": 30}
    rule = schedule(**fields, warmup="gradual", warmup_epochs=5, warmup_factor=0.125)
    steps = 5 * SPE
    expected = [0.1 + 0.7 * step / steps for step in range(steps)]  # Goyal et al.: 0.1 -> 0.8 in 5 epochs
    assert rates(rule, steps) == pytest.approx(expected, rel=1e-12)
    assert rates(rule)[steps:] == rates(schedule(**fields))[steps:]


@pytest.mark.parametrize("name", SCHEDULES)
def test_warmup_stands_in_front_of_any_rule(name):
    fields = {"schedule": name, "learning_rate": 0.1, "schedule_boundaries": (10,), "schedule_every": 4}
    bare = rates(schedule(**fields), 40)
    warm = schedule(**fields, warmup="gradual", warmup_epochs=2, warmup_factor=0.5)
    share = [min(1.0, 0.5 + 0.5 * step / 14) for step in range(40)]
    assert rates(warm, 40) == pytest.approx([a * b for a, b in zip(share, bare, strict=True)], rel=1e-12)
    none = schedule(**fields, warmup="none", warmup_epochs=2)
    assert rates(none, 40) == bare


@pytest.mark.parametrize("warmup", ["none", "gradual"])
@pytest.mark.parametrize("name", SCHEDULES)
def test_restored_state_goes_on_identically(name, warmup):
    fields = {"schedule": name, "schedule_boundaries": (50,), "plateau_patience": 2, "plateau_drops": 2}
    fields |= {"warmup": warmup, "warmup_epochs": 5.0}
    accuracy = [0.1, 0.3, 0.30000000000000004, 0.3, 0.3, 0.31, 0.31, 0.31, 0.31, 0.31, 0.31, 0.31]

    def run(rule, epochs):
        return [
            ([rule.rate(epoch * SPE + step) for step in range(SPE)], rule.observe(accuracy[epoch]), rule.exhausted)
            for epoch in epochs
        ]

    whole = run(schedule(**fields), range(12))
    for stop in range(12):
        first, second = schedule(**fields), schedule(**fields)
        run(first, range(stop))
        second.load(json.loads(json.dumps(first.state(), allow_nan=False)))
        assert second.state() == first.state()
        assert run(second, range(stop, 12)) == whole[stop:]


def test_state_of_another_rule_is_refused():
    with pytest.raises(UserError, match="plateau"):
        schedule(schedule="plateau").load(schedule(schedule="cosine").state())
