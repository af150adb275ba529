import dataclasses
import io
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from common.errors import UserError
from common.input import datasets, images, pipeline, records
from common.recipe import Recipe

MEAN = (10.0, 20.0, 30.0)


def picture(index: int) -> np.ndarray:
    """(8, 8, 3) uint8; the red channel is the number of the picture."""
    pixels = np.random.default_rng(index).integers(0, 256, (8, 8, 3)).astype(np.uint8)
    pixels[..., 0] = index
    return pixels


def prepare(folder: Path, train: int, test: int = 0) -> datasets.Dataset:
    """A prepared data set of PNG pictures in three training shards; `validation` has four."""
    splits = {}
    for name, count, shards in (("train", train, 3), ("validation", 4, 1), ("test", test, 1)):
        made = []
        for shard in range(shards if count else 0):
            path = folder / records.shard_name(name, shard, shards)
            numbers = range(shard, count, shards)
            with tf.io.TFRecordWriter(str(path)) as writer:
                for number in numbers:
                    png = io.BytesIO()
                    Image.fromarray(picture(number)).save(png, "PNG")
                    writer.write(records.encode_example(png.getvalue(), number % 3, "c", 8, 8, f"{number}.png", "PNG"))
            made.append(records.Shard(path.name, len(numbers), path.stat().st_size, records.checksum(path)))
        if made:
            splits[name] = records.SplitInfo(tuple(made), (count, 0, 0))
    records.write_info(folder, records.DatasetInfo("made", ("a", "b", "c"), splits, MEAN, (1.0, 1.0, 1.0)))
    return datasets.open_dataset(str(folder))


def take(data: datasets.Dataset, batches: int, recipe: Recipe, **settings) -> list[tuple[np.ndarray, np.ndarray]]:
    prepared = pipeline.preprocessing(recipe, data.info, 8, data.path)
    settings = {"batch_size": 4, "seed": 5} | settings
    found = pipeline.training(data.splits["train"], prepared, recipe, data.info, **settings).take(batches)
    return [(image.numpy(), label.numpy()) for image, label in found]


def numbers(batch: tuple[np.ndarray, np.ndarray]) -> list[int]:
    """Which pictures a batch of plain ones holds."""
    return [round(float(value)) for value in batch[0][:, 0, 0, 0] + MEAN[0]]


PLAIN = Recipe(crop="none", flip=False, resize=8)
BUSY = Recipe(crop="random", resize=12, flip=True, brightness=0.2, contrast=0.3)
MODERN = dataclasses.replace(BUSY, auto_augment="trivial", color_jitter=0.4, hue=0.1, saturation=0.2, turns=True)
MODERN = dataclasses.replace(MODERN, vertical_flip=True, random_erasing=0.5, mixup=0.2, cutmix=1.0)
BALANCED = dataclasses.replace(MODERN, sampling="balanced", auto_augment="rand", mixup=0.0)


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> datasets.Dataset:
    return prepare(tmp_path_factory.mktemp("made"), 14)


def equal(one, other) -> bool:
    pairs = zip([*sum(one, ())], [*sum(other, ())], strict=True)
    return all(np.array_equal(mine, theirs) for mine, theirs in pairs)


def test_the_mean_is_subtracted_from_every_pixel(made):
    for batch, labels in take(made, 3, PLAIN):
        for image, label, number in zip(batch, labels, numbers((batch, labels)), strict=True):
            np.testing.assert_allclose(image, picture(number).astype(np.float32) - np.array(MEAN), atol=1e-4)
            assert label == number % 3


def test_an_epoch_meets_each_picture_once_at_most_and_the_next_has_another_order(made):
    seen = [numbers(batch) for batch in take(made, 6, PLAIN)]  # 14 // 4 = 3 batches an epoch
    first, second = ([n for batch in part for n in batch] for part in (seen[:3], seen[3:]))
    assert len(set(first)) == len(set(second)) == 12
    assert set(first) | set(second) <= set(range(14))
    assert first != second


def test_the_same_seed_gives_the_same_batches_and_another_seed_others(made):
    assert equal(take(made, 7, BUSY), take(made, 7, BUSY))
    assert not equal(take(made, 7, BUSY), take(made, 7, BUSY, seed=6))


@pytest.mark.parametrize("start", [1, 3, 5])
def test_a_resumed_run_goes_on_with_the_batch_it_would_have_had(made, start):
    assert equal(take(made, 8, BUSY)[start:], take(made, 8 - start, BUSY, start_step=start))


