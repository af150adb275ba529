"""The mode visualize on a small trained network."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import images as made
import tiny
from cli import picture_source, setup
from common.input import pipeline
from common.runs import config as runs
from common.visualization.methods import METHODS

FEW = ("--methods", "filters,gradcam,occlusion")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A directory with a run and three photographs, one of them broken."""
    root = tmp_path_factory.mktemp("visualize")
    with pytest.MonkeyPatch.context() as patch:
        tiny.register(patch, root)
        tiny.start("run")
    (root / "photos").mkdir()
    for number in range(2):
        (root / "photos" / f"{number}.jpg").write_bytes(made.jpeg(number, 20, 24))
    (root / "photos" / "broken.jpg").write_bytes(b"\xff\xd8 nothing")
    return root


@pytest.fixture(autouse=True)
def _inside(folder, monkeypatch):
    tiny.register(monkeypatch, folder)


def sheets(folder: Path) -> set[str]:
    return {path.name for path in folder.glob("*.png")}


def test_on_the_test_split_it_fills_the_runs_folder(capsys):
    tiny.run("--mode", "visualize", "--restore", "run", "--shown", "2", *FEW)
    said = capsys.readouterr().out
    assert "filters: run/visualize/filters.png (" in said
    assert "all of them on one page: run/visualize/index.html" in said
    assert sheets(Path("run/visualize")) == {"filters.png", "gradcam.png", "occlusion.png", "methods.png"}
    page = Path("run/visualize/index.html").read_text(encoding="utf-8")
    assert page.count("<img") == 4
    assert page.index("filters.png") < page.index("occlusion.png") < page.index("gradcam.png")
    assert min(Image.open("run/visualize/gradcam.png").size) > 150


def test_on_image_files_those_that_cannot_be_read_are_left_out(capsys):
    options = ("--layers", "conv1,fc", "--units", "0,3", "--out", "made")
    arguments = ("--restore", "run", "--images", "photos", *options, "--methods", "activations,pca,cam")
    tiny.run("--mode", "visualize", *arguments)
    said, error = capsys.readouterr()
    assert "photos/broken.jpg: left out (" in error
    assert "activations: made/activations-conv1_relu.png, activations-fc.png" in said
    assert "pca: left out, it needs 4 pictures or more" in said
    assert "cam: left out, tiny does not end in global average pooling; see gradcam" in said


@pytest.mark.slow
def test_any_pictures_of_a_source_by_their_numbers():
    data = setup.open_data("digits", 0)
    options = type("Options", (), {"split": "test", "given": frozenset()})
    source = picture_source.of_split(data, options)
    preprocessing = pipeline.Preprocessing(**runs.read(Path("run")).preprocessing)
    every = list(source.batches(np.arange(360), preprocessing, 100))
    inputs, labels = (np.concatenate(part) for part in zip(*every, strict=True))
    assert inputs.shape == (360, 16, 16, 3)
    chosen = np.array([7, 2, 311])
    (found, named), *rest = source.batches(chosen, preprocessing, 100)
    assert not rest
    np.testing.assert_array_equal(found, inputs[chosen])
    np.testing.assert_array_equal(named, labels[chosen])
    assert source.evenly(4).tolist() == [0, 120, 239, 359]
    assert len(source.names(chosen)) == 3


@pytest.mark.slow
def test_every_method_makes_its_sheets():
    tiny.run("--mode", "visualize", "--restore", "run", "--shown", "3", "--out", "all", "--layers", "conv1,fc")
    layers = {"conv1_relu", "fc"}
    wanted = {f"{name}.png" for name in METHODS.keys() - {"activations", "maximization", "exciting", "cam"}}
    wanted |= {f"{name}-{layer}.png" for name in ("activations", "maximization", "exciting") for layer in layers}
    assert sheets(Path("all")) == wanted | {"maximization-classes.png", "methods.png"}
    assert all(path.stat().st_size > 1000 for path in Path("all").glob("*.png"))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--layers", "conv9"), "--layers: 'conv9' is not known; did you mean conv"),
        (("--units", "0,8", "--layers", "conv1"), "--units=8: conv1_relu has 8 units, 0 to 7"),
        (("--target", "eleven"), "--target: 'eleven' is not known; choose one of: 0, 1"),
        (("--methods", "gradcan"), "--methods: 'gradcan' is not known; did you mean gradcam?"),
        (("--images", "photos/broken.jpg"), "--images: none of these files can be read"),
        (("--out", "run/config.json"), "--out=run/config.json: cannot be written (File exists)"),
    ],
)
def test_mistakes_are_said_in_one_line(capsys, arguments, said):
    capsys.readouterr()
    with pytest.raises(SystemExit):
        tiny.run("--mode", "visualize", "--restore", "run", *arguments)
    error = capsys.readouterr().err
    assert said in error.splitlines()[-1]
    assert error.count("\n") <= 2
