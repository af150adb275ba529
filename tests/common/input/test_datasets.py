import json
import os
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from common.errors import UserError
from common.input import color_statistics, datasets, external_records, records, splits
from data import folders as prepared_folders
from data.source import Shares
from images import jpeg, tree


def names(split, seed=None) -> list[str]:
    """File names of a split's elements in the stored order, or in the order of a seed."""
    elements = split.serialized(None if seed is None else tf.constant(seed, tf.int64))
    return [name.decode(errors="surrogateescape") for _, _, name in elements.map(split.parse).as_numpy_iterator()]


def labels(split) -> list[int]:
    return [int(label) for _, label, _ in split.serialized(None).map(split.parse).as_numpy_iterator()]


def example(**features) -> bytes:
    """A serialized Example; `__` in a name stands for a slash."""

    def feature(value):
        if isinstance(value, int):
            return tf.train.Feature(int64_list=tf.train.Int64List(value=[value]))
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))

    named = {name.replace("__", "/"): feature(value) for name, value in features.items()}
    return tf.train.Example(features=tf.train.Features(feature=named)).SerializeToString()


def write(path: Path, rows: list[bytes]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tf.io.TFRecordWriter(str(path)) as writer:
        for row in rows:
            writer.write(row)
    return path


def slim(label: int, name: str = "x.JPEG", **more) -> bytes:
    return example(image__encoded=jpeg(label), image__class__label=label, image__filename=name.encode(), **more)


def prepared(folder: Path, **counts: int) -> Path:
    """A prepared data set with two shards a split; a picture is called SPLIT/NUMBER and has label NUMBER % 2."""
    infos = {}
    for split, count in counts.items():
        shards = []
        for number in range(2):
            mine = range(number, count, 2)
            rows = [records.encode_example(jpeg(i), i % 2, "c", 12, 16, f"{split}/{i}", "JPEG") for i in mine]
            path = write(folder / records.shard_name(split, number, 2), rows)
            shards.append(records.Shard(path.name, len(rows), path.stat().st_size, records.checksum(path)))
        infos[split] = records.SplitInfo(tuple(shards), (count - count // 2, count // 2))
    records.write_info(folder, records.DatasetInfo("made", ("a", "b"), infos, (1.0, 2.0, 3.0), (4.0, 5.0, 6.0)))
    return folder


# prepared records


def test_prepared_records_are_read_in_order_and_shuffled_by_seed_alone(tmp_path):
    train = datasets.open_dataset(str(prepared(tmp_path, train=30, validation=4))).splits["train"]
    stored = [f"train/{i}" for i in [*range(0, 30, 2), *range(1, 30, 2)]]
    assert names(train) == stored
    tf.random.set_seed(1)
    first = names(train, 5)
    tf.random.set_seed(2)
    assert names(train, 5) == first != stored
    assert sorted(first) == sorted(stored) == sorted(names(train, 6))
    assert names(train, 6) != first


def test_a_shuffle_buffer_smaller_than_the_split_still_gives_every_record_once(tmp_path, monkeypatch):
    monkeypatch.setattr(splits, "SHUFFLE_BYTES", 3000)
    train = datasets.open_dataset(str(prepared(tmp_path, train=40, validation=4))).splits["train"]
    assert sorted(names(train, 1)) == sorted(names(train))
    assert names(train, 1) == names(train, 1) != names(train, 2)


def test_without_validation_a_tenth_of_the_training_records_is_held_out(tmp_path):
    folder = str(prepared(tmp_path, train=40, test=6))
    data = datasets.open_dataset(folder, seed=3)
    train, validation = data.splits["train"], data.splits["validation"]
    assert (train.examples, validation.examples) == (36, 4)
    assert sorted(names(train) + names(validation)) == sorted(f"train/{i}" for i in range(40))
    assert sorted(names(train, 9)) == sorted(names(train))
    assert names(datasets.open_dataset(folder, seed=3).splits["validation"]) == names(validation)
    assert names(datasets.open_dataset(folder, seed=4).splits["validation"]) != names(validation)
    assert data.notes == ("no validation split: 4 training images drawn by seed 3 are held out",)


def test_a_missing_or_shortened_shard_is_named(tmp_path):
    folder = prepared(tmp_path, train=10, validation=4)
    shard = folder / "train-00001-of-00002.tfrecord"
    whole = shard.read_bytes()
    shard.write_bytes(whole[:-7])
    with pytest.raises(UserError, match=r"train-00001-of-00002\.tfrecord: .* bytes long instead of") as raised:
        datasets.open_dataset(str(folder))
    assert raised.value.exit_code == 1
    shard.unlink()
    with pytest.raises(UserError, match=r"train-00001-of-00002\.tfrecord: missing"):
        datasets.open_dataset(str(folder))


def test_what_is_no_data_set_is_refused(tmp_path):
    with pytest.raises(UserError, match="no such directory"):
        datasets.open_dataset(str(tmp_path / "nowhere"))
    (tmp_path / "readme.txt").write_text("nothing here")
    with pytest.raises(UserError, match=r"neither dataset\.json, nor TFRecord files, nor class folders"):
        datasets.open_dataset(str(tmp_path))


# class folders


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


# other people's records


def test_tf_slim_records(tmp_path):
    wnids = {1: b"n01440764", 7: b"n01514668", 1000: b"n15075141"}
    rows = [
        slim(label, f"{label}.JPEG", image__class__synset=wnid, image__class__text=b"w")
        for label, wnid in wnids.items()
    ]
    write(tmp_path / "train-00000-of-00002", rows[:2])
    write(tmp_path / "train-00001-of-00002", rows[2:])
    write(tmp_path / "validation-00000-of-00001", rows)
    data = datasets.open_dataset(str(tmp_path))
    assert labels(data.splits["train"]) == [0, 6, 999]
    assert names(data.splits["validation"]) == ["1.JPEG", "7.JPEG", "1000.JPEG"]
    assert {name: split.examples for name, split in data.splits.items()} == {"train": 3, "validation": 3}
    assert len(data.info.classes) == 1000
    assert (data.info.classes[0], data.info.classes[1], data.info.classes[999]) == ("n01440764", "2", "n15075141")
    assert data.info.mean == (123.68, 116.78, 103.94)
    assert data.notes == ("TF-slim records, labels 1..1000", "colours: the published ones of ImageNet")


def test_the_published_eigenvectors_are_orthonormal():
    vectors = np.array(external_records.IMAGENET.eigenvectors)
    np.testing.assert_allclose(vectors @ vectors.T, np.eye(3), atol=1e-3)


@pytest.mark.parametrize("label", [0, 1001])
def test_a_label_out_of_range_is_an_error(tmp_path, label):
    write(tmp_path / "train-00000-of-00001", [slim(3)] * 10 + [slim(label)])
    write(tmp_path / "validation-00000-of-00001", [slim(3)])
    train = datasets.open_dataset(str(tmp_path)).splits["train"]
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"is outside 1\.\.1000"):
        labels(train)


def test_a_tf_slim_set_with_its_own_labels(tmp_path):
    for split, shards in (("train", 2), ("validation", 1)):
        for shard in range(shards):
            write(
                tmp_path / f"flowers_{split}_{shard:05d}-of-{shards:05d}.tfrecord", [slim(label) for label in (0, 1, 2)]
            )
    with pytest.raises(UserError, match=r"neither dataset\.json nor labels\.txt is beside it"):
        datasets.open_dataset(str(tmp_path))
    (tmp_path / "labels.txt").write_text("0:daisy\n1:rose\n2:tulip\n")
    data = datasets.open_dataset(str(tmp_path))
    assert data.info.classes == ("daisy", "rose", "tulip")
    assert data.info.name == "flowers"
    assert labels(data.splits["train"]) == [0, 1, 2, 0, 1, 2]
    pixels = [tf.io.decode_jpeg(jpeg(label), dct_method="INTEGER_ACCURATE").numpy() for label in range(3)]
    assert data.info.mean == color_statistics.summarise(color_statistics.measure(np.stack(pixels))).mean


def test_tfds_records(tmp_path):
    folder = tmp_path / "5.1.0"
    rows = [example(image=jpeg(label), label=label, file_name=f"{label}.JPEG".encode()) for label in (0, 4, 999)]
    write(folder / "imagenet2012-train.tfrecord-00000-of-00001", rows * 5)
    write(folder / "imagenet2012-validation.tfrecord-00000-of-00001", rows)
    write(folder / "imagenet2012-test.tfrecord-00000-of-00001", [example(image=jpeg(1), label=-1, file_name=b"t")])
    (folder / "label.labels.txt").write_text("".join(f"n{number:08d}\n" for number in range(1000)))
    told = {"splits": [{"name": "train", "shardLengths": ["15"]}, {"name": "validation", "shardLengths": ["3"]}]}
    (folder / "dataset_info.json").write_text(json.dumps(told))
    data = datasets.open_dataset(str(folder))
    assert labels(data.splits["validation"]) == [0, 4, 999]
    assert names(data.splits["validation"]) == ["0.JPEG", "4.JPEG", "999.JPEG"]
    assert {name: split.examples for name, split in data.splits.items()} == {"train": 15, "validation": 3}
    assert data.info.classes[4] == "n00000004"
    assert data.info.name == "imagenet2012"
    assert "the test files are left out: their images have no labels" in data.notes


def test_tfds_features_json_tells_the_number_of_classes(tmp_path):
    write(tmp_path / "made-train.tfrecord-00000-of-00001", [example(image=jpeg(i), label=i % 3) for i in range(20)])
    with pytest.raises(UserError, match=r"neither label\.labels\.txt nor features\.json"):
        datasets.open_dataset(str(tmp_path))
    described = {"featuresDict": {"features": {"label": {"classLabel": {"numClasses": "3"}}}}}
    (tmp_path / "features.json").write_text(json.dumps(described))
    data = datasets.open_dataset(str(tmp_path))
    assert data.info.classes == ("0", "1", "2")
    assert {name: split.examples for name, split in data.splits.items()} == {"train": 18, "validation": 2}


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([example(picture=b"x", target=1)], r"train-00000-of-00001: its records hold picture, target; needed are"),
        ([b"no Example"], r"train-00000-of-00001: its first record is no tf\.train\.Example"),
        ([], r"train-00000-of-00001: empty"),
    ],
)
def test_other_records_are_refused_with_what_they_hold(tmp_path, rows, message):
    write(tmp_path / "train-00000-of-00001", rows)
    with pytest.raises(UserError, match=message):
        datasets.open_dataset(str(tmp_path))


