from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

import tables
import train
from cli import registry
from common.nn.drop_path import Join
from common.runs import checkpoints
from zoo import fractalnet

# Parameters, multiply-adds in millions, convolutions in all columns.
COSTS = {"fractalnet20": (33724618, 845.22, 35), "fractalnet40": (76106634, 2036.08, 75)}


@pytest.mark.parametrize("name", COSTS)
def test_costs(name):
    parameters, millions, convolutions = COSTS[name]
    totals = tables.summarise(name).totals
    assert totals.trainable_parameters == parameters
    assert round(totals.multiply_adds / 1e6, 2) == millions
    assert len(tables.outputs(name, "convolution")) == convolutions


@pytest.mark.parametrize("depth", [20, 40])
def test_the_deepest_column_alone_is_a_plain_network(depth):
    rows = tables.summarise(f"fractalnet{depth}", column="deepest").rows
    assert sum(row.kind == "convolution" for row in rows) == depth
    assert not [row.name for row in rows if row.kind in ("join", "concat", "add")]


def test_joins_stand_where_columns_end_in_the_same_row():
    """C = 3: two columns after row 2, all three after row 4, behind their pools. C = 4: 2, 3, 2, 4."""
    joins = {
        name: [layer.columns for layer in registry.find(name).build(column="all").layers if isinstance(layer, Join)]
        for name in COSTS
    }
    assert joins["fractalnet20"] == [(0, 1), (0, 1, 2)] * 5
    assert joins["fractalnet40"] == [(0, 1), (0, 1, 2), (0, 1), (0, 1, 2, 3)] * 5
    assert tables.outputs("fractalnet20", "join") == [
        f"block{number}_row{row}_join {size}x{size}x{channels}"
        for number, (size, channels) in enumerate(zip((32, 16, 8, 4, 2), fractalnet.CHANNELS, strict=True), 1)
        for row, size in ((2, size), (4, size // 2))
    ]


def small(**options):
    """Three columns with few channels, and random statistics."""
    narrow = pytest.MonkeyPatch()
    narrow.setattr(fractalnet, "CHANNELS", (2, 3, 4, 5, 6))
    try:
        return fractalnet.build(20, classes=3, initializer="he", **options)
    finally:
        narrow.undo()


def test_a_block_is_the_expansion_of_the_fractal():
    """f_1 = conv, f_{C+1}(z) = join(f_C(f_C(z)), conv(z)), written as the recursion that it is."""
    model = small()
    image = np.random.default_rng(0).normal(size=(2, 32, 32, 3)).astype("float32")

    def unit(name, z):
        for layer in (name, f"{name}_bn", f"{name}_relu"):
            z = model.get_layer(layer)(z)
        return z

    def fractal(columns, z, first, pool=lambda parts: parts):
        """Its parts before the last join: the outputs of the deepest columns joined, and of each further one."""
        rows = 2 ** (columns - 1)
        here = unit(f"block1_row{first + rows - 1}_column{columns - 1}", z)
        if columns == 1:
            return [here]
        inner = join(fractal(columns - 1, z, first))
        return [*fractal(columns - 1, inner, first + rows // 2), here]

    def join(parts):
        return sum(part.numpy() for part in parts) / len(parts)

    pooled = [tf.nn.max_pool2d(part, 2, 2, "VALID") for part in fractal(3, tf.constant(image), 1)]
    found = type(model)(model.input, model.get_layer("block1_row4_join").output)(image)
    np.testing.assert_allclose(found, join(pooled), rtol=1e-5, atol=1e-6)


def test_the_deepest_column_has_the_weights_and_the_output_of_its_layers():
    whole, alone = small(), small(column="deepest")
    weights = {variable.path: variable for variable in whole.variables}
    for variable in alone.variables:
        if "seed" not in variable.path:
            variable.assign(weights[variable.path])
    image = z = np.random.default_rng(0).normal(size=(2, 32, 32, 3)).astype("float32")
    for block in range(1, 6):
        for row in range(1, 5):
            name = f"block{block}_row{row}_column0"
            for layer in (name, f"{name}_bn", f"{name}_relu"):
                z = whole.get_layer(layer)(z)
        z = tf.nn.max_pool2d(z, 2, 2, "VALID")
    z = whole.get_layer("fc")(tf.reshape(z, (2, -1)))
    np.testing.assert_allclose(alone(image), z, rtol=1e-5, atol=1e-6)
    assert not np.allclose(alone(image), whole(image), atol=1e-3 * np.abs(z).max())


@pytest.mark.slow
def test_in_a_global_step_the_output_is_that_of_one_column():
    """Each step is one of three plain networks; in training, so with the batch's statistics."""
    model = small(global_paths=1.0, dropout=0.0)
    image = np.random.default_rng(0).normal(size=(4, 32, 32, 3)).astype("float32")
    outputs = {}
    for column in range(3):
        z = tf.constant(image)
        for block in range(1, 6):
            for row in range(2**column, 5, 2**column):
                name = f"block{block}_row{row}_column{column}"
                z = model.get_layer(name)(z)
                z = model.get_layer(f"{name}_relu")(model.get_layer(f"{name}_bn")(z, training=True))
            z = tf.nn.max_pool2d(z, 2, 2, "VALID")
        outputs[column] = model.get_layer("fc")(tf.reshape(z, (4, -1))).numpy()
    scale = np.abs(outputs[0]).max()
    met = set()
    for _ in range(20):
        found = model(image, training=True).numpy()
        same = [c for c, wanted in outputs.items() if np.abs(found - wanted).max() < 1e-4 * scale]
        assert len(same) == 1
        met |= set(same)
    assert met == {0, 1, 2}


def test_dropout_rises_from_block_to_block():
    layers = registry.find("fractalnet20").build(image_size=32).layers
    rates = {layer.name.split("_")[0]: layer.rate for layer in layers if layer.name.endswith("_dropout")}
    assert rates == pytest.approx({"block2": 0.1, "block3": 0.2, "block4": 0.3, "block5": 0.4})


def test_recipe():
    recipe = fractalnet.RECIPE
    assert recipe.schedule_boundaries == tuple(epoch * 450 for epoch in (200, 300, 350, 375))
    assert (recipe.batch_size, recipe.epochs, recipe.learning_rate) == (100, 400, 0.02)


@pytest.fixture
def run(monkeypatch, tmp_path):
    """A run of a narrow FractalNet on the digits, of one epoch."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["train.py"])
    monkeypatch.setattr(fractalnet, "CHANNELS", (4, 4, 8, 8, 8))
    train.main(None, ["--mode", "train", "--arch", "fractalnet20", "--epochs", "1", "--ckpt", "run"])


@pytest.mark.slow
def test_a_trained_network_is_tested_whole_or_by_its_deepest_column(run, capsys):
    loss = {}
    for column in ("all", "deepest"):
        capsys.readouterr()
        train.main(None, ["--mode", "test", "--arch", "fractalnet20", "--restore", "run", "--column", column])
        loss[column] = checkpoints.read_json(Path("run/results.json"))["loss"]
    assert loss["all"] != loss["deepest"]
    with pytest.raises(SystemExit):
        train.main(None, ["--mode", "test", "--restore", "run", "--drop_path", "0.1"])
    assert "--drop_path means nothing in --mode=test" in capsys.readouterr().err
