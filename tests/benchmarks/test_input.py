"""benchmarks/input.py: what it measures, and that the peer does the same work."""

import csv
import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from benchmarks import input as benchmark
from benchmarks import loader_torch
from common.errors import UserError
from common.input import datasets, images
from images import tree


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("place", [(0.0, 0.0), (0.5, 0.99), (0.99, 0.3)])
def test_the_loaders_picture_is_our_training_picture(place, mirrored):
    """Short side 80 to 64, then 56 x 56: nearly the same resizing, so the same picture within a few levels."""
    rows, columns = np.mgrid[:80, :100]
    pixels = np.stack([rows * 2 + 20, columns * 2 + 20, rows + columns], -1).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=98, subsampling=0)
    room = np.array([64, 80]) - 56
    corner = tf.constant(np.floor(room * place), tf.float32)

    def choose(shape):
        return images.window_of_resized(shape, images.resized_shape(shape, 64), corner, 56)

    ours = images.read_window(tf.constant(buffer.getvalue()), choose, 56).numpy() - np.float32([10, 20, 30])
    theirs = loader_torch.picture(buffer.getvalue(), 64, 56, (10, 20, 30), place, mirrored)
    assert theirs.dtype == np.float32
    np.testing.assert_allclose(theirs[:, ::-1] if mirrored else theirs, ours, atol=4)


def test_ratios_are_taken_within_a_round():
    rates = {"decode": [100.0, 200.0, 400.0], "ours": [90.0, 160.0, 200.0], "loader": [45.0, 40.0, 100.0]}
    decode, ours, loader = benchmark.results(rates)
    assert (ours.images_per_second, ours.lowest, ours.highest) == (160, 90, 200)
    assert (ours.of_decode, ours.of_loader) == (0.8, 2.0)
    assert (decode.of_decode, loader.of_loader) == (1, 1)
    assert benchmark.results({"decode": [2.0], "ours": [1.0]})[1].of_loader is None


def test_turns_rotate():
    order = []
    contenders = {name: lambda seconds, name=name: order.append(name) or 1.0 for name in "abc"}
    assert benchmark.rounds(contenders, 3, 1.0) == {name: [1.0] * 3 for name in "abc"}
    assert "".join(order) == "abc" + "abc" + "bca" + "cab"


def test_a_turn_counts_what_it_fetched():
    clock = iter(range(100))
    fetched = []
    made = iter(lambda: fetched.append(next(clock)) or 0, 1)
    assert loader_torch.turn(made, 8, 0.0) > 0
    assert len(fetched) == loader_torch.USED_UP + 1
    ticks = iter([5.0, 5.1, 5.2, 5.5])  # at the start, after two batches, at the end
    assert loader_torch.turn(made, 8, 0.2, lambda: next(ticks)) == pytest.approx(2 * 8 / 0.5)


@pytest.mark.slow
def test_every_pipeline_is_measured_and_the_memory_watched(tmp_path):
    tree(tmp_path / "train", {"a": 12, "b": 10})
    tree(tmp_path / "val", {"a": 3, "b": 3})
    said = []
    command = f"--dataset {tmp_path} --image_size 8 --batch_size 4 --rounds 1 --seconds 0.01 --no_loader"
    lines = benchmark.measure(benchmark.parse(command.split()), tmp_path, said.append)
    assert [line.contender for line in lines] == ["decode", "train, random crop", "bytes", "bytes, then mean", "test"]
    assert said[0].startswith(f"{tmp_path.name}: 22 training images")
    assert [line.split(":")[0] for line in said[-5:]] == [f"after {n} images of the epoch" for n in (4, 8, 12, 16, 20)]
    benchmark.write_csv(lines, tmp_path / "input.csv")
    with open(tmp_path / "input.csv", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [float(row["of_decode"]) for row in rows] == [line.of_decode for line in lines]


def test_only_jpegs_are_given_to_the_decoder(tmp_path):
    tree(tmp_path / "train", {"a": 3, "b": 1})
    (tmp_path / "train" / "a" / "000.jpg").write_bytes((tmp_path / "train/a/001.jpg").read_bytes()[2:])
    split = datasets.open_dataset(str(tmp_path)).splits["train"]
    found = benchmark.encoded(split, str(tmp_path))
    assert len(found) == split.examples - 1
    assert all(content.startswith(b"\xff\xd8") for content in found)


def test_pngs_are_measured_where_there_are_no_jpegs(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        for number in range(4):
            Image.new("RGB", (9, 9)).save(tmp_path / name / f"{number}.png")
    split = datasets.open_dataset(str(tmp_path)).splits["train"]
    with pytest.raises(UserError, match=r"is a JPEG$"):
        benchmark.encoded(split, str(tmp_path))
    contents = benchmark.encoded(split, str(tmp_path), (benchmark.JPEG, benchmark.PNG))
    assert len(contents) == split.examples
    assert next(benchmark.decoding(contents, 2)).numpy().tolist() == [[9, 9, 3]] * 2
