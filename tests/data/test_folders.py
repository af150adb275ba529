import os
import shutil
from collections import Counter

import pytest

from common.errors import UserError
from data import folders
from data.source import Shares, read_files
from tests.images import tree

SHARES = Shares()


def names(source, split):
    return [item.name for item in source.splits[split]]


def test_split_folders_become_the_splits(tmp_path):
    tree(tmp_path / "train", {"cat": 3, "ant": 2})
    tree(tmp_path / "val", {"cat": 1, "ant": 1})
    tree(tmp_path / "test", {"ant": 1})
    source = folders.open_source(str(tmp_path), SHARES, 0)
    assert source.classes == ("ant", "cat")
    assert names(source, "train") == [f"train/{n}.jpg" for n in ("ant/000", "ant/001", "cat/000", "cat/001", "cat/002")]
    assert names(source, "validation") == ["val/ant/000.jpg", "val/cat/000.jpg"]
    assert names(source, "test") == ["test/ant/000.jpg"]
    assert [item.label for item in source.splits["train"]] == [0, 0, 1, 1, 1]
    assert (source.skipped, source.repaired, source.name) == ((), (), tmp_path.name)
    item, data = next(iter(read_files(source.splits["test"])))
    assert data == (tmp_path / "test/ant/000.jpg").read_bytes()
    assert item.size == len(data)


def test_train_and_validation_alone_make_no_test_split(tmp_path):
    tree(tmp_path / "train", {"a": 3})
    tree(tmp_path / "valid", {"a": 2})
    assert sorted(folders.open_source(str(tmp_path), SHARES, 0).splits) == ["train", "validation"]


def test_one_tree_is_split_by_the_seed_class_by_class(tmp_path):
    tree(tmp_path, {"a": 20, "b": 40, "c": 1})
    source = folders.open_source(str(tmp_path), SHARES, 0)
    counts = {split: Counter(item.label for item in items) for split, items in source.splits.items()}
    assert counts == {"train": {0: 16, 1: 32, 2: 1}, "validation": {0: 2, 1: 4}, "test": {0: 2, 1: 4}}
    everything = [name for split in source.splits for name in names(source, split)]
    assert len(everything) == len(set(everything)) == 61
    again, other = (folders.open_source(str(tmp_path), SHARES, seed) for seed in (0, 1))
    assert again.splits == source.splits
    assert set(names(other, "test")) != set(names(source, "test"))
    assert source.settings == {"seed": 0, "validation_share": 0.1, "test_share": 0.1}


def test_train_and_test_alone_hold_out_validation(tmp_path):
    tree(tmp_path / "train", {"a": 20, "b": 10})
    tree(tmp_path / "test", {"a": 5, "b": 5})
    source = folders.open_source(str(tmp_path), Shares(0.2), 0)
    assert {split: len(items) for split, items in source.splits.items()} == {"train": 24, "validation": 6, "test": 10}
    source = folders.open_source(str(tmp_path), Shares(0.0), 0)
    assert {split: len(items) for split, items in source.splits.items()} == {"train": 30, "test": 10}


def test_images_in_folders_inside_a_class_folder_belong_to_it(tmp_path):
    tree(tmp_path, {"n01/images": 2, "n02": 1})
    (tmp_path / "n01" / ".hidden.jpg").write_bytes(b"x")
    source = folders.open_source(str(tmp_path), Shares(0, 0), 0)
    assert sorted(names(source, "train")) == ["n01/images/000.jpg", "n01/images/001.jpg", "n02/000.jpg"]


def test_what_is_no_image_file_is_named(tmp_path):
    tree(tmp_path, {"a": 1, "b": 1})
    (tmp_path / "a" / "folder.jpg").mkdir()
    (tmp_path / "a" / "up").symlink_to(tmp_path / "a", target_is_directory=True)
    (tmp_path / "a" / "self").symlink_to("self")
    (tmp_path / "a" / "gone.jpg").symlink_to("nowhere.jpg")
    (tmp_path / "stray.jpg").write_bytes(b"x")
    (tmp_path / "readme.txt").write_bytes(b"x")
    os.mkfifo(tmp_path / "b" / "pipe.jpg")
    source = folders.open_source(str(tmp_path), Shares(0, 0), 0)
    assert sorted(names(source, "train")) == ["a/000.jpg", "b/000.jpg"]
    assert dict(source.skipped) == {
        "a/folder.jpg": "a folder, not an image",
        "a/up": "a link to a folder it lies in",
        "a/self": "a broken link",
        "a/gone.jpg": "a broken link",
        "stray.jpg": "not in a class folder",
        "b/pipe.jpg": "not a regular file",
    }


def test_links_between_two_class_folders_end(tmp_path):
    tree(tmp_path, {"a": 1, "b": 1})
    (tmp_path / "a" / "to_b").symlink_to(tmp_path / "b")
    (tmp_path / "b" / "to_a").symlink_to(tmp_path / "a")
    source = folders.open_source(str(tmp_path), Shares(0, 0), 0)
    assert sorted(names(source, "train")) == ["a/000.jpg", "a/to_b/000.jpg", "b/000.jpg", "b/to_a/000.jpg"]
    assert len(source.skipped) == 2


def test_class_folders_that_are_one_class(tmp_path):
    tree(tmp_path, {"Cat": 2, "cat": 1, "cafe\u0301": 1, "caf\u00e9 ": 1, "dog": 1})
    (tmp_path / "hound").symlink_to(tmp_path / "dog")
    source = folders.open_source(str(tmp_path), Shares(0, 0), 0)
    assert source.classes == ("Cat", "cafe\u0301", "dog")
    assert Counter(item.label for item in source.splits["train"]) == {0: 3, 1: 2, 2: 1}
    assert dict(source.repaired) == {
        "cat": "class folder taken as Cat",
        "caf\u00e9 ": "class folder taken as cafe\u0301",
    }
    assert dict(source.skipped) == {"hound": "the same folder as dog"}


def test_names_that_are_not_utf8(tmp_path):
    folder = os.fsencode(tmp_path) + b"/caf\xe9"
    os.mkdir(folder)
    with open(folder + b"/\xff.jpg", "wb") as file:
        file.write(b"data")
    source = folders.open_source(str(tmp_path), SHARES, 0)
    assert source.classes == ("caf\\xe9",)
    (item,) = source.splits["train"]
    assert item.name.encode("utf-8", "surrogateescape") == b"caf\xe9/\xff.jpg"
    assert next(iter(read_files([item])))[1] == b"data"


def test_a_class_without_training_images_in_another_split_is_named(tmp_path):
    tree(tmp_path / "train", {"a": 1})
    tree(tmp_path / "val", {"a": 1, "b": 1})
    source = folders.open_source(str(tmp_path), SHARES, 0)
    assert names(source, "validation") == ["val/a/000.jpg"]
    assert source.skipped == (("val/b", "no training class of this name"),)


def test_trees_that_cannot_be_meant(tmp_path):
    with pytest.raises(UserError, match="no class folders here"):
        folders.open_source(str(tmp_path), SHARES, 0)
    tree(tmp_path / "val", {"a": 1})
    with pytest.raises(UserError, match="a folder val but none named train"):
        folders.open_source(str(tmp_path), SHARES, 0)
    tree(tmp_path / "train", {"a": 1})
    shutil.copytree(tmp_path / "val", tmp_path / "valid")
    with pytest.raises(UserError, match="two folders for one split: val, valid"):
        folders.open_source(str(tmp_path), SHARES, 0)