def test_incomplete_and_mixed_files_are_named(tmp_path):
    write(tmp_path / "train-00000-of-00003", [slim(1)])
    with pytest.raises(UserError, match="2 of 3 train files are missing, number 1 first"):
        datasets.open_dataset(str(tmp_path))
    write(tmp_path / "train-00000-of-00002", [slim(1)])
    with pytest.raises(UserError, match="the train files are of more than one set"):
        datasets.open_dataset(str(tmp_path))


def test_counting_finds_a_truncated_file(tmp_path):
    path = write(tmp_path / "some", [slim(label) for label in range(1, 6)])
    assert records.record_lengths(path) == [len(slim(label)) for label in range(1, 6)]
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(UserError, match=r"some: truncated or damaged in record 4"):
        records.record_lengths(path)


def test_a_share_of_the_training_images_is_held_out(tmp_path):
    opened = datasets.open_dataset(str(prepared(tmp_path / "records", train=40, test=4)), 0, 0.25)
    assert {name: split.examples for name, split in opened.splits.items()} == {"train": 30, "validation": 10, "test": 4}
    opened = datasets.open_dataset(str(tree(tmp_path / "tree", {"a": 20, "b": 20})), 0, 0.3)
    assert {name: split.examples for name, split in opened.splits.items()} == {"train": 24, "validation": 12, "test": 4}
    both = prepared(tmp_path / "both", train=8, validation=4)
    with pytest.raises(UserError, match=r"--validation_share=0\.3: .* has a validation split of its own"):
        datasets.open_dataset(str(both), 0, 0.3)


