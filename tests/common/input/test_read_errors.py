"""What training and testing say of damaged data: the file, the record in it, what to do."""

import functools

import pytest
import tensorflow as tf

from common import progress
from common.errors import UserError
from common.input import datasets, pipeline, read_errors, records
from common.recipe import Recipe
from images import jpeg, tree

RECIPE = Recipe(crop="none", flip=False, resize=8)


def prepared(folder, damage=None):
    """Two training shards of five records and one of four to validate with; `damage(shard)` spoils the second one."""
    splits = {}
    for split, shards in (("train", 2), ("validation", 1)):
        made = []
        for shard in range(shards):
            path = folder / records.shard_name(split, shard, shards)
            with tf.io.TFRecordWriter(str(path)) as writer:
                for i in range(5):
                    writer.write(
                        records.encode_example(jpeg(i), i % 2, "c", 12, 16, f"{split}/{shard}/{i}.jpg", "JPEG")
                    )
            if damage and path.name == "train-00001-of-00002.tfrecord":
                damage(path)
            made.append(records.Shard(path.name, 5, path.stat().st_size, records.checksum(path)))
        splits[split] = records.SplitInfo(tuple(made), (3 * shards, 2 * shards))
    records.write_info(folder, records.DatasetInfo("made", ("a", "b"), splits, (1.0, 2.0, 3.0), (1.0, 1.0, 1.0)))
    return datasets.open_dataset(str(folder))


def train_an_epoch(data):
    split = data.splits["train"]
    chosen = pipeline.preprocessing(RECIPE, data.info, 8, data.path)
    batches = pipeline.training(split, chosen, RECIPE, data.info, batch_size=5, seed=0)
    with read_errors.named(split):
        for _ in batches.take(max(1, split.examples // 5)):
            pass


def flip_a_bit(path):
    """In the data of the fourth record of equal length or so: past 65 % of the file."""
    content = bytearray(path.read_bytes())
    content[int(len(content) * 0.7)] ^= 4
    path.write_bytes(content)


def test_a_flipped_bit_is_named_by_shard_and_record(tmp_path):
    data = prepared(tmp_path, flip_a_bit)
    with pytest.raises(UserError) as raised:
        train_an_epoch(data)
    assert raised.value.exit_code == 1
    assert str(raised.value).startswith(f"{tmp_path / 'train-00001-of-00002.tfrecord'}: damaged at record 3 (")
    assert "\n" not in str(raised.value)


def test_the_search_says_what_it_does_and_how_far_it_is(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(read_errors, "Progress", functools.partial(progress.Progress, every=0.0))
    data = prepared(tmp_path, flip_a_bit)
    with pytest.raises(UserError):
        train_an_epoch(data)
    said = capsys.readouterr().err.splitlines()
    assert said[0] == "searching for the damaged one among 10 records in 2 files; each is read once more"
    assert [line.split(",")[0] for line in said[1:]] == [f"{number} of 10 records" for number in range(2, 9)]


def test_a_shard_cut_off_after_it_was_opened_is_named(tmp_path):
    data = prepared(tmp_path)
    shard = tmp_path / "train-00001-of-00002.tfrecord"
    shard.write_bytes(shard.read_bytes()[:-30])
    with pytest.raises(UserError, match=r"train-00001-of-00002\.tfrecord: damaged at record 4"):
        train_an_epoch(data)


def test_a_vanished_shard_is_named(tmp_path):
    data = prepared(tmp_path)
    (tmp_path / "train-00001-of-00002.tfrecord").unlink()
    with pytest.raises(UserError, match=r"train-00001-of-00002\.tfrecord: missing"):
        train_an_epoch(data)


def test_a_record_whose_image_does_not_decode_is_named_with_its_image(tmp_path):
    def spoil(path):
        rows = list(tf.data.TFRecordDataset(str(path)).as_numpy_iterator())
        rows[2] = records.encode_example(jpeg(2)[:60], 0, "c", 12, 16, "train/1/2.jpg", "JPEG")
        with tf.io.TFRecordWriter(str(path)) as writer:
            for row in rows:
                writer.write(row)

    data = prepared(tmp_path, spoil)
    with pytest.raises(UserError, match=r"train-00001-of-00002\.tfrecord: record 2 \(train/1/2\.jpg\): .*prepare"):
        train_an_epoch(data)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "Input is empty"),
        (b"\xff\xd8\xff and no more", "jpeg::Uncompress failed. Invalid JPEG data or crop window"),
        (b"text", "Unknown image file format. One of "),
        (b"RIFF text", "Unknown image file format. One of "),
        (jpeg(1, form="PNG")[:-60], "Invalid PNG data, size "),
    ],
)
def test_an_unreadable_file_of_a_class_folder_is_named(tmp_path, content, reason):
    tree(tmp_path / "train", {"a": 5, "b": 5})
    tree(tmp_path / "val", {"a": 1, "b": 1})
    (tmp_path / "train" / "b" / "003.jpg").write_bytes(content)
    with pytest.raises(UserError) as raised:
        train_an_epoch(datasets.open_dataset(str(tmp_path)))
    assert str(raised.value).startswith(f"{tmp_path / 'train/b/003.jpg'}: {reason}")
    assert "data/prepare.py" in str(raised.value)
    assert raised.value.exit_code == 1


def test_sound_data_is_not_blamed(tmp_path):
    data = prepared(tmp_path)
    train_an_epoch(data)
    told = read_errors.name_the_fault(
        data.splits["train"], tf.errors.InvalidArgumentError(None, None, "Incompatible shapes")
    )
    assert told == "no damaged file found in 2; TensorFlow says: Incompatible shapes"
