"""The mode test, run as a person runs it."""

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

import tiny
from cli import trained as trained_networks
from common import distribution
from common.evaluation import prediction
from common.input import datasets, pipeline
from common.nn import fully_convolutional, graph_rewrite
from common.nn.normalization import BatchNorm
from common.runs import checkpoints
from common.runs import config as runs
from tested_runs import make_runs, refused


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make_runs(tmp_path_factory.mktemp("testing"))


@pytest.fixture(autouse=True)
def _here(folder, monkeypatch):
    tiny.register(monkeypatch, folder)


def test_mode(*arguments):
    tiny.run("--mode", "test", "--arch", "tiny", *arguments)


test_mode.__test__ = False


def results(run, name=""):
    return json.loads((Path(run) / f"results{name and '-'}{name}.json").read_text())


def together(*runs):
    """Where the results of runs lie that are no ensemble."""
    (folder,) = Path("ckpt/ensemble").glob(f"{'+'.join(runs)}-*")
    return folder


def figures(values):
    return {name: values[name] for name in ("top1", "top5", "loss")}


def test_an_ensemble_prints_each_member_the_mean_and_the_gain(capsys):
    alone = []
    for seed in (5, 6):
        test_mode("--restore", f"all/seed-{seed}")
        alone.append(figures(results(f"all/seed-{seed}")))
    capsys.readouterr()
    test_mode("--restore", "all")
    said, found = capsys.readouterr().out.splitlines(), results("all")
    assert [figures(member) for member in found["members"]] == [pytest.approx(one, rel=1e-6) for one in alone]
    for line, one, seed in zip(said[1:], alone, (5, 6), strict=False):
        assert line.startswith(f"all/seed-{seed}/checkpoints/step-000000")
        assert f"top1 {one['top1']:.4f} top5 {one['top5']:.4f} loss {one['loss']:.4f} images 360" in line
    mean, best = np.mean([one["top1"] for one in alone]), max(one["top1"] for one in alone)
    assert found["gain"]["top1_over_mean"] == pytest.approx(found["top1"] - mean)
    assert found["gain"]["top1_over_best"] == pytest.approx(found["top1"] - best)
    assert f"together: top1 {found['top1']:.4f}, {found['top1'] - mean:+.4f} over the mean of the 2" in said[3]
    assert said[-1] == f"test top1 {found['top1']:.4f} top5 {found['top5']:.4f} loss {found['loss']:.4f} images 360"
    # By Jensen's inequality the mean of probabilities never has a higher loss than the mean of losses.
    assert found["loss"] <= np.mean([one["loss"] for one in alone])


def test_the_same_run_twice_is_the_run(capsys):
    test_mode("--restore", "all/seed-5")
    once = figures(results("all/seed-5"))
    test_mode("--restore", "all/seed-5,all/seed-5", "--ckpt", "out")
    assert figures(results("out")) == pytest.approx(once, rel=1e-6)
    assert len(results("out")["members"]) == 2


def test_networks_of_other_kinds_sizes_and_means_stand_together(capsys):
    tiny.run("--mode", "test", "--restore", "all/seed-5,plain")
    found = results(together("seed-5", "plain"))
    tiny.run("--mode", "test", "--restore", "plain")
    assert figures(found["members"][1]) == pytest.approx(figures(results("plain")), rel=1e-6)
    assert len({member["loss"] for member in found["members"]}) == 2


def test_a_folder_with_nothing_but_an_ensemble_means_it(capsys):
    Path("parent").mkdir(exist_ok=True)
    if not Path("parent/all").exists():
        shutil.copytree("all", "parent/all")
    test_mode("--restore", "parent")
    assert len(results("parent/all")["members"]) == 2


