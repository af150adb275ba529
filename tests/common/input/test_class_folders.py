"""Trees of class folders, read on the fly."""

import hashlib
import json
import os
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from common.errors import UserError
from common.input import datasets, folder_tree, held_out
from data import folders as prepared_folders
from data.source import Shares
from images import jpeg, tree
from record_files import labels, names


def test_a_tree_with_split_folders(tmp_path):
    tree(tmp_path / "train", {"dog": 3, "ant": 4})
    tree(tmp_path / "val", {"ant": 2, "dog": 1}, seed=50)
    (tmp_path / "train" / ".hidden").mkdir()
    (tmp_path / "train" / "ant" / ".DS_Store").write_text("x")
    (tmp_path / "train" / "ant" / "notes.txt").write_text("x")
    data = datasets.open_dataset(str(tmp_path))
    assert data.info.classes == ("ant", "dog")
    assert {name: split.examples for name, split in data.splits.items()} == {"train": 7, "validation": 3}
    assert data.info.splits["train"].per_class == (4, 3)
    assert data.info.splits["train"].examples == 7
    train = data.splits["train"]
    assert (
        names(train)
        == list(train.files)
        == [str(tmp_path / f"train/ant/{i:03d}.jpg") for i in range(4)]
        + [str(tmp_path / f"train/dog/{i:03d}.jpg") for i in range(3)]
    )
    assert labels(train) == [0, 0, 0, 0, 1, 1, 1]
    orders = [names(train, seed) for seed in range(4)]
    assert all(sorted(order) == names(train) for order in orders)
    assert len({tuple(order) for order in orders}) == 4
    assert names(train, 2) == orders[2]


def test_the_images_own_bytes_decide_where_the_name_does_not(tmp_path):
    tree(tmp_path, {"a": 4, "b": 4})
    (tmp_path / "a" / "no_ending").write_bytes(jpeg(1))
    (tmp_path / "a" / "odd.ending").write_bytes(jpeg(2, form="PNG"))
    (tmp_path / "a" / "text").write_text("no image")
    found = [Path(name).name for split in datasets.open_dataset(str(tmp_path)).splits.values() for name in names(split)]
    assert {"no_ending", "odd.ending"} < set(found)
    assert "text" not in found
    assert len(found) == 10


def test_one_tree_is_split_by_seed_as_prepare_splits_it(tmp_path):
    tree(tmp_path, {"a": 20, "b": 30, "c": 3})
    data = datasets.open_dataset(str(tmp_path), seed=4)
    found = {split: set(names(opened)) for split, opened in data.splits.items()}
    counts = {name: np.bincount(labels(split), minlength=3).tolist() for name, split in data.splits.items()}
    assert counts == {"train": [16, 24, 3], "validation": [2, 3, 0], "test": [2, 3, 0]}
    assert not found["train"] & found["validation"] | found["train"] & found["test"]
    source = prepared_folders.open_source(str(tmp_path), Shares(), 4)
    assert found == {split: {item.path for item in items} for split, items in source.splits.items()}
    assert found["test"] != set(names(datasets.open_dataset(str(tmp_path), seed=5).splits["test"]))


def test_colours_of_a_tree_are_measured_on_its_training_images(tmp_path):
    tree(tmp_path / "train", {"a": 5, "b": 4})
    tree(tmp_path / "val", {"a": 5, "b": 4}, seed=90)
    info = datasets.open_dataset(str(tmp_path)).info
    files = sorted((tmp_path / "train").rglob("*.jpg"))
    pixels = np.concatenate([tf.io.decode_jpeg(file.read_bytes(), dct_method="INTEGER_ACCURATE") for file in files])
    pixels = pixels.reshape(-1, 3).astype(np.float64)
    np.testing.assert_allclose(info.mean, pixels.mean(0), rtol=1e-9)
    np.testing.assert_allclose(info.std, pixels.std(0), rtol=1e-9)
    covariance = np.cov(pixels.T / 255, bias=True)
    for value, vector in zip(info.eigenvalues, info.eigenvectors, strict=True):
        np.testing.assert_allclose(covariance @ vector, value * np.array(vector), atol=1e-8)
    assert list(info.eigenvalues) == sorted(info.eigenvalues, reverse=True)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda root: tree(root, {"cat": 2, "Cat ": 2}), "1 class folders, two are needed"),
        (lambda root: (tree(root, {"cat": 2}), (root / "dog").mkdir()), "dog: no image in this class folder"),
        (lambda root: tree(root, {"cat": 2}), "1 class folders, two are needed"),
        (lambda root: (tree(root / "train", {"a": 2, "b": 2}), tree(root / "val", {"c": 1})), "no training class"),
        (lambda root: tree(root / "test", {"a": 2, "b": 2}), "none named train"),
        (lambda root: (tree(root / "train", {"a": 1}), *map(os.mkdir, (root / "val", root / "dev"))), "two folders"),
    ],
)  # fmt: skip
def test_a_tree_that_cannot_be_meant_is_refused(tmp_path, make, message):
    make(tmp_path)
    with pytest.raises(UserError, match=message):
        datasets.open_dataset(str(tmp_path))


