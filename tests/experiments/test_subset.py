"""A part of a prepared data set: how many of each class, which, and what becomes of the other splits."""

import pytest

import record_files
from common.errors import UserError
from common.input import datasets, records
from experiments import data, subset


def test_counts_fall_geometrically():
    assert subset.counts(100, 3, 4) == [100, 50, 25]
    assert subset.counts(7, 2, 1) == [7, 7]
    unequal = subset.counts(4000, 10, 20)
    assert (unequal[0], unequal[-1], sum(unequal)) == (4000, 200, data.DATASETS["cifar10-unequal"].train)


def test_the_first_of_each_class_are_chosen_and_then_the_next():
    assert subset.choose([0, 1, 0, 0, 1, 1, 0], [2, 1], 1) == ([0, 1, 2], [3, 4])
    with pytest.raises(UserError, match="class 1 has 1 training images"):
        subset.choose([0, 1, 0], [1, 1], 1)


def test_a_part_is_a_data_set(tmp_path):
    source = record_files.prepared(tmp_path / "whole", train=12, validation=4)
    made = subset.make(source, tmp_path / "part", 2, 1, 1.0)
    opened = datasets.open_dataset(str(tmp_path / "part"))
    found = {name: (split.examples, record_files.labels(split)) for name, split in opened.splits.items()}
    # shards hold 0, 2, 4 ... and 1, 3, 5 ...: labels 0 first, then 1
    assert found == {"train": (4, [0, 0, 1, 1]), "validation": (2, [0, 1]), "test": (4, [0, 0, 1, 1])}
    assert record_files.names(opened.splits["train"]) == ["train/0", "train/2", "train/1", "train/3"]
    assert record_files.names(opened.splits["validation"]) == ["train/4", "train/5"]
    assert sorted(record_files.names(opened.splits["test"])) == [f"validation/{number}" for number in range(4)]
    assert made.mean == records.read_info(source).mean
    assert [fault for _, fault in records.verify(tmp_path / "part") if fault] == []
    with pytest.raises(UserError, match="there is a data set already"):
        subset.make(source, tmp_path / "part", 2, 1, 1.0)


def test_missing_data_sets_say_how_to_make_them(tmp_path):
    assert data.missing("digits", tmp_path) is None
    told = str(data.missing("cifar10", tmp_path))
    assert f"make it by python data/prepare.py --source tfds:cifar10 --out {tmp_path}/cifar10" in told
    assert str(data.missing("cifar10-unequal", tmp_path)) == told  # its part is then made by run.py
    with pytest.raises(UserError, match="tfds:cifar10"):
        data.provide("cifar10-unequal", tmp_path)
    (tmp_path / "cifar10").mkdir()
    (tmp_path / "cifar10/dataset.json").touch()
    assert data.missing("cifar10", tmp_path) is None
    assert data.missing("cifar10-unequal", tmp_path) is None


MAKER = """
import argparse
from pathlib import Path

parser = argparse.ArgumentParser()
for name in ("source", "out", "train"):
    parser.add_argument(f"--{name}")
options = parser.parse_args()
assert Path(options.source, "dataset.json").exists()
if options.train == "0":
    raise SystemExit("the disk is full")
Path(options.out).mkdir()
Path(options.out, "dataset.json").touch()
print(f"{options.train} images in {options.out}")
"""


def test_a_part_of_a_data_set_that_is_there_is_made(tmp_path, monkeypatch, capsys):
    (tmp_path / "maker").write_text(MAKER)
    folder = tmp_path / "data sets"
    (folder / "cifar10").mkdir(parents=True)
    (folder / "cifar10/dataset.json").touch()
    monkeypatch.setattr(data, "ROOT", tmp_path)
    monkeypatch.setattr(data, "SUBSET", "python maker --source {folder}/{source} --out {folder}/{name}")
    parts = {name: data._part("cifar10", 4, 4, 2, f"--train {count}") for name, count in (("small", 4), ("broken", 0))}
    monkeypatch.setattr(data, "DATASETS", data.DATASETS | parts)
    for _ in range(2):
        data.provide("small", folder)
    assert capsys.readouterr().out == f"4 images in {folder}/small\n"  # once
    with pytest.raises(UserError, match=rf"broken: python maker .*--out {folder}/broken .* failed: the disk is full"):
        data.provide("broken", folder)