def test_snapshots_are_averaged_like_an_ensemble(capsys):
    kept = [str(path) for path in checkpoints.snapshots(Path("cycles"))]
    assert [path[-2:] for path in kept] == ["10", "19", "28", "38"]
    test_mode("--restore", "cycles", "--snapshots", "last:2")
    found = results("cycles", "snapshots-last-2")
    assert [member["checkpoint"] for member in found["members"]] == kept[2:]
    test_mode("--restore", ",".join(kept[2:]), "--ckpt", "out")
    assert figures(results("out", "step-00000028+step-00000038")) == figures(found)
    test_mode("--restore", "cycles", "--snapshots")
    assert len(results("cycles", "snapshots-all")["members"]) == 4


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--restore", "cycles", "--snapshots", "last:9"), "--snapshots=last:9: cycles holds only 4"),
        (("--restore", "cycles", "--snapshots", "first:2"), "give all, or last:N with a whole number, e.g. last:5"),
        (("--restore", "cycles", "--snapshots", "last:0"), "give all, or last:N"),
        (("--restore", "plain", "--snapshots", "all"), "plain holds none; train with --schedule sgdr --snapshots"),
        (("--restore", "all/seed-5,nowhere"), "--restore=nowhere: no such directory"),
        (("--restore", "all/seed-5,leaves"), "leaves was trained on other classes than all/seed-5"),
        (("--restore", "all/seed-5", "--scales", "8"), "8 is smaller than the network's input of 16"),
        (("--restore", "all/seed-5", "--scales", "big"), "--scales: give whole numbers"),
        (("--restore", "plain", "--batch_size", "0"), "--batch_size=0: must be a whole number of at least 1"),
        (("--restore", "plain", "--crops", "12"), "--crops: '12' is not known"),
        (("--restore", "plain", "--crops", "dense", "--strategy", "mirrored"), "--crops=dense runs on one device"),
        (("--restore", "leaves,other_leaves"), "drew their test split by other seeds (0 and 1)"),
    ],
)
def test_what_cannot_be_tested_is_said(capsys, arguments, message):
    assert message in refused(capsys, "--mode", "test", *arguments)


def test_protocols_are_recorded_and_said(capsys):
    test_mode("--restore", "all/seed-5", "--crops", "10", "--scales", "18,20", "--split", "validation")
    said, found = capsys.readouterr().out, results("all/seed-5", "validation-10crops-scales-18-20")
    assert (found["crops"], found["scales"], found["split"], found["images"]) == ("10", [18, 20], "validation", 180)
    assert "note: digits is trained without mirror images, and half of these views are mirrored" in said
    assert f"20 crops at short side 18, 20: {found['images_per_second']:.1f} images/s" in said


def test_dense_on_pictures_of_the_networks_size_is_the_crop_and_its_mirror_image(capsys):
    """Digits are square, so at 16 pixels there is one window: the mean of the picture's softmax and its mirror's."""
    test_mode("--restore", "all/seed-5", "--crops", "dense")
    found = results("all/seed-5", "dense")
    model = rebuilt("all/seed-5")
    images, labels = digits()
    scores = [tf.nn.softmax(model(part)).numpy().astype(np.float64) for part in (images, images[:, :, ::-1])]
    mean = np.mean(scores, 0)
    assert found["top1"] == np.mean(mean.argmax(1) == labels)
    assert found["loss"] == pytest.approx(-np.mean(np.log(mean[np.arange(360), labels])), rel=1e-5)


def rebuilt(run):
    """The network of a run with the weights of its best checkpoint, batch norm unfolded."""
    config = runs.read(Path(run))
    model = tiny.build(classes=len(config.classes))
    checkpoints.restore_weights(checkpoints.best(Path(run)), model)
    return model


def digits():
    config = runs.read(Path("all/seed-5"))
    split = datasets.open_dataset("datasets/digits").splits["test"]
    seen = pipeline.evaluation(split, pipeline.Preprocessing(**config.preprocessing), batch_size=360)
    images, labels, *_ = next(iter(seen))
    return images.numpy(), labels.numpy()


def test_networks_are_tested_folded(monkeypatch):
    formed = []
    real = fully_convolutional.convert
    monkeypatch.setattr(fully_convolutional, "convert", lambda model: formed.append(model) or real(model))
    test_mode("--restore", "all/seed-5", "--crops", "dense")
    assert not [layer for layer in formed[0].layers if isinstance(layer, BatchNorm)]
    assert graph_rewrite.main_path(formed[0]) is formed[0]


