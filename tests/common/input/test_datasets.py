import numpy as np
import pytest
import tensorflow as tf

from common.errors import UserError
from common.input import datasets, records, splits
from images import tree
from record_files import labels, names, prepared, slim, write


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


@pytest.mark.slow
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
