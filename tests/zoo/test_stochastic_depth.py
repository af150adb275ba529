import json

import pytest

import train
from cli import registry
from zoo import stochastic_depth


def test_the_network_is_resnet110_with_its_blocks_at_risk():
    architecture = registry.find("resnet110_stochastic_depth")
    model = architecture.build(classes=10, image_size=8)
    survivals = [layer.survival for layer in model.layers if layer.name.endswith("_survival")]

    assert len(survivals) == 54
    assert (survivals[0], survivals[26], survivals[53]) == pytest.approx((1 - 0.5 / 54, 0.75, 0.5))
    assert sum(survivals) == pytest.approx(40.25)
    assert architecture.defaults["stochastic_depth"] == 0.5


def test_recipe():
    recipe = stochastic_depth.RECIPE
    assert (recipe.epochs, recipe.batch_size, recipe.learning_rate, recipe.weight_decay) == (500, 128, 0.1, 1e-4)
    assert (recipe.optimizer, recipe.momentum, recipe.schedule_factor) == ("nesterov", 0.9, 0.1)
    assert recipe.schedule_boundaries == (250 * (45000 // 128), 375 * (45000 // 128))


def run(*arguments):
    train.main(
        "resnet34", ["--mode", "train", "--arch", "resnet20", "--image_size", "8", "--batch_size", "64", *arguments]
    )


@pytest.mark.slow
def test_a_stopped_run_goes_on_as_if_it_had_not_stopped(monkeypatch, tmp_path):
    """The blocks that are left out are drawn from a state that checkpoints keep."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["resnet34.py"])
    options = ("--stochastic_depth", "0.5", "--log_every", "1")
    run("--epochs", "2", "--ckpt", "whole", *options)
    run("--epochs", "2", "--ckpt", "parts", "--save_every", "5", *options)
    folders = sorted((tmp_path / "parts" / "checkpoints").iterdir())
    assert folders
    rows = [(tmp_path / name / "metrics.csv").read_text() for name in ("whole", "parts")]
    assert rows[0] == rows[1]
    assert json.loads((tmp_path / "whole" / "config.json").read_text())["options"]["stochastic_depth"] == 0.5


def test_xla_is_refused(monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["resnet34.py"])
    with pytest.raises(SystemExit) as caught:
        run("--stochastic_depth", "0.5", "--jit")
    assert caught.value.code == 2
    assert "--jit" in capsys.readouterr().err
