"""benchmarks/optimizers.py: its surfaces, the paths it takes, the curves it draws."""

import dataclasses

import numpy as np
import pytest

from benchmarks import drawing
from benchmarks import optimizers as pictures
from common.training.optimizers import OPTIMIZERS

BOWL, SADDLE, RAVINE = pictures.SURFACES


def slope(surface, place, width=1e-5):
    x, y = place
    return np.array(
        [
            (surface.value(x + width, y) - surface.value(x - width, y)) / (2 * width),
            (surface.value(x, y + width) - surface.value(x, y - width)) / (2 * width),
        ]
    )


@pytest.mark.parametrize("surface", pictures.SURFACES, ids=lambda surface: surface.name)
def test_minima_and_traps_are_what_they_are_called(surface):
    left, right, bottom, top = surface.window
    grid = np.stack(np.meshgrid(np.linspace(left, right, 200), np.linspace(bottom, top, 200)), -1)
    assert surface.height(grid).min() > -1e-6
    for place in surface.minima:
        assert surface.height(np.array(place)) == pytest.approx(0, abs=1e-9)
    for place in (*surface.minima, *surface.traps):
        np.testing.assert_allclose(slope(surface, place), 0, atol=1e-4)
    for place in surface.traps:
        assert surface.height(np.array(place)) > 1


def test_settings_and_styles_are_of_optimizers_and_an_optimizer_needs_none(monkeypatch, tmp_path):
    assert set(pictures.SETTINGS) <= set(OPTIMIZERS)
    assert set(drawing.STYLES) | set(pictures.SAME) <= set(OPTIMIZERS)
    monkeypatch.setitem(OPTIMIZERS, "another", OPTIMIZERS["sgd"])
    paths = {"another": pictures.trajectory(pictures.SURFACES[0], "another", steps=3)}
    labels = {"another": pictures.label("another")}
    assert labels["another"] == "another  (rate 0.01)"
    drawing.trajectories(pictures.SURFACES[0], paths, labels, tmp_path / "another.png")
    assert (tmp_path / "another.png").exists()
    drawing.race([(pictures.SURFACES[0], paths)], labels, tmp_path / "another.gif", frames=2)
    assert (tmp_path / "another.gif").exists()


def test_labels_name_settings_and_doubles():
    assert "adagrad = " in pictures.label("adagrad")
    assert "epsilon 0.001" in pictures.label("adadelta")


def test_sgd_on_the_bowl_in_closed_form():
    found = pictures.trajectory(BOWL, "sgd", 6)
    n = np.arange(7)
    np.testing.assert_allclose(found, np.stack([-4 * 0.97**n, 1.5 * (1 - 0.03 * 50) ** n], -1), rtol=1e-6)


@pytest.mark.parametrize(("double", "name"), pictures.SAME.items())
def test_doubles_retrace_the_line_they_share(double, name):
    found, shown = (pictures.trajectory(RAVINE, rule, 40) for rule in (double, name))
    np.testing.assert_allclose(found, shown, atol=1e-4)


def test_momentum_passes_the_local_minimum_that_holds_sgd():
    assert RAVINE.height(pictures.trajectory(RAVINE, "sgd")[-1]) == pytest.approx(1.7236, abs=1e-3)
    assert RAVINE.height(pictures.trajectory(RAVINE, "momentum")[-1]) < 1e-3


def test_a_path_that_runs_away_is_cut_off():
    steep = dataclasses.replace(BOWL, value=lambda x, y: 1000.0 * (x**2 + y**2))
    found = pictures.trajectory(steep, "sgd", 20)
    assert np.isnan(found[-1]).all()
    assert np.abs(found[np.isfinite(found)]).max() < 1e3


def test_schedule_curves():
    curve = pictures.schedule_curve(learning_rate=0.1, schedule="sgdr", schedule_every=10.0, cycle_multiplier=2.0)
    assert curve.snapshots == [10, 30, 70]
    assert curve.rates[0] == 0.1
    assert curve.accuracy is None
    curve = pictures.schedule_curve(learning_rate=0.1, schedule="plateau")
    assert sorted(set(np.round(curve.rates, 9))) == [0.0001, 0.001, 0.01, 0.1]
    assert (np.diff(curve.rates) <= 0).all()


def test_pictures_are_written(tmp_path):
    paths = {name: pictures.trajectory(SADDLE, name, 5) for name in ("sgd", "adam")}
    labels = {name: pictures.label(name) for name in paths}
    drawing.trajectories(SADDLE, paths, labels, tmp_path / "saddle.png")
    drawing.race([(SADDLE, paths), (BOWL, paths)], labels, tmp_path / "race.gif", frames=3)
    from PIL import Image

    assert Image.open(tmp_path / "saddle.png").size == (1540, 704)
    assert Image.open(tmp_path / "race.gif").n_frames == 3
