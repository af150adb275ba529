import dataclasses
import json
import sys
from subprocess import run

import numpy as np
import pytest
import tensorflow as tf

from common.errors import UserError
from common.input import records


def png(value: int) -> bytes:
    return tf.io.encode_png(np.full((2, 3, 3), value, np.uint8)).numpy()


def write(folder, labels=(0, 1, 1), contents=None):
    """A data set of one shard; dataset.json describes it truly."""
    file = records.shard_name("train", 0, 1)
    with tf.io.TFRecordWriter(str(folder / file)) as writer:
        for index, label in enumerate(labels):
            encoded = contents[index] if contents else png(index)
            writer.write(records.encode_example(encoded, label, "ab"[label], 2, 3, f"{index}.png", "PNG"))
    path = folder / file
    shard = records.Shard(file, len(labels), path.stat().st_size, records.checksum(path))
    counts = tuple(int(n) for n in np.bincount(labels, minlength=2))
    info = records.DatasetInfo("x", ("a", "b"), {"train": records.SplitInfo((shard,), counts)}, (1, 2, 3), (4, 5, 6))
    records.write_info(folder, info)
    return path, info


def faults(folder):
    return [fault for _, fault in records.verify(folder)]


def test_example_has_imagenets_fields_and_comes_back():
    serialized = records.encode_example(b"\xff\xd8", 7, "caf\udce9", 3, 4, "train/caf\udce9/1.jpg", "JPEG")
    features = tf.train.Example.FromString(serialized).features.feature
    found = {name: (f.bytes_list.value or f.int64_list.value)[0] for name, f in features.items()}
    assert found == {
        "image/encoded": b"\xff\xd8",
        "image/format": b"JPEG",
        "image/class/label": 7,
        "image/class/text": b"caf\xe9",
        "image/height": 3,
        "image/width": 4,
        "image/colorspace": b"RGB",
        "image/channels": 3,
        "image/filename": b"train/caf\xe9/1.jpg",
    }
    encoded, label, name = records.parse_example(tf.constant(serialized))
    assert (encoded.numpy(), label.numpy(), name.numpy()) == (b"\xff\xd8", 7, b"train/caf\xe9/1.jpg")
    assert label.dtype == tf.int32


def test_info_round_trip(tmp_path):
    _, info = write(tmp_path)
    extra = {"plan": {"seed": 1}}
    info = dataclasses.replace(info, flip=False, suggested={"epochs": 3}, mean_image="mean_image.npy", extra=extra)
    records.write_info(tmp_path, info)
    again = records.read_info(tmp_path)
    assert again == info
    assert again.splits["train"].examples == 3
    assert not list(tmp_path.glob("*.tmp"))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "there is no prepared data set here"),
        ("{", "damaged"),
        ("[]", "damaged"),
        ('{"format": 2}', "damaged"),
        ('{"format": 3}', "format 3, this program reads 2"),
    ],
)
def test_info_that_cannot_be_used(tmp_path, content, message):
    if content is not None:
        (tmp_path / records.INFO_FILE).write_text(content)
    with pytest.raises(UserError, match=message):
        records.read_info(tmp_path)


def test_whole_means_every_shard_at_full_length(tmp_path):
    assert not records.is_whole(tmp_path)
    path, _ = write(tmp_path)
    assert records.is_whole(tmp_path)
    path.write_bytes(path.read_bytes()[:-1])
    assert not records.is_whole(tmp_path)


def test_verify_finds_nothing_wrong(tmp_path):
    _, info = write(tmp_path)
    assert list(records.verify(tmp_path)) == [(info.splits["train"].shards[0], None)]


def damage(path, position):
    data = bytearray(path.read_bytes())
    data[position] ^= 0xFF
    path.write_bytes(bytes(data))


def test_verify_finds_flipped_bits_cut_and_missing_shards(tmp_path):
    path, info = write(tmp_path)
    length = path.stat().st_size // 3
    damage(path, length + 100)  # inside the second record
    assert faults(tmp_path) == ["corrupted at record 1"]
    damage(path, length + 100)
    assert faults(tmp_path) == [None]
    path.write_bytes(path.read_bytes()[:-5])
    assert faults(tmp_path) == [f"{info.splits['train'].shards[0].bytes - 5} bytes long instead of {3 * length}"]
    path.unlink()
    assert faults(tmp_path) == ["missing"]


def test_verify_finds_records_that_are_whole_but_wrong(tmp_path):
    write(tmp_path, contents=[png(0), b"no image", png(2)])
    assert faults(tmp_path)[0].startswith("record 1 cannot be decoded")
    path, info = write(tmp_path)
    first, second = (dataclasses.replace(info, classes=classes) for classes in (("a",), ("a", "b", "c")))
    records.write_info(tmp_path, first)
    assert faults(tmp_path) == ["record 1 (1.png): label 1, 18 values"]
    records.write_info(tmp_path, second)
    assert faults(tmp_path) == ["the split's images per class are not those of dataset.json"]
    shard = dataclasses.replace(info.splits["train"].shards[0], examples=4)
    records.write_info(tmp_path, dataclasses.replace(info, splits={"train": records.SplitInfo((shard,), (1, 2))}))
    assert faults(tmp_path) == ["3 records instead of 4"]
    shard = dataclasses.replace(shard, examples=3, sha256="0" * 64)
    records.write_info(tmp_path, dataclasses.replace(info, splits={"train": records.SplitInfo((shard,), (1, 2))}))
    assert faults(tmp_path) == ["its checksum is not the one in dataset.json"]
    assert json.loads((tmp_path / records.INFO_FILE).read_text())["format"] == 2
    assert path.exists()


def test_reading_about_a_data_set_needs_no_tensorflow(tmp_path):
    write(tmp_path)
    script = (
        "import sys; from common.input import records; records.read_info(sys.argv[1]); "
        "print('tensorflow' in sys.modules)"
    )
    assert (
        run([sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, check=True).stdout.strip()
        == "False"
    )