def test_the_error_analysis_lies_in_the_run_and_in_tensorboard(monkeypatch, folder, capsys):
    monkeypatch.undo()
    tiny.register(monkeypatch, folder, error_analysis=True)
    test_mode("--restore", "all/seed-6")
    names = {"predictions.csv", "per_class.csv", "confused.csv", "errors.png"}
    names |= {f"{name}.{kind}" for name in ("confusion", "calibration") for kind in ("csv", "png")}
    assert {path.name for path in Path("all/seed-6/test").iterdir()} == names
    with open("all/seed-6/test/predictions.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["index"]) for row in rows] == list(range(360))
    assert len({row["file"] for row in rows}) == 360
    images, labels = digits()
    wanted = tf.nn.softmax(rebuilt("all/seed-6")(images)).numpy()
    assert [int(row["label"]) for row in rows] == labels.tolist()  # digits' class names are the digits
    assert [int(row["predicted"]) for row in rows] == wanted.argmax(1).tolist()
    np.testing.assert_allclose([float(row["probability"]) for row in rows], wanted.max(1), atol=1e-4)
    tags = set()
    for path in Path("all/seed-6/tensorboard/test").glob("events.*"):
        for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator():
            tags |= {value.tag for value in tf.compat.v1.Event.FromString(record).summary.value}
    assert {"top1", "top5", "loss", "calibration_error", "test/confusion", "test/calibration", "test/errors"} <= tags


@pytest.mark.slow
def test_results_of_one_test_do_not_overwrite_anothers(capsys):
    test_mode("--restore", "all/seed-6")
    plain = Path("all/seed-6/results.json").read_bytes()
    shutil.copytree("datasets/digits", "copy")
    step = "all/seed-6/checkpoints/step-00000001"
    for name, arguments in {
        "10crops": ("--crops", "10", "--restore", "all/seed-6"),
        "dense-scales-20": ("--crops", "dense", "--scales", "20", "--restore", "all/seed-6"),
        "validation": ("--split", "validation", "--restore", "all/seed-6"),
        "digits": ("--dataset", "copy", "--restore", "all/seed-6"),
        "float32": ("--precision", "float32", "--restore", "all/seed-6"),
        "step-00000001": ("--restore", step),
        "train-144crops-step-00000001": ("--split", "train", "--crops", "144", "--restore", step),
    }.items():
        assert not Path(f"all/seed-6/results-{name}.json").exists()
        capsys.readouterr()
        test_mode(*arguments)
        assert f"figures in all/seed-6/results-{name}.json, error analysis in all/seed-6/test-{name}" in (
            capsys.readouterr().out
        )
        assert results("all/seed-6", name)["images"] > 0
    test_mode("--restore", "all/seed-6", "--scales", "16", "--split", "test", "--dataset", "digits")  # the plain one
    assert results("all/seed-6")["scales"] == json.loads(plain)["scales"]
    assert len(list(Path("all/seed-6").glob("results*.json"))) == 8
    for other in ("plain", "cycles"):  # two sets of runs: two folders
        tiny.run("--mode", "test", "--restore", f"all/seed-6,{other}")
    assert results(together("seed-6", "plain")) != results(together("seed-6", "cycles"))


def test_the_lines_name_run_checkpoint_and_data_set(capsys):
    test_mode("--restore", "all/seed-5")
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "all/seed-5 (tiny), step-00000001, on the test split of digits (datasets/digits)"
    test_mode("--restore", "all")
    assert capsys.readouterr().out.startswith("2 networks, on the test split of digits (datasets/digits)\n")


def test_top5_of_two_classes_is_not_mentioned(capsys):
    test_mode("--restore", "leaves,leaves", "--ckpt", "two")
    out, found = capsys.readouterr().out, results("two")
    assert "top5" not in out
    assert set(found["gain"]) == {"top1_over_mean", "top1_over_best"}
    assert not {"top5"} & {*found, *found["members"][0]}
    assert out.splitlines()[-1] == f"test top1 {found['top1']:.4f} loss {found['loss']:.4f} images 6"


def test_a_test_split_that_is_not_there_is_refused_where_it_is_asked_for(capsys):
    shutil.copytree("datasets/digits", "no_test")
    info = json.loads(Path("no_test/dataset.json").read_text())
    del info["splits"]["test"]
    Path("no_test/dataset.json").write_text(json.dumps(info))
    arguments = ("--mode", "test", "--arch", "tiny", "--restore", "all/seed-5", "--dataset", "no_test")
    assert "--split=test: digits has no such split, only train, validation" in refused(
        capsys, *arguments, "--split", "test"
    )
    tiny.run(*arguments)
    assert capsys.readouterr().out.splitlines()[-1].startswith("validation top1 ")


def test_devices_are_chosen_before_weights_are_looked_at(monkeypatch, capsys):
    order = []
    choose, restored = distribution.choose, trained_networks.restored
    monkeypatch.setattr(distribution, "choose", lambda *all: order.append("devices") or choose(*all))
    monkeypatch.setattr(trained_networks, "restored", lambda *all: order.append("weights") or restored(*all))
    test_mode("--restore", "all/seed-5")
    Image.fromarray(np.full((20, 20), 90, np.uint8)).save("grey.png")
    tiny.run("--mode", "predict", "--restore", "all/seed-5", "--arch", "tiny", "--images", "grey.png")
    assert order == ["devices", "weights"] * 2


@pytest.mark.parametrize("mode", [("test",), ("predict", "--images", "photos")])
def test_ctrl_c_is_one_line(monkeypatch, capsys, mode):
    def interrupted(*_, **__):
        raise KeyboardInterrupt  # what SIGINT is in Python, unless whoever started the tests had it ignored

    monkeypatch.setattr(prediction, "predict", interrupted)
    error = refused(capsys, "--mode", *mode, "--restore", "leaves", code=130)
    assert error == "alexnet.py: stopped\n"
