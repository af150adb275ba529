"""What `--mode predict` answers: of a file the same as `--mode test`, of every kind of file, of an ensemble."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import images as made
import tiny
from cli import test as testing
from common.input import datasets
from tested_runs import make_runs, refused


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make_runs(tmp_path_factory.mktemp("testing"))


@pytest.fixture(autouse=True)
def _here(folder, monkeypatch):
    tiny.register(monkeypatch, folder)


def predicted(capsys, *arguments):
    capsys.readouterr()
    tiny.run("--mode", "predict", *arguments, "--predict_format", "json")
    return json.loads(capsys.readouterr().out)


@pytest.mark.parametrize("crops", ["1", "10", "dense"])
def test_predict_says_of_a_file_what_test_says(monkeypatch, capsys, crops):
    tested = []
    monkeypatch.setattr(testing, "_analyse_errors", lambda result, *_: tested.append(result.together))
    view = ("--crops", crops, "--scales", "20")
    tiny.run("--mode", "test", "--restore", "leaves", *view)
    data = datasets.open_dataset("photos")
    files = data.splits["test"].files
    assert len(files) == len(tested[0].top) == 6
    found = predicted(capsys, "--restore", "leaves", *view, "--images", ",".join(files), "--batch_size", "3")
    assert [answer["file"] for answer in found] == list(files)
    for answer, top, said in zip(found, tested[0].top, tested[0].probability, strict=True):
        assert [one["label"] for one in answer["predictions"]] == top.tolist()
        assert [one["class"] for one in answer["predictions"]] == [("ash", "oak")[label] for label in top]
        np.testing.assert_allclose([one["probability"] for one in answer["predictions"]], said, atol=1e-6)
    assert len({answer["predictions"][0]["probability"] for answer in found}) == 6  # no two files are alike


def test_predict_takes_files_as_prepare_would(tmp_path, capsys):
    """Turned by EXIF, 16 bits, transparent, grey: each becomes the picture a person sees."""
    random = np.random.default_rng(0)
    picture = random.integers(0, 256, (20, 28, 3), dtype=np.uint8)
    Image.fromarray(picture).save(tmp_path / "a_plain.png")
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned a quarter clockwise to be seen upright
    Image.fromarray(np.rot90(picture)).save(tmp_path / "b_turned.png", exif=exif)
    opaque = np.dstack([picture, np.full((20, 28), 255, np.uint8)])
    Image.fromarray(opaque).save(tmp_path / "c_alpha.png")
    Image.fromarray(picture).save(tmp_path / "d_other.bmp")
    found = predicted(capsys, "--restore", "leaves", "--images", str(tmp_path))
    assert [Path(answer["file"]).name for answer in found] == [
        "a_plain.png",
        "b_turned.png",
        "c_alpha.png",
        "d_other.bmp",
    ]
    for answer in found[1:]:
        assert answer["predictions"] == found[0]["predictions"]


def test_a_file_that_cannot_be_read_is_named_and_the_others_predicted(tmp_path, capsys):
    (tmp_path / "good.jpg").write_bytes(made.jpeg(1))
    (tmp_path / "half.jpg").write_bytes(made.jpeg(2)[:200])
    (tmp_path / "text.jpg").write_text("no picture")
    with pytest.raises(SystemExit) as caught:
        tiny.run("--mode", "predict", "--restore", "leaves", "--images", str(tmp_path))
    out, error = capsys.readouterr()
    assert caught.value.code == 1
    assert "2 of 3 images cannot be read" in error
    assert f"{tmp_path}/half.jpg: truncated" in error
    assert f"{tmp_path}/text.jpg: not an image" in error
    assert error.count("\n") == 1
    lines = out.splitlines()
    assert len(lines) == 3
    assert lines[0].split()[0] == f"{tmp_path}/good.jpg"
    assert set(lines[0].split()[1::2]) == {"oak", "ash"}
    assert lines[2].endswith("text.jpg  not an image")


def test_an_ensemble_predicts_too(capsys):
    Image.fromarray(np.full((20, 20), 90, np.uint8)).save("grey.png")
    both = predicted(capsys, "--restore", "all", "--images", "grey.png")[0]["predictions"]
    each = [
        {one["class"]: one["probability"] for one in answer["predictions"]}
        for seed in (5, 6)
        for answer in predicted(capsys, "--restore", f"all/seed-{seed}", "--images", "grey.png")
    ]
    assert len(both) == 5
    for one in both:
        if all(one["class"] in member for member in each):
            mean = np.mean([member[one["class"]] for member in each])
            assert one["probability"] == pytest.approx(mean, rel=1e-5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--images", "photos"), "--mode=predict needs --restore"),
        (("--restore", "leaves"), "--mode=predict needs --images"),
        (("--restore", "leaves", "--images", "nowhere.jpg"), "--images=nowhere.jpg: no such file or folder"),
        (("--restore", "leaves", "--images", "leaves/checkpoints"), "no image in this folder"),
        (("--restore", "leaves", "--images", "photos", "--split", "train"), "--split means nothing in --mode=predict"),
    ],
)
def test_what_cannot_be_predicted_is_said(capsys, arguments, message):
    assert message in refused(capsys, "--mode", "predict", *arguments)
