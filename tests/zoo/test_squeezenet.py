import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import tables
import train
from cli import registry
from common.errors import UserError
from common.nn import summary
from zoo import squeezenet

# Parameters; multiply-adds in millions at 224 and at 227 pixels. Caffe's 1.0 pads conv10 and has 861.34 at 227.
PADDING = (15**2 - 13**2) * 512 * 1000 / 1e6
COSTS = {
    "squeezenet1_0": (1248424, 818.92, round(861.34 - PADDING, 2)),
    "squeezenet1_1": (1235496, 349.15, 387.75),
}


@pytest.mark.parametrize("name", COSTS)
def test_costs(name):
    parameters, at_224, at_227 = COSTS[name]
    totals = tables.summarise(name).totals
    assert totals.trainable_parameters == parameters
    assert round(totals.multiply_adds / 1e6, 2) == at_224
    larger = summary.summarise(registry.find(name), None, 227).totals
    assert round(larger.multiply_adds / 1e6, 2) == at_227


def test_every_output():
    assert tables.outputs("squeezenet1_0", "max pool", "concat") == [
        "pool1 54x54x96",
        "fire2 54x54x128",
        "fire3 54x54x128",
        "fire4 54x54x256",
        "pool4 27x27x256",
        "fire5 27x27x256",
        "fire6 27x27x384",
        "fire7 27x27x384",
        "fire8 27x27x512",
        "pool8 13x13x512",
        "fire9 13x13x512",
    ]
    assert tables.outputs("squeezenet1_1", "max pool", "concat") == [
        "pool1 55x55x64",
        "fire2 55x55x128",
        "fire3 55x55x128",
        "pool3 27x27x128",
        "fire4 27x27x256",
        "fire5 27x27x256",
        "pool5 13x13x256",
        "fire6 13x13x384",
        "fire7 13x13x384",
        "fire8 13x13x512",
        "fire9 13x13x512",
    ]


def test_a_fire_module_is_its_row_of_table_1():
    rows = {row.name: row for row in tables.summarise("squeezenet1_0").rows}
    # Table 1's parameters of fire2 and fire9, before pruning: 11,920 and 197,184.
    for number, parameters in ((2, 11920), (9, 197184)):
        parts = [rows[f"fire{number}_{part}"] for part in ("squeeze", "expand1x1", "expand3x3")]
        assert sum(part.parameters for part in parts) == parameters
        assert [(part.kernel, part.padding) for part in parts] == [(1, 0), (1, 0), (3, 1)]
        assert tuple(part.output[-1] for part in parts) == tuple(squeezenet.FIRES[number])


@pytest.mark.parametrize(("name", "smallest"), [("squeezenet1_0", 29), ("squeezenet1_1", 25)])
def test_the_smallest_image(name, smallest):
    build = registry.find(name).build
    assert build(classes=3, image_size=smallest).output.shape == (None, 3)
    with pytest.raises(UserError, match=f"the smallest that fits is {smallest}"):
        build(classes=3, image_size=smallest - 1)


def test_recipe():
    recipe = squeezenet.RECIPE
    assert recipe.epochs == round(512 * 170000 / 1281167)
    assert (recipe.schedule, recipe.learning_rate, recipe.weight_decay) == ("linear", 0.04, 2e-4)


@pytest.mark.slow
def test_every_mode_takes_a_network_that_ends_in_a_convolution(monkeypatch, tmp_path, capfd):
    """Trained, tested, put in an ensemble, read, shown pictures, exported and trained on from; with few channels."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["train.py"])
    narrow = {number: squeezenet.Fire(2, 4, 4) for number in squeezenet.FIRES}
    monkeypatch.setattr(squeezenet, "FIRES", narrow)
    arch = ("--arch", "squeezenet1_1")

    def run(*arguments):
        train.main(None, list(map(str, arguments)))
        return capfd.readouterr().out

    run("--mode", "train", *arch, "--image_size", 33, "--batch_size", 128, "--epochs", 1, "--ckpt", "one")
    run("--mode", "test", "--restore", "one,one", "--ckpt", "both")
    one, both = (json.loads(Path(folder, "results.json").read_text()) for folder in ("one", "both"))
    assert both["top1"] == one["top1"]
    run("--mode", "test", "--restore", "one", "--crops", "dense", "--scales", "40", "--ckpt", "dense")
    (dense,) = Path("dense").glob("results*.json")
    assert json.loads(dense.read_text())["images"] == one["images"]
    run("--mode", "features", "--restore", "one", "--out", "values")
    with np.load("values/features.npz") as values:
        assert values["features"].shape == (one["images"], 8)  # what conv10 reads: the maps of fire9, averaged
    Image.fromarray(np.full((40, 40, 3), 128, np.uint8)).save("grey.png")
    assert "grey.png" in run("--mode", "predict", "--restore", "one", "--images", "grey.png")
    formats = "saved_model,keras,tflite"
    exported = run("--mode", "export", "--restore", "one", "--export_format", formats, "--out", "files", "--verify")
    assert exported.count("same most likely class") == 3
    flags = ("--freeze", "conv", "--head_learning_rate", "0.1", "--restore", "one", "--ckpt", "onwards")
    told = run("--mode", "train", *arch, "--image_size", 33, "--batch_size", 128, "--epochs", 1, *flags)
    assert "conv10 at 0.1" in told
    assert "fire9_expand3x3 (25 layers) frozen" in told