@pytest.mark.slow
@pytest.mark.parametrize("recipe", [MODERN, BALANCED], ids=["modern", "balanced"])
def test_a_resumed_run_augments_and_mixes_as_it_would_have(made, recipe):
    whole = take(made, 6, recipe)
    assert whole[0][1].shape == (4, 3)
    assert equal(whole[4:], take(made, 2, recipe, start_step=4))
    for worker in range(2):  # each has whole pairs
        for step, (pictures, shares) in enumerate(take(made, 3, recipe, worker=worker, workers=2)):
            part = slice(2 * worker, 2 * worker + 2)
            np.testing.assert_array_equal(pictures, whole[step][0][part])
            np.testing.assert_array_equal(shares, whole[step][1][part])


def test_a_mixed_batch_is_the_plain_one_mixed(made):
    mixed = take(made, 5, dataclasses.replace(PLAIN, mixup=1.0))
    for (plain, labels), (pictures, shares) in zip(take(made, 5, PLAIN), mixed, strict=True):
        one_hot, partners = np.eye(3)[labels], [1, 0, 3, 2]
        # Pictures are never equal, so they tell the share even where labels do not.
        kept = np.vdot(pictures - plain[partners], plain - plain[partners]) / np.sum((plain - plain[partners]) ** 2)
        np.testing.assert_allclose(pictures, kept * plain + (1 - kept) * plain[partners], atol=1e-3)
        np.testing.assert_allclose(shares, kept * one_hot + (1 - kept) * one_hot[partners], atol=1e-5)


def test_a_new_augmentation_leaves_the_others_numbers(made):
    """Erasing changes no crop, flip or brightness."""
    for (plain, labels), (erased, same) in zip(
        take(made, 4, BUSY), take(made, 4, dataclasses.replace(BUSY, random_erasing=1.0)), strict=True
    ):
        np.testing.assert_array_equal(labels, same)
        assert (erased == 0).any()
        np.testing.assert_array_equal(erased[erased != 0], plain[erased != 0])


def test_pictures_without_an_up_are_turned_and_flipped(made):
    """All eight positions of a square occur; without mirror images only its four turns."""
    eight = {(k, m): np.rot90(picture(0)[:, :: -1 if m else 1], k) for k in range(4) for m in (False, True)}
    recipe = dataclasses.replace(PLAIN, turns=True, vertical_flip=True)
    for flip, wanted in ((True, set(eight)), (False, {(k, False) for k in range(4)})):
        data = dataclasses.replace(made, info=dataclasses.replace(made.info, flip=flip))
        met = set()
        for batch in take(data, 90 * 3, recipe):
            for image, number in zip(batch[0] + MEAN, numbers(batch), strict=True):
                if number == 0:
                    met |= {how for how, one in eight.items() if np.allclose(image, one, atol=1e-3)}
        assert met == wanted


@pytest.mark.parametrize("workers", [1, 2])
def test_the_training_batches_are_known_to_have_no_end(made, workers):
    prepared = pipeline.preprocessing(PLAIN, made.info, 8, made.path)
    batches = pipeline.training(
        made.splits["train"], prepared, PLAIN, made.info, batch_size=4, seed=5, worker=0, workers=workers
    )
    assert batches.cardinality() == tf.data.INFINITE_CARDINALITY


@pytest.mark.parametrize("workers", [2, pytest.param(4, marks=pytest.mark.slow)])
def test_workers_share_every_global_batch(made, workers):
    whole = take(made, 5, BUSY)
    parts = [take(made, 5, BUSY, worker=worker, workers=workers) for worker in range(workers)]
    for step, (pictures, labels) in enumerate(whole):
        np.testing.assert_array_equal(np.concatenate([part[step][0] for part in parts]), pictures)
        np.testing.assert_array_equal(np.concatenate([part[step][1] for part in parts]), labels)


