import io
import threading

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from sklearn.datasets import load_digits

from common.input import records
from data import digits


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("datasets") / "digits"
    digits.prepare(path)
    return path


def examples(folder, split):
    info = records.read_info(folder)
    files = [str(folder / shard.file) for shard in info.splits[split].shards]
    for encoded, label, name in tf.data.TFRecordDataset(files).map(records.parse_example).as_numpy_iterator():
        yield np.asarray(Image.open(io.BytesIO(encoded))), int(label), name.decode()


def test_counts_and_properties(folder):
    info = records.read_info(folder)
    assert {name: split.examples for name, split in info.splits.items()} == {
        "train": 1257,
        "validation": 180,
        "test": 360,
    }
    assert info.classes == tuple("0123456789")
    assert not info.flip
    assert info.suggested == {"batch_size": 64, "epochs": 14, "ema": 0.98, "crop": "random"}
    counts = np.bincount(load_digits().target)
    for split in info.splits.values():
        # stratified: each class has its share of the split, to one image
        np.testing.assert_allclose(split.per_class, counts * split.examples / 1797, atol=1.0)
    np.testing.assert_array_equal(np.sum([split.per_class for split in info.splits.values()], axis=0), counts)


def test_every_digit_is_there_once_and_is_what_scikit_learn_has(folder):
    source = load_digits()
    seen = []
    for split in ("train", "validation", "test"):
        for image, label, name in examples(folder, split):
            row = int(name.removeprefix("digits/").removesuffix(".png"))
            seen.append(row)
            assert label == source.target[row]
            expected = np.floor(source.images[row] * 255 / 16 + 0.5)
            np.testing.assert_array_equal(image, np.repeat(expected[..., None], 3, axis=-1))
    assert sorted(seen) == list(range(1797))


def test_statistics_are_those_of_the_training_split(folder):
    info = records.read_info(folder)
    images = np.stack([image for image, _, _ in examples(folder, "train")]).astype(np.float64)
    np.testing.assert_allclose(info.mean, images.mean(axis=(0, 1, 2)), rtol=1e-12)
    np.testing.assert_allclose(info.std, images.std(axis=(0, 1, 2)), rtol=1e-12)
    np.testing.assert_allclose(info.eigenvalues, [3 * np.var(images[..., 0] / 255), 0, 0], atol=1e-9)


def test_nothing_is_done_twice_and_damage_is_mended(folder):
    before = {path.name: (path.stat().st_mtime_ns, path.read_bytes()) for path in folder.iterdir()}
    digits.prepare(folder)
    assert {path.name: (path.stat().st_mtime_ns, path.read_bytes()) for path in folder.iterdir()} == before
    shard = next(folder.glob("test-*"))
    shard.write_bytes(shard.read_bytes()[:-1])
    digits.prepare(folder)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == {k: v[1] for k, v in before.items()}


def test_several_at_once_end_with_the_same_files(folder, tmp_path):
    target = tmp_path / "new" / "digits"
    threads = [threading.Thread(target=digits.prepare, args=(target,)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {path.name: path.read_bytes() for path in target.iterdir()} == {
        path.name: path.read_bytes() for path in folder.iterdir()
    }
    assert [path.name for path in target.parent.iterdir()] == ["digits"]
