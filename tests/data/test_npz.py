import io

import numpy as np
import pytest
from PIL import Image

from common.errors import UserError
from data import npz, writer
from data.source import Shares
from tests.images import stored

RNG = np.random.default_rng(0)


def save(path, **arrays):
    np.savez_compressed(path, **arrays)
    npz._array.cache_clear()
    return str(path)


def pixels(encoded):
    return np.asarray(Image.open(io.BytesIO(encoded)))


@pytest.mark.parametrize("shape", [(6, 5), (6, 5, 1), (6, 5, 3)])
def test_images_are_stored_without_loss(tmp_path, shape):
    x, y = RNG.integers(0, 256, (40, *shape), dtype=np.uint8), np.arange(40).reshape(40, 1) % 2
    test_x, test_y = x[:6][::-1].copy(), y[:6][::-1].copy()
    path = save(tmp_path / "set.npz", x_train=x, y_train=y, x_test=test_x, y_test=test_y, classes=np.array(["a", "b"]))
    source = npz.open_source(path, Shares(validation=0.1), 0)
    assert (source.name, source.classes) == ("set", ("a", "b"))
    writer.write(source, tmp_path / "out", writer.Options())
    train, validation, test = (stored(tmp_path / "out", split) for split in ("train", "validation", "test"))
    assert (len(train), len(validation), len(test)) == (36, 4, 6)
    assert sorted([*train, *validation]) == [f"train/{row:06d}.png" for row in range(40)]
    for found, images, labels in ((train, x, y), (validation, x, y), (test, test_x, test_y)):
        for name, (label, encoded) in found.items():
            row = int(name.split("/")[1][:6])
            assert label == labels[row, 0]
            expected = images[row].reshape(6, 5, -1)
            np.testing.assert_array_equal(pixels(encoded), np.broadcast_to(expected, (6, 5, 3)))


def test_validation_rows_and_default_names(tmp_path):
    x, y = np.zeros((4, 2, 2, 3), np.uint8), np.array([0, 1, 2, 1])
    source = npz.open_source(save(tmp_path / "a.npz", x_train=x, y_train=y, x_val=x, y_val=y), Shares(), 0)
    assert source.classes == ("0", "1", "2")
    assert {split: len(items) for split, items in source.splits.items()} == {"train": 4, "validation": 4}


GOOD = {"x_train": np.zeros((4, 2, 2, 3), np.uint8), "y_train": np.array([0, 1, 0, 1])}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"x_train": np.zeros((4, 2, 2, 3), np.float32)}, "images are float32"),
        ({"x_train": np.zeros((4, 3, 2, 2), np.uint8)}, r"must be uint8 \(N, H, W\)"),
        ({"y_train": np.array([0, 1, 0])}, r"labels are int64 \(3,\) for 4 images"),
        ({"y_train": np.eye(4)}, "labels are float64"),
        ({"y_train": np.array([-1, 0, 1, 0])}, "labels must run from 0"),
        ({"classes": np.array(["only"])}, "the label 1 is beyond the 1 class names"),
    ],
)
def test_arrays_that_do_not_fit(tmp_path, changes, message):
    with pytest.raises(UserError, match=message) as caught:
        npz.open_source(save(tmp_path / "a.npz", **GOOD | changes), Shares(), 0)
    assert caught.value.exit_code == 1


def test_files_that_are_none(tmp_path):
    with pytest.raises(UserError, match="no x_train and y_train with images in it, only a"):
        npz.open_source(save(tmp_path / "a.npz", a=np.zeros(3)), Shares(), 0)
    for content in (b"", b"text", b"PK\x03\x04broken"):
        (tmp_path / "b.npz").write_bytes(content)
        with pytest.raises(UserError, match=r"cannot be read as .npz"):
            npz.open_source(str(tmp_path / "b.npz"), Shares(), 0)