def test_a_tree_read_on_the_fly_has_the_images_classes_and_splits_of_the_same_tree_prepared(tmp_path):
    """With class folders that differ in case, a link to one, files that are no images, and folders within folders."""
    tree(tmp_path, {"Cat": 20, "cat ": 13, "dog": 17, "dog/more": 9, "eel": 10})
    (tmp_path / "hound").symlink_to(tmp_path / "dog")
    for number in range(12):
        (tmp_path / "dog" / f"box{number}.txt").write_text("no image")
        (tmp_path / "eel" / f"box{number}").write_text("no image")
    data = datasets.open_dataset(str(tmp_path), seed=2)
    source = prepared_folders.open_source(str(tmp_path), Shares(), 2)
    assert data.info.classes == source.classes == ("Cat", "dog", "eel")
    for name, split in data.splits.items():
        assert dict(zip(split.files, labels(split), strict=True)) == {i.path: i.label for i in source.splits[name]}
    assert sum(split.examples for split in data.splits.values()) == 69
    assert data.info.splits["train"].per_class == (27, 20, 8)
    assert "cat : class folder taken as Cat" in data.notes
    assert "left out: 25 files or folders, the first hound (the same folder as dog)" in data.notes


@pytest.mark.parametrize("ending", ["tif", "TIFF"])
def test_tiffs_are_left_out_on_the_fly_and_said_and_prepared(tmp_path, ending):
    tree(tmp_path, {"a": 3, "b": 3})
    (tmp_path / "b" / f"scan.{ending}").write_bytes(jpeg(1, form="TIFF"))
    data = datasets.open_dataset(str(tmp_path))
    assert sum(split.examples for split in data.splits.values()) == 6
    assert any(f"left out: 1 images of a form such as that of b/scan.{ending}" in note for note in data.notes)
    found = prepared_folders.open_source(str(tmp_path), Shares(), 0)
    assert f"b/scan.{ending}" in [item.name for items in found.splits.values() for item in items]
    for number in range(3):
        (tmp_path / "b" / f"{number:03d}.jpg").unlink()
    with pytest.raises(UserError, match=rf"no other image of class b than .*scan\.{ending}: .*data/prepare\.py"):
        datasets.open_dataset(str(tmp_path))


def test_four_images_a_class_are_too_few_to_hold_any_out_and_it_is_said(tmp_path):
    tree(tmp_path, {"a": 4, "b": 4})
    data = datasets.open_dataset(str(tmp_path))
    assert {name: split.examples for name, split in data.splits.items()} == {"train": 8}
    for name in ("validation", "test"):
        assert f"too few images of each class for a {name} split; add images, or a folder of that name" in data.notes


def test_a_test_folder_without_classes_is_left_out_and_said(tmp_path):
    tree(tmp_path / "train", {"a": 12, "b": 12})
    (tmp_path / "test").mkdir()
    (tmp_path / "test" / "1.jpg").write_bytes(jpeg(1))
    data = datasets.open_dataset(str(tmp_path))
    assert "left out: it holds no class folders" in data.notes[0]
    assert set(data.splits) == {"train", "validation", "test"}


def test_a_name_that_is_no_text_is_read(tmp_path):
    tree(tmp_path / "train", {"a": 1, "b": 1})
    tree(tmp_path / "val", {"a": 1, "b": 1})
    path = bytes(tmp_path / "train" / "a") + b"/\xff\xfe.jpg"
    with open(path, "wb") as file:
        file.write(jpeg(1))
    found = datasets.open_dataset(str(tmp_path)).splits["train"]
    assert path in [name for _, _, name in found.serialized(None).map(found.parse).as_numpy_iterator()]


def test_the_splits_of_a_tree_are_those_that_earlier_runs_drew(tmp_path):
    """Digest of the file names by split, of the program before it kept them in arrays."""
    for number in range(7):
        folder = tmp_path / f"class{number}"
        folder.mkdir()
        for image in range(9 + 5 * number):
            (folder / f"{image * 37 % 1000}.jpg").write_bytes(b"")
    listed = folder_tree.list_tree(str(tmp_path)).splits["train"]
    drawn = held_out.draw(listed.paths.names, listed.labels, (), held_out.Shares(0.2), 11)
    names = {split: [listed.paths.names[place] for place in places] for split, places in drawn.items()}
    assert {split: len(found) for split, found in names.items()} == {"train": 117, "validation": 35, "test": 16}
    assert hashlib.sha256(json.dumps(names).encode()).hexdigest()[:16] == "cc6794f97ad1a2ef"


def calls(function) -> int:
    """How many functions and methods are called within it."""
    count = 0

    def note(frame, event, argument):
        nonlocal count
        count += event in ("call", "c_call")

    sys.setprofile(note)
    try:
        function()
    finally:
        sys.setprofile(None)
    return count


def test_work_grows_with_images_and_with_classes_but_not_with_their_product(tmp_path, monkeypatch):
    """An image costs as much among 32 classes as among 4; none is opened or asked for its status."""
    opened = []
    monkeypatch.setattr(folder_tree, "open", lambda *arguments: opened.append(arguments), raising=False)
    work = {}
    for classes in (4, 32):
        for images in (64, 320):
            root = tmp_path / f"{classes}-{images}"
            for number in range(images):
                folder = root / f"c{number % classes:02d}"
                folder.mkdir(parents=True, exist_ok=True)
                (folder / f"{number}.jpg").touch()

            def listing(root=root):
                listed = folder_tree.list_tree(str(root)).splits["train"]
                held_out.draw(listed.paths.names, listed.labels, (), held_out.Shares(), 0)

            work[classes, images] = calls(listing)
    few, many = ((work[classes, 320] - work[classes, 64]) / 256 for classes in (4, 32))
    assert many < 1.1 * few
    assert few < 60  # in all, for an image
    assert not opened
