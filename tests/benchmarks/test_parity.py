"""Training here and in PyTorch: the same losses from the same start, accuracies that chance explains over seeds."""

import contextlib
import csv
import dataclasses
import json

import numpy as np
import pytest

import tiny
from benchmarks import parity
from cli import plan as plans
from cli import train
from common.errors import UserError
from common.input import pipeline
from common.recipe import Recipe
from common.training import trainer

pytest.importorskip("torch")
peer = pytest.importorskip("benchmarks.parity_torch")
NO_CONTEXT = contextlib.nullcontext()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Where the digits are prepared once."""
    return tmp_path_factory.mktemp("here")


@pytest.fixture(autouse=True)
def here(folder, monkeypatch):
    monkeypatch.chdir(folder)


def plan_of(*arguments):
    options, rest = parity.parse(list(arguments))
    return plans.make(parity.recipe_flags(options, [*rest, "--precision=float32"]), None)


def copy_weights(model, network) -> None:
    """Our weights into PyTorch's layers, in the order of computation, which both define theirs in."""
    ours = [layer for layer in model.layers if layer.trainable_variables]
    theirs = [module for module in network.modules() if list(module.parameters(recurse=False))]
    for layer, module in zip(ours, theirs, strict=True):
        values = [variable.numpy() for variable in layer.trainable_variables]
        if values[0].ndim == 4:
            values[0] = values[0].transpose(3, 2, 0, 1)
        elif layer.name == "fc6":  # of flattened maps, whose channels come first in PyTorch
            side = round((len(values[0]) / 256) ** 0.5)
            maps = values[0].reshape(side, side, 256, -1)
            values[0] = maps.transpose(3, 2, 0, 1).reshape(maps.shape[-1], -1)
        elif values[0].ndim == 2:
            values[0] = values[0].T
        for parameter, value in zip(module.parameters(recurse=False), values, strict=True):
            parameter.data = peer.torch.tensor(np.ascontiguousarray(value))


# A small rate, and classifiers that start small: at the recipes' own rates rounding errors grow tenfold a step (a unit
# at ReLU's edge turns over in one of the two and not in the other), and after ten steps nothing can be compared. The
# weight decay is large, so that ten steps show it.
START = ("--weight_decay=0.1", "--batch_size=64", "--epochs=1")
NETWORKS = {
    "resnet20": ("--learning_rate=0.003", "--classifier_initializer=gaussian"),
    "alexnet": ("--learning_rate=0.001", "--initializer=glorot", "--dropout=0", "--image_size=67"),
}


@pytest.mark.slow
@pytest.mark.parametrize("arch", NETWORKS)
def test_ten_steps_from_the_same_start_have_the_same_losses(arch):
    plan = plan_of(f"--arch={arch}", *START, *NETWORKS[arch])
    recipe, job = plan.config.recipe, train.make_job(plan)
    network = peer.NETWORKS[arch](10, plan.config.image_size, recipe.dropout)
    copy_weights(job.model, network)
    optimizer, step = peer.make_optimizer(network, recipe), trainer.make_train_step(job)
    job.optimizer.learning_rate.assign(recipe.learning_rate)
    ours, theirs = [], []
    for images, labels in job.training(0).take(10).as_numpy_iterator():
        kernels = [parameter.detach().double() for parameter in network.parameters() if parameter.ndim > 1]
        squares = recipe.weight_decay / 2 * sum(float((kernel**2).sum()) for kernel in kernels)
        loss, right = peer.step(network, optimizer, images.copy(), labels.astype(np.int64), recipe, NO_CONTEXT)
        theirs.append([loss, squares, right / 64])
        ours.append(step(images, labels).numpy()[[0, 1, 3]])
    ours, theirs = np.array(ours), np.array(theirs)
    assert np.ptp(theirs[:, 0]) > 0.02  # the steps do something
    np.testing.assert_allclose(ours[:, :2], theirs[:, :2], rtol=1e-3)
    np.testing.assert_allclose(ours[:, 2], theirs[:, 2], atol=1.5 / 64)  # one picture at most that is undecided


def accuracies(folder, contender, column):
    with open(folder / "parity.csv", newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["contender"] == contender]
    return {(int(row["seed"]), int(row["epoch"])): float(row[column]) for row in rows}


