"""`common.weights.load_run`, and the lines of docs/library.md."""

import json
import re
from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image

import tiny
import train
from cli import flags, plan, registry, setup
from common import weights
from common.errors import UserError
from common.input import pipeline, resampling
from common.input.pipeline import Preprocessing
from common.runs import checkpoints
from common.runs import config as runs
from common.weights import run_model


def write_run(run: Path) -> None:
    """A run of resnet20 on digits of 16 pixels with moving averages, as training leaves it: two checkpoints."""
    options = flags.parse(["--mode=train", "--arch=resnet20", "--image_size=16"])
    architecture, data = registry.find("resnet20"), setup.open_data("digits", 0)
    config = plan.configure(options, architecture, data, 0)
    run.mkdir(parents=True)
    runs.write(run, config)
    random = np.random.default_rng(1)
    some = random.normal(0, 60, (4, 16, 16, 3)).astype("float32")
    models = [setup.build_model(architecture, config) for _ in range(2)]
    for step in (4, 8):
        for model in models:
            for variable in model.variables:
                if variable.path.endswith(("bias", "beta", "moving_mean", "kernel")):
                    variable.assign_add(random.normal(0, 0.02, variable.shape))
            last = model.get_layer("fc")  # unsure: no probability is 0 or 1
            last.kernel.assign(last.kernel / float(np.std(model(some))))
        groups = {"model": models[0].variables, "average": models[1].variables}
        checkpoints.save(run, {"step": step, "best_step": step, "finished": True}, groups)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A directory with a run where the documentation has one, and photographs."""
    root = tmp_path_factory.mktemp("library")
    with pytest.MonkeyPatch.context() as patch:
        tiny.register(patch, root)
        write_run(Path("ckpt/resnet20"))
    random = np.random.default_rng(5)
    for name, height, width in (("photo", 25, 21), ("other", 37, 50)):  # resized bilinearly, and by areas
        rough = random.integers(0, 256, (height // 4, width // 4, 3), np.uint8)
        Image.fromarray(rough).resize((width, height), Image.Resampling.BICUBIC).save(root / f"{name}.jpg")
    return root


@pytest.fixture(autouse=True)
def _inside(folder, monkeypatch):
    tiny.register(monkeypatch, folder)


def predicted(capsys, name, *more):
    """{label: probability} of the five most likely, as the program says."""
    capsys.readouterr()
    arguments = ("--restore", "ckpt/resnet20", "--precision", "float32", "--predict_format", "json", *more)
    train.main(None, ["--mode", "predict", *arguments, "--images", f"{name}.jpg"])
    (answer,) = json.loads(capsys.readouterr().out)
    return {one["label"]: one["probability"] for one in answer["predictions"]}


def pixels(name):
    return np.asarray(Image.open(f"{name}.jpg"))


@pytest.mark.parametrize("kind", [np.uint8, np.float32])
@pytest.mark.parametrize("name", ["photo", "other"])
def test_a_loaded_run_says_what_the_program_predicts(capsys, name, kind):
    network, classes = weights.load_run("ckpt/resnet20")
    assert classes == tuple("0123456789")
    found = network(pixels(name)[None].astype(kind))
    assert (found.shape, found.dtype) == ((1, 10), "float32")
    for label, probability in predicted(capsys, name).items():
        assert float(found[0, label]) == pytest.approx(probability, abs=1e-5)


def test_it_has_the_moving_average_of_the_weights():
    model, _ = weights.load_run(Path("ckpt/resnet20"))
    raw = registry.find("resnet20").build(image_size=16)
    checkpoint = checkpoints.best(Path("ckpt/resnet20"))
    checkpoints.restore(checkpoint, {"model": raw.variables})
    for name in ("conv1", "conv4_3_conv2", "fc"):
        averaged, last = (one.get_layer(name).kernel.numpy() for one in (model.get_layer("resnet20"), raw))
        assert np.abs(averaged - last).max() > 1e-4
    checkpoints.restore_weights(checkpoint, raw)
    for one, other in zip(model.get_layer("resnet20").get_weights(), raw.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_one_checkpoint_may_be_named():
    folders = checkpoints.folders(Path("ckpt/resnet20"))
    assert len(folders) > 1
    newest, oldest = (weights.load_run(one).model.get_weights() for one in (folders[0], folders[-1]))
    best = weights.load_run("ckpt/resnet20").model.get_weights()
    assert any((one != other).any() for one, other in zip(newest, oldest, strict=True))
    step = checkpoints.best(Path("ckpt/resnet20")).step
    same = newest if folders[0].name.endswith(f"{step:08d}") else oldest
    for one, other in zip(best, same, strict=True):
        np.testing.assert_array_equal(one, other)


def test_it_predicts_batches_and_survives_saving(tmp_path):
    network, _ = weights.load_run("ckpt/resnet20")
    pictures = np.random.default_rng(0).integers(0, 256, (5, 20, 30, 3)).astype(np.uint8)
    wanted = network.predict(pictures, batch_size=2, verbose=0)
    np.testing.assert_allclose(wanted.sum(1), 1.0, atol=1e-5)
    network.save(tmp_path / "network.keras")
    again = keras.models.load_model(tmp_path / "network.keras")
    np.testing.assert_allclose(again(pictures), wanted, atol=1e-6)


@pytest.mark.parametrize(
    ("channels", "interpolation", "side"),
    [("rgb", "lab", 18), ("bgr", "lab", 18), ("bgr", "opencv_bicubic", 30), ("rgb", "pil_bilinear", 30)],
)
def test_a_mean_image_and_imported_preprocessing_are_inside(tmp_path, channels, interpolation, side):
    random = np.random.default_rng(2)
    np.save(tmp_path / "mean.npy", random.uniform(90, 130, (20, 24, 3)).astype("float32"))
    settings = {"resize": 18, "std": [60.0, 61.0, 62.0], "channels": channels, "interpolation": interpolation}
    settings["mean_image"] = str(tmp_path / "mean.npy")
    values = json.loads(Path("ckpt/resnet20/config.json").read_text())
    values["preprocessing"] |= settings
    run = tmp_path / "run"
    run.mkdir()
    (run / "config.json").write_text(json.dumps(values))
    (run / "checkpoints").symlink_to(Path("ckpt/resnet20/checkpoints").resolve())
    network, _ = weights.load_run(run)
    pictures = random.integers(0, 256, (2, side, side, 3)).astype(np.uint8)
    cut = np.stack([resampling.central_crop(picture, 18, 16, interpolation) for picture in pictures])
    if side == 18:  # nothing is resized
        np.testing.assert_array_equal(cut, pictures[:, 1:17, 1:17])
    wanted = pipeline.normaliser(Preprocessing(16, **settings))(cut)
    np.testing.assert_allclose(network.get_layer("preprocess")(pictures), wanted, atol=1e-4)
    assert not network.get_layer("preprocess").trainable_variables


@pytest.mark.parametrize(
    ("path", "said"),
    [("ckpt", "neither a run"), ("nowhere", "no such directory"), ("photo.jpg", "neither a"), ("empty", "holds no")],
)
def test_what_cannot_be_loaded_is_said(path, said):
    Path("empty").mkdir(exist_ok=True)
    Path("empty/config.json").write_text(Path("ckpt/resnet20/config.json").read_text())
    with pytest.raises(UserError, match=said):
        weights.load_run(path)


@pytest.mark.parametrize(
    ("module", "said"),
    [
        (None, "does not say where resnet20 stands; pass `find`"),
        ("vgg16", "vgg16.py has no resnet20; pass `find`"),
        ("not_here", "which has resnet20, cannot be imported"),
    ],
)
def test_a_network_that_is_not_where_the_run_says_is_found_by_a_function(tmp_path, module, said):
    values = json.loads(Path("ckpt/resnet20/config.json").read_text())
    assert values.pop("module") == "resnet34"
    run = tmp_path / "run"
    run.mkdir()
    (run / "config.json").write_text(json.dumps(values | ({"module": module} if module else {})))
    (run / "checkpoints").symlink_to(Path("ckpt/resnet20/checkpoints").resolve())
    with pytest.raises(UserError, match=said):
        weights.load_run(run)
    assert weights.load_run(run, registry.find).model.get_layer("resnet20")


def test_the_documented_lines_say_what_the_program_predicts(capsys):
    text = (Path(run_model.__file__).parents[2] / "docs" / "library.md").read_text(encoding="utf-8")
    names = {}
    exec("\n".join(re.findall(r"```python\n(.*?)```", text, re.DOTALL)), names)
    printed = [line.split() for line in capsys.readouterr().out.splitlines()[-5:]]
    wanted = predicted(capsys, "photo")
    assert [int(name) for name, _ in printed] == list(wanted)
    assert [float(probability) for _, probability in printed] == pytest.approx(list(wanted.values()), abs=1e-4)
    assert names["normalised"].shape == (1, 16, 16, 3)
    assert names["last_map"].shape == (None, 4, 4, 64)
    assert names["model"].output_shape == (None, 5)
    assert (names["model"].name, names["model"].input_shape) == ("resnet34", (None, 224, 224, 3))
