"""--skip_bad_images on a tree of class folders, in every mode that reads one, and what is refused."""

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

import tiny
from common.input import datasets, pipeline
from common.runs import checkpoints
from images import tree

BAD = ("train/a/002.jpg", "val/b/001.jpg", "test/a/000.jpg", "test/b/003.jpg")
SHORT = ("--batch_size", "4", "--epochs", "1", "--resize", "16")
TRAIN = ("--mode", "train", "--arch", "tiny", "--dataset", "pets", "--ckpt", "run", *SHORT)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A directory with a tree, `pets`, four of whose files are no images, and a run on it."""
    root = tmp_path_factory.mktemp("bad")
    for split, count in (("train", 9), ("val", 4), ("test", 5)):
        tree(root / "pets" / split, {"a": count, "b": count}, seed=len(split))
    for name in BAD:
        (root / "pets" / name).write_bytes(b"\xff\xd8\xff no more")
    return root


@pytest.fixture(autouse=True)
def _inside(folder, monkeypatch):
    tiny.register(monkeypatch, folder, error_analysis=True)


def fails(capsys, *arguments):
    """What is said on stderr; one line."""
    with pytest.raises(SystemExit) as stopped:
        tiny.run(*arguments)
    assert stopped.value.code in (1, 2)
    return capsys.readouterr().err.strip().splitlines()[-1]


@pytest.fixture
def run(folder, capsys):
    """What the training said; it is done once."""
    said = folder / "said"
    if not said.exists():
        tiny.run(*TRAIN, "--skip_bad_images")
        said.write_text(capsys.readouterr().out)
    return said.read_text()


def test_without_it_a_bad_image_stops_the_training_and_the_advice_names_it(folder, capsys):
    line = fails(capsys, *TRAIN[:-6], "--ckpt", "stopped", *SHORT)
    assert "pets/train/a/002.jpg: " in line
    assert "(or --skip_bad_images)" in line


def test_training_names_each_once_counts_them_and_ends_with_the_figures(run):
    lines = run.splitlines()
    for name in BAD:
        assert sum(line.startswith("left out: ") and line.endswith(f"{name} cannot be decoded") for line in lines) == 1
    (summary,) = [line for line in lines if line.startswith("left out 4 image files that cannot be decoded: ")]
    assert all(name in summary for name in BAD)
    assert "validation top1" in run
    assert " images 7" in run  # of 8 in validation
    assert lines[-1].startswith("test top1")
    assert lines[-1].endswith("images 8")  # of 10


def test_the_error_analysis_names_the_right_files(run):
    with open("run/test/predictions.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    names = [Path(row["file"]).relative_to(Path("pets/test").absolute() if row["file"][0] == "/" else "pets/test")
             for row in rows]  # fmt: skip
    assert [str(name) for name in names] == [f"a/{i:03d}.jpg" for i in (1, 2, 3, 4)] + [
        f"b/{i:03d}.jpg" for i in (0, 1, 2, 4)
    ]
    assert [row["label"] for row in rows] == ["a"] * 4 + ["b"] * 4
    assert json.loads(Path("run/results.json").read_text())["images"] == 8


@pytest.mark.parametrize("crops", ["1", *(pytest.param(each, marks=pytest.mark.slow) for each in ("10", "dense"))])
def test_every_protocol_leaves_them_out(run, crops, capsys):
    tiny.run("--mode", "test", "--restore", "run", "--crops", crops, "--skip_bad_images")
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1].endswith("images 8")
    assert sum(line.startswith("left out: ") for line in lines) == 2
    assert any(line.startswith("left out 2 image files") for line in lines)


def test_features_of_the_others(run, monkeypatch, capsys):
    """In one pass, though the file's header has the number of images."""
    passes, whole = [], pipeline.one_pass
    monkeypatch.setattr(pipeline, "one_pass", lambda *given, **more: passes.append(1) or whole(*given, **more))
    tiny.run("--mode", "features", "--restore", "run", "--out", "features", "--skip_bad_images")
    assert len(passes) == 1
    assert len(Path("features/projector.tsv").read_text().splitlines()) == 1 + 8
    assert "features/features.npz: 8 images" in capsys.readouterr().out
    with np.load("features/features.npz") as found:
        assert found["features"].shape[0] == 8
        assert found["labels"].tolist() == [0] * 4 + [1] * 4
        assert [Path(name).name for name in found["files"]] == [
            *(f"{i:03d}.jpg" for i in (1, 2, 3, 4)),
            *(f"{i:03d}.jpg" for i in (0, 1, 2, 4)),
        ]


def test_where_no_image_is_left_it_says_so(run, folder, tmp_path, capsys):
    root = tree(tmp_path / "none" / "train", {"a": 3, "b": 3}).parent
    for name in tree(root / "val", {"a": 1, "b": 1}).glob("*/*"):
        name.write_bytes(b"nothing")
    line = fails(capsys, "--mode", "test", "--restore", "run", "--dataset", str(root), "--split", "validation",
                 "--skip_bad_images")  # fmt: skip
    assert "none of the 2 images can be decoded" in line


def test_records_are_refused_with_who_leaves_them_out(folder, capsys):
    line = fails(capsys, "--mode", "train", "--arch", "tiny", "--ckpt", "digits_run", "--skip_bad_images")
    assert "--skip_bad_images is for class folders" in line
    assert "data/prepare.py" in line
    assert not Path("digits_run").exists()


@pytest.mark.slow
def test_a_run_goes_on_when_the_bad_images_were_removed(folder, capsys):
    """The mean measured anew is another; that of config.json holds."""
    arguments = (*TRAIN[:-6], "--ckpt", "removed", *SHORT, "--save_every", "2", "--keep", "5")
    tiny.run(*arguments, "--skip_bad_images")
    before = Path("removed/config.json").read_bytes()
    for checkpoint in checkpoints.folders(Path("removed"))[:-1]:
        shutil.rmtree(checkpoint)
    taken = ["train/b/008.jpg", *BAD]
    for name in taken:
        (folder / "pets" / name).rename(folder / f"gone-{name.replace('/', '-')}")
    capsys.readouterr()
    try:
        data = datasets.open_dataset("pets")
        assert list(data.info.mean) != json.loads(before)["preprocessing"]["mean"]
        tiny.run(*arguments)
    finally:
        for name in taken:
            (folder / f"gone-{name.replace('/', '-')}").rename(folder / "pets" / name)
    assert "going on from step 2 of 4" in capsys.readouterr().out
    assert Path("removed/config.json").read_bytes() == before