@pytest.mark.parametrize("count", [1, 3, 4, 5])
@pytest.mark.parametrize("workers", [1, 2])
def test_evaluation_counts_every_picture_once(tmp_path, count, workers):
    data = prepare(tmp_path, 6, count)
    prepared = pipeline.preprocessing(PLAIN, data.info, 8, data.path)
    found, batches = [], set()
    for worker in range(workers):
        split = pipeline.evaluation(data.splits["test"], prepared, batch_size=4, worker=worker, workers=workers)
        listed = list(split.as_numpy_iterator())
        batches.add(len(listed))
        for image, label, valid, index in listed:
            assert image.shape == (4 // workers, 8, 8, 3)
            for x, y, v, i in zip(image, label, valid, index, strict=True):
                found += [(int(i), int(y), float(x[0, 0, 0]) + MEAN[0])] if v else []
    assert batches == {-(-count // 4)}
    assert sorted(found) == [(n, n % 3, pytest.approx(n, abs=1e-4)) for n in range(count)]


def test_no_flip_where_the_data_set_forbids_it(made):
    flipped = Recipe(crop="none", flip=True, resize=8)
    as_stored = [picture(n)[0, :, 1] for n in range(14)]
    mirrored = sum(
        not np.allclose(image[0, :, 1] + MEAN[1], as_stored[round(float(image[0, 0, 0]) + MEAN[0])], atol=1e-3)
        for batch, _ in take(made, 9, flipped)
        for image in batch
    )
    assert 0 < mirrored < 36
    still = dataclasses.replace(made, info=dataclasses.replace(made.info, flip=False))
    for batch, _ in take(still, 9, flipped):
        for image in batch:
            np.testing.assert_allclose(
                image[0, :, 1] + MEAN[1], as_stored[round(float(image[0, 0, 0]) + MEAN[0])], atol=1e-3
            )


def uniform(key: int, number: int, low: float, high: float) -> float:
    return float(tf.random.stateless_uniform([], tf.constant([key, number], tf.int64), low, high))


def test_every_use_of_random_numbers_draws_from_its_own_stream(made):
    """Keys by hand: 6 * seed + 1 for the flip, + 3 for the brightness; the number of a picture runs through the run."""
    plain = take(made, 6, PLAIN)
    moved = take(made, 6, dataclasses.replace(PLAIN, flip=True, brightness=0.2))
    flips = 0
    for step in range(6):
        for place in range(4):
            number, image = 4 * step + place, plain[step][0][place]
            if uniform(6 * 5 + 1, number, 0, 1) < 0.5:
                image, flips = image[:, ::-1], flips + 1
            shift = uniform(6 * 5 + 3, number, -51.0, 51.0)
            np.testing.assert_allclose(moved[step][0][place], image + shift, atol=1e-3)
    assert 0 < flips < 24


def test_a_batch_larger_than_the_split_is_refused(made):
    with pytest.raises(UserError, match="--batch_size=15 is more than the 14 training images"):
        take(made, 1, PLAIN, batch_size=15)


def test_resizing_is_bilinear_with_centres_at_halves(made):
    """Twice the size: each new pixel lies a quarter of the way between two old ones, the edge repeats."""
    old = np.arange(8, dtype=np.float64)
    row = np.concatenate([[0], np.repeat(old, 2)[1:-1] + np.tile([0.25, -0.25], 7), [7]])
    pixels = np.tile((old * 30).astype(np.uint8)[None, :, None], (8, 1, 3))
    png = io.BytesIO()
    Image.fromarray(pixels).save(png, "PNG")
    got = images.read_window(tf.constant(png.getvalue()), images.centre_crop(16, 16), 16).numpy()
    np.testing.assert_allclose(got[3, :, 0], row * 30, atol=1e-3)


def test_mean_image_and_lighting_reach_the_picture(tmp_path):
    """--mean image subtracts the stored picture's central part; lighting shifts every pixel alike."""
    data = prepare(tmp_path, 5)
    mean = np.random.default_rng(1).uniform(0, 255, (10, 10, 3)).astype(np.float32)
    np.save(tmp_path / "mean_image.npy", mean)
    lit = {"eigenvalues": (0.2, 0.0, 0.0), "eigenvectors": ((0.6, 0.8, 0.0), (-0.8, 0.6, 0.0), (0.0, 0.0, 1.0))}
    data = dataclasses.replace(data, info=dataclasses.replace(data.info, mean_image="mean_image.npy", **lit))

    def first(**fields):
        return take(data, 1, dataclasses.replace(PLAIN, **fields), batch_size=5)[0][0]

    plain = first(mean="none")
    np.testing.assert_allclose(first(mean="image"), plain - mean[1:9, 1:9], atol=1e-4)
    np.testing.assert_allclose(first(mean="channel"), plain - np.float32(MEAN), atol=1e-4)
    shift = first(mean="none", pca_lighting=0.1) - plain
    np.testing.assert_allclose(shift, np.broadcast_to(shift[:, :1, :1], shift.shape), atol=1e-3)
    np.testing.assert_allclose(shift[..., 0] * 0.8, shift[..., 1] * 0.6, atol=1e-3)
    np.testing.assert_allclose(shift[..., 2], 0, atol=1e-3)
    assert len(set(np.round(shift[:, 0, 0, 0], 2))) == 5
