"""The range test of the learning rate on losses made by hand, with its smoothing and its advice in plain loops."""

import csv

import numpy as np
import pytest
from matplotlib import image

from common.training import lr_range

STEPS = 121  # twenty a decade; half a width is 3


def valley(lowest: float) -> np.ndarray:
    """Losses that fall from 2 to 1 over two decades, fastest at a tenth of `lowest`, and rise 9 a decade after it."""
    decades = np.linspace(-5, 1, STEPS) - np.log10(lowest)
    falling = 1.5 - 0.5 * np.sin(np.clip(decades + 1, -1, 1) * np.pi / 2)
    return falling + 9.0 * np.maximum(decades, 0.0)


def mean_around(losses, place, half):
    near = [loss for number, loss in enumerate(losses) if abs(number - place) <= half]
    return sum(near) / len(near)


def test_rates_rise_by_the_same_factor():
    found = lr_range.rates(7)
    np.testing.assert_allclose(found, [1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0], rtol=1e-12)


@pytest.mark.parametrize("half", [1, 3, 50])
def test_smoothing_is_the_mean_of_the_neighbours(half):
    losses = np.random.default_rng(0).normal(2.0, 1.0, 40)
    wanted = [mean_around(losses, place, half) for place in range(40)]
    np.testing.assert_allclose(lr_range.smoothed(losses, half), wanted, rtol=1e-12)


def test_the_advice_is_where_the_smoothed_loss_is_lowest_and_falls_fastest():
    losses = valley(0.1) + np.random.default_rng(1).normal(0.0, 0.01, STEPS)
    half, width = 3, 7
    smooth = [mean_around(losses, place, half) for place in range(STEPS)]
    lowest = smooth.index(min(smooth))
    slopes = []
    for place in range(width, lowest + 1):
        before, after = place - width, min(place + width, STEPS - 1)
        slopes.append((smooth[after] - smooth[before]) / (after - before))
    steepest = width + slopes.index(min(slopes))

    found = lr_range.advise(losses.tolist(), STEPS)

    at = [1e-5 * 10 ** (6 * place / (STEPS - 1)) for place in range(STEPS)]
    assert found.lowest == pytest.approx(at[lowest])
    assert found.loss == pytest.approx(smooth[lowest])
    assert found.steepest == pytest.approx(at[steepest])
    assert 0.05 < found.lowest <= 0.1  # as the losses were made: the rise behind it reaches into the mean
    assert 0.005 < found.steepest < 0.02
    assert found.suggested == float(f"{found.lowest / 10:.2g}")


def test_a_first_loss_above_the_next_is_no_steep_descent():
    losses = valley(0.1)
    losses[:2] += (1.5, 0.5)
    assert 0.005 < lr_range.advise(losses.tolist(), STEPS).steepest < 0.02


@pytest.mark.parametrize(
    "losses",
    [[2.0] * STEPS, [2.0 + 0.1 * place for place in range(30)], [], [2.0], [2.0, *[1.985] * (STEPS - 1)]],
    ids=["flat", "rising", "none", "one", "hardly"],
)
def test_no_advice_where_the_loss_did_not_fall(losses):
    assert lr_range.advise(losses, STEPS) is None


def test_a_sweep_is_over_at_four_times_the_lowest_mean():
    losses = [2.0] * 5 + [1.0] * 5
    assert not lr_range.is_over(losses, 1)
    assert not lr_range.is_over([*losses, 9.9], 1)  # (1 + 1 + 9.9) / 3 is below 4
    assert lr_range.is_over([*losses, 10.1], 1)
    assert not lr_range.is_over([1.0, 9.0, 9.0], 1)  # one mean: none to compare with
    assert lr_range.is_over([1.0, float("nan")], 1)
    assert lr_range.is_over([float("inf")], 1)


@pytest.mark.parametrize("count", [STEPS, 3, 0])
def test_table_and_picture(tmp_path, count):
    losses = valley(0.1)[:count].tolist()
    lr_range.write(tmp_path, losses, STEPS, lr_range.advise(losses, STEPS))
    with open(tmp_path / "lr_range_test.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [float(row["data_loss"]) for row in rows] == losses
    assert [int(row["step"]) for row in rows] == list(range(1, count + 1))
    if count:
        assert float(rows[0]["learning_rate"]) == pytest.approx(1e-5)
        assert float(rows[1]["smoothed_loss"]) == pytest.approx(mean_around(losses, 1, 3))
    assert image.imread(tmp_path / "lr_range_test.png").shape[:2] == (440, 700)
