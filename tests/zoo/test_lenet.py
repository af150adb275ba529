import numpy as np
import pytest

import tables
from cli import registry
from common.errors import UserError
from zoo import lenet


# arch, parameters, multiply-adds in millions
@pytest.mark.parametrize(("arch", "parameters", "millions"), [("lenet5_1998", 60000, 0.326), ("lenet5", 61706, 0.417)])
def test_parameters_and_multiply_adds(arch, parameters, millions):
    totals = tables.summarise(arch).totals

    assert totals.trainable_parameters == parameters
    assert round(totals.multiply_adds / 1e6, 3) == millions


def test_every_layer_of_the_paper():
    rows = {row.name: row for row in tables.summarise("lenet5_1998").rows}
    # Section II.B: parameters and connections; a connection is a multiply-add, or a bias added.
    paper = {
        "c1": ((28, 28, 6), 156, 122304),
        "s2": ((14, 14, 6), 12, 5880),
        "c3": ((10, 10, 16), 1516, 151600),
        "s4": ((5, 5, 16), 32, 2000),
        "c5": ((1, 1, 120), 48120, 48120),
        "f6": ((84,), 10164, 10164),
    }
    sums = {name: 4 * int(np.prod(rows[name].output)) for name in ("s2", "s4")}  # four places each

    for name, (output, parameters, connections) in paper.items():
        row = rows[name]
        found = sums.get(name, row.multiply_adds) + int(np.prod(row.output))
        assert (row.output, row.parameters, found) == (output, parameters, connections)
    assert rows["output"].parameters == rows["output"].non_trainable_parameters == 0
    assert sum(parameters for _, parameters, _ in paper.values()) == 60000
    assert sum(connections for *_, connections in paper.values()) + 840 == 340908


# Table I, by map of S2, top to bottom: the maps of C3 that it feeds.
TABLE_1 = (
    "X...XXX..XXXX.XX",
    "XX...XXX..XXXX.X",
    "XXX...XXX..X.XXX",
    ".XXX..XXXX..X.XX",
    "..XXX..XXXX.XX.X",
    "...XXX..XXXX.XXX",
)


def test_the_table_of_c3_is_table_1():
    found = tuple("".join("X" if source in row else "." for row in lenet.C3) for source in range(6))

    assert found == TABLE_1
    assert sum(map(len, lenet.C3)) == 60


def squash(a):
    return 1.7159 * np.tanh(2 / 3 * a)


def correlate(maps, window):
    """One window over one map of each image: (N, H, W), (5, 5) -> (N, H - 4, W - 4)."""
    size = maps.shape[1] - 4
    return sum(window[i, j] * maps[:, i : i + size, j : j + size] for i in range(5) for j in range(5))


def lenet_1998(weights, images):
    """Section II.B map by map, in float64: {layer: its arrays}, (N, 32, 32, 3) -> the squared distances (N, 10)."""

    def subsample(maps, coefficients, biases):
        sums = [a[:, ::2, ::2] + a[:, 1::2, ::2] + a[:, ::2, 1::2] + a[:, 1::2, 1::2] for a in maps]
        return [squash(w * a + b) for a, w, b in zip(sums, coefficients, biases, strict=True)]

    grey = images.astype(np.float64).mean(-1) / 200
    kernel, bias = weights["c1"]
    maps = [squash(correlate(grey, kernel[:, :, 0, i]) + bias[i]) for i in range(6)]
    maps = subsample(maps, *weights["s2"])
    windows, bias = weights["c3"]
    windows = iter(np.moveaxis(windows, -1, 0))
    sums = [
        sum(correlate(maps[source], next(windows)) for source in range(6) if TABLE_1[source][i] == "X")
        for i in range(16)
    ]
    maps = subsample([squash(a + b) for a, b in zip(sums, bias, strict=True)], *weights["s4"])
    kernel, bias = weights["c5"]
    values = squash(np.stack(maps, -1).reshape(len(images), -1) @ kernel.reshape(-1, 120) + bias)
    values = squash(values @ weights["f6"][0] + weights["f6"][1])
    return ((values[:, None] - lenet.codes(10)) ** 2).sum(-1)


def test_the_network_of_1998_is_a_second_implementation_of_it():
    model = registry.find("lenet5_1998").build()
    random = np.random.default_rng(0)
    for variable in model.trainable_variables:
        wide = 0.5 if len(variable.shape) == 1 else (1 / np.prod(variable.shape[:-1])) ** 0.5
        variable.assign(random.normal(0, wide, variable.shape))
    weights = {layer.name: layer.get_weights() for layer in model.layers if layer.trainable_variables}
    assert list(weights) == ["c1", "s2", "c3", "s4", "c5", "f6"]
    images = random.normal(0, 100, (5, 32, 32, 3)).astype("float32")

    wanted = lenet_1998(weights, images)
    np.testing.assert_allclose(model(images), -wanted, rtol=0, atol=1e-4 * wanted.max())
    assert wanted.std(0).min() > 1e-3 * wanted.max()  # the images differ


def test_codes_are_bitmaps_of_the_ten_digits_and_random_for_other_classes():
    digits, others = lenet.codes(10), lenet.codes(26)

    assert (digits.shape, others.shape) == ((10, 84), (26, 84))
    assert set(digits.flat) == set(others.flat) == {-1.0, 1.0}
    assert "".join(".#"[int(place > 0)] for place in digits[7][:21]) == "#######.....##.....##"
    for codes in (digits, others):
        apart = ((codes[:, None] - codes) ** 2).sum(-1) + 100 * np.eye(len(codes))
        assert apart.min() >= 20
    np.testing.assert_array_equal(lenet.codes(26), others)


def test_todays_has_a_classifier_and_the_papers_none():
    todays, papers = (registry.find(name).build(classes=10) for name in ("lenet5", "lenet5_1998"))

    assert todays.layers[-1].kernel.shape == (84, 10)
    assert not papers.layers[-1].weights
    images = np.random.default_rng(0).normal(0, 60, (3, 32, 32, 3)).astype("float32")
    assert (papers(images).numpy() <= 0).all()
    shown = papers.get_layer("f6_scaled_tanh").output
    assert shown.shape == (None, 84)


@pytest.mark.parametrize(("arch", "smallest"), [("lenet5", 16), ("lenet5_1998", 32)])
def test_the_smallest_image(arch, smallest):
    assert registry.find(arch).build(image_size=smallest).output.shape == (None, 10)
    with pytest.raises(UserError, match=f"the smallest that fits is {smallest}"):
        registry.find(arch).build(image_size=smallest - 1)


def test_maxout_does_not_fit_trainable_subsampling():
    with pytest.raises(UserError, match="--activation=maxout: s2_maxout stands alone"):
        registry.find("lenet5_1998").build(activation="maxout")