def test_without_validation_every_image_is_for_training(tmp_path):
    """Of records and trees, with and without a validation split: the same images, each once, mixed in every order."""
    unsplit = tree(tmp_path / "unsplit", {"a": 20, "b": 20})
    folders = tmp_path / "folders"
    tree(folders / "train", {"a": 30, "b": 30})
    tree(folders / "validation", {"a": 10, "b": 10}, seed=100)
    for path in (prepared(tmp_path / "records", train=60, validation=20), folders, unsplit):
        usual, whole = datasets.open_dataset(str(path)), datasets.open_dataset(str(path), 0, 0)
        assert "validation" not in whole.splits
        train, parts = whole.splits["train"], [usual.splits["train"], usual.splits["validation"]]
        assert sorted(names(train)) == sorted(names(parts[0]) + names(parts[1]))
        assert train.examples == len(names(train))
        assert len(labels(train)) == train.examples
        pairs = dict(zip(names(parts[0]) + names(parts[1]), labels(parts[0]) + labels(parts[1]), strict=True))
        assert dict(zip(names(train), labels(train), strict=True)) == pairs
        orders = [names(train, seed) for seed in (1, 2, 1)]
        assert orders[0] == orders[2] != orders[1]
        assert sorted(orders[0]) == sorted(names(train))
        if path != unsplit:
            assert names(train) == names(parts[0]) + names(parts[1])
            held = set(names(parts[1]))
            places = [place for order in orders[:2] for place, name in enumerate(order) if name in held]
            # Uniform places 0..79: the mean of 40 of them is 39.5 with a deviation of 23.1 / sqrt(40) = 3.7.
            assert len(places) == 40
            assert abs(np.mean(places) - 39.5) < 15
            assert len(set(train.files)) == len(train.files)
    assert not any("validation" in note and "few" in note for note in whole.notes)