@pytest.mark.slow
def test_two_short_epochs_lie_within_the_spread_of_the_seeds(tmp_path):
    """ResNet-20 on the digits. Tests would say little: so early batch norm's moving statistics do not follow yet."""
    contenders, seeds = ("ours-float32", "torch-float32"), 4
    recipe = ("--arch=resnet20", "--dataset=digits", "--epochs=2", "--batch_size=32", "--learning_rate=0.05")
    parity.main([*recipe, "--seeds=0,1,2,3", f"--contenders={','.join(contenders)}", f"--out={tmp_path}"])
    for epoch in (1, 2):
        found = [accuracies(tmp_path, name, "train_top1") for name in contenders]
        ours, theirs = (np.array([one[seed, epoch] for seed in range(seeds)]) for one in found)
        error = np.sqrt((ours.var(ddof=1) + theirs.var(ddof=1)) / seeds)
        assert error < 0.08  # else a difference would go unseen
        assert abs(ours.mean() - theirs.mean()) < 3 * error
    assert min(ours.mean(), theirs.mean()) > 0.45  # both learn


@pytest.mark.slow
def test_a_stopped_comparison_goes_on_with_the_same_numbers(tmp_path, monkeypatch):
    tiny.register(monkeypatch, tmp_path)
    monkeypatch.setitem(peer.NETWORKS, "tiny", lambda *arguments: peer.SmallResNet(8, *arguments))
    command = ["--arch=tiny", "--epochs=2", "--seeds=3", "--batch_size=64", "--drops=30"]
    parity.main([*command, "--out=whole"])
    add = parity.Results.add

    def stop_after_the_first(self, contender, seed, row):
        add(self, contender, seed, row)
        if (contender, row["epoch"]) == ("torch-float32", 1):
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(parity.Results, "add", stop_after_the_first)
        with pytest.raises(KeyboardInterrupt):
            parity.main([*command, "--out=stopped"])
    parity.main([*command, "--out=stopped"])
    whole, stopped = (tmp_path / name / "parity.csv" for name in ("whole", "stopped"))
    assert stopped.read_text() == whole.read_text()
    assert len(whole.read_text().splitlines()) == 5
    assert not (tmp_path / "whole/results.json").exists()  # of two contenders
    parity.main([*command, "--contenders=torch-float32", "--out=whole"])
    last = json.loads((tmp_path / "whole/results.json").read_text())
    assert whole.read_text().splitlines()[-1].split(",")[2:] == ["2", *map(str, last_of(last))]
    with pytest.raises(UserError, match=r"--out=stopped holds results of other settings \(recipe\)"):
        parity.main([*command, "--learning_rate=0.01", "--out=stopped"])


@pytest.mark.slow
def test_a_diverged_run_has_no_figures(tmp_path, monkeypatch, capsys):
    tiny.register(monkeypatch, tmp_path)
    monkeypatch.setitem(peer.NETWORKS, "tiny", lambda *arguments: peer.SmallResNet(8, *arguments))
    wild = ["--arch=tiny", "--epochs=1", "--seeds=3", "--batch_size=64", "--learning_rate=1e30", "--drops=900"]
    for contender in ("torch-float32", "ours-float32"):
        with pytest.raises(UserError) as caught:
            parity.main([*wild, f"--contenders={contender}", f"--out={contender}"])
        assert caught.value.exit_code == 3
        assert len((tmp_path / contender / "parity.csv").read_text().splitlines()) == 1
        assert not (tmp_path / contender / "results.json").exists()
    assert capsys.readouterr().err.startswith("note: piecewise drops at 900 steps, but the run has 19\n")


def last_of(results):
    return results["train_top1"], results["top1"], results["loss"]


def row(epoch, top1):
    return {"epoch": epoch, "train_top1": 0.5, "test_top1": top1, "test_loss": 1.25}


def test_the_table_has_means_spreads_and_the_distance_to_pytorch(tmp_path):
    results = parity.Results(tmp_path, {"arch": "resnet20"})
    for seed, (ours, theirs) in enumerate([(0.50, 0.60), (0.54, 0.62), (0.58, 0.64)]):
        results.add("ours-float32", seed, row(1, ours))
        results.add("torch-float32", seed, row(1, theirs))
    results.add("ours-float32", 0, row(1, 0.99))  # there already
    lines = parity.table(results).splitlines()
    assert lines[0].split() == ["epoch", "ours-float32", "torch-float32"]
    assert " ".join(lines[1].split()) == "1 54.00 +- 4.00 (3) 62.00 +- 2.00 (3)"
    # 8 / sqrt((4^2 + 2^2) / 3)
    assert lines[2] == "ours-float32: -8.00 points against torch-float32 after epoch 1, 3.1 standard errors"
    with open(tmp_path / "parity.csv", "a") as file:
        file.write("ours-float32,7,1,0.")  # a kill
    again = parity.Results(tmp_path, {"arch": "resnet20"})
    assert again.rows == results.rows
    assert again.epochs("ours-float32", 2) == 1
    with pytest.raises(UserError, match=r"other settings \(arch, seed\)"):
        parity.Results(tmp_path, {"arch": "alexnet", "seed": 1})


