"""Records as TF-slim, the Model Garden and TFDS write them."""

import json

import numpy as np
import pytest
import tensorflow as tf

from common.errors import UserError
from common.input import color_statistics, datasets, external_records
from images import jpeg
from record_files import example, labels, names, slim, write


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