def test_the_results_of_one_run(tmp_path):
    results = parity.Results(tmp_path, {})
    for seed, contender, top1 in ((7, "ours-bfloat16", 0.5), (7, "torch-float32", 0.1), (3, "ours-bfloat16", 0.2)):
        results.add(contender, seed, row(1, top1 - 0.05))
        results.add(contender, seed, row(2, top1))
    parity.write_results(results, "ours-bfloat16", 7, tmp_path / "results.json")
    assert json.loads((tmp_path / "results.json").read_text()) == {
        **{"top1": 0.5, "loss": 1.25, "train_top1": 0.5, "epochs": 2, "precision": "mixed_bfloat16"},
        "curves": {"train_top1": [[1, 0.5], [2, 0.5]], "test_top1": [[1, 0.45], [2, 0.5]]},
    }


def test_pytorch_sees_the_same_pictures():
    plan = plan_of("--arch=resnet20", "--image_size=20")
    preprocessing = pipeline.Preprocessing(**plan.config.preprocessing)
    split, mean = plan.data.splits["test"], pipeline.mean_picture(preprocessing)
    pictures = peer.decode(split, preprocessing.resize)
    images, labels, *_ = next(iter(pipeline.evaluation(split, preprocessing, batch_size=100)))
    np.testing.assert_array_equal(pictures.labels[:100], labels)
    for shown, picture in zip(images.numpy(), pictures.images, strict=False):
        np.testing.assert_allclose(peer.central(picture, 20) - mean, shown, atol=0.5 + 1e-3)  # rounded to whole numbers


def test_every_crop_of_the_padded_picture_and_its_mirror_image_are_drawn():
    picture = np.arange(6 * 6 * 3, dtype=np.uint8).reshape(6, 6, 3) + 1
    mean = np.full((6, 6, 3), 5, np.float32)
    padded = np.pad(picture - mean, ((4, 4), (4, 4), (0, 0)))
    mirrored = np.pad((picture - mean)[:, ::-1], ((4, 4), (4, 4), (0, 0)))
    places = {
        side[top : top + 6, left : left + 6].tobytes(): (number, top, left)
        for number, side in enumerate((padded, mirrored))
        for top in range(9)
        for left in range(9)
    }
    assert len(places) == 162
    random, recipe = np.random.default_rng(0), Recipe(crop="pad")
    drawn = [places[peer.augment(picture, recipe, True, mean, random).tobytes()] for _ in range(2000)]
    assert len(set(drawn)) == 162
    assert 900 < sum(side for side, _, _ in drawn) < 1100
    still = [places[peer.augment(picture, recipe, False, mean, random).tobytes()][0] for _ in range(50)]
    assert not any(still)


def test_brightness_and_contrast():
    picture = np.random.default_rng(1).integers(0, 256, (4, 4, 3)).astype(np.uint8)
    recipe = Recipe(crop="none", flip=False, brightness=0.1, contrast=0.2)
    factors, shifts = [], []
    for seed in range(200):
        found = peer.augment(picture, recipe, True, np.zeros((4, 4, 3), np.float32), np.random.default_rng(seed))
        moved = found.mean((0, 1)) - picture.mean((0, 1))
        np.testing.assert_allclose(moved, moved[0], atol=1e-3)
        shifts.append(moved[0])
        factors.append(found.std() / np.std(picture - picture.mean((0, 1)) + picture.mean()))
    assert -25.5 <= min(shifts) < -20 < 20 < max(shifts) <= 25.5
    assert 0.75 < min(factors) < 0.9 < 1.1 < max(factors) < 1.25


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"crop": "scale"}, "--crop=scale: the comparison with PyTorch knows random, pad, none"),
        ({"schedule": "plateau"}, "--schedule=plateau"),
        ({"optimizer": "adam"}, "--optimizer=adam"),
        ({"clip_norm": 1.0}, "--clip_norm=1.0: the comparison with PyTorch knows 0.0 only"),
    ],
)
def test_a_recipe_beyond_the_peer_is_refused(change, said):
    with pytest.raises(UserError, match=said):
        peer.check(dataclasses.replace(Recipe(schedule="constant"), **change))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--contenders=ours"], "--contenders: ours is not one of ours-float32, "),
        (["--seeds=a"], "--seeds=a: give whole numbers"),
        (["--seeds=0,-1"], "--seeds=0,-1: give whole numbers from 0 on"),
        (["--threads=0"], "--threads=0: give a whole number from 1 on"),
        (["--table", "--out=nowhere"], r"--out=nowhere: there are no results \(parity.csv\) in it"),
        (["--arch=vgg16"], "--arch=vgg16: PyTorch's side has alexnet, resnet20"),
        (["--shortcut=B"], "options of the network"),
    ],
)
def test_what_cannot_be_compared_is_said(arguments, said):
    with pytest.raises(UserError, match=said):
        parity.main(arguments)
