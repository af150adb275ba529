"""Image files that cannot be decoded, passed over: what is met in their place, what is not valid, what is said."""

import numpy as np
import pytest
import tensorflow as tf

from common.input import datasets, pipeline
from common.input.bad_images import BadImages
from common.recipe import Recipe
from images import tree

RECIPE = Recipe(crop="none", flip=False, resize=8, mean="none", brightness=0.2)
BAD = ("a/002.jpg", "a/003.jpg", "b/004.jpg")  # two in a row, and the last of all, whose next is the first


@pytest.fixture
def sound(tmp_path):
    tree(tmp_path / "train", {"a": 6, "b": 5})
    tree(tmp_path / "val", {"a": 2, "b": 2}, seed=50)
    return tmp_path


def spoil(folder):
    for name in BAD:
        (folder / "train" / name).write_bytes(b"\xff\xd8\xff no more")
    return folder


def take(folder, batches, recipe=RECIPE, bad=None, **settings):
    data = datasets.open_dataset(str(folder))
    prepared = pipeline.preprocessing(recipe, data.info, 8, data.path)
    settings = {"batch_size": 4, "seed": 3} | settings
    made = pipeline.training(data.splits["train"], prepared, recipe, data.info, skip_bad_images=bad, **settings)
    return [(pictures.numpy(), labels.numpy()) for pictures, labels in made.take(batches)]


def flat(batches):
    return np.concatenate([pictures for pictures, _ in batches]), np.concatenate([labels for _, labels in batches])


def places(folder, count):
    """Which file, by its place in the split, each slot of the batches asks for."""
    split = datasets.open_dataset(str(folder)).splits["train"]
    return [int(place) for _, place in pipeline.order(split, batch_size=4, seed=3).take(count)]


def test_the_next_file_stands_in_and_all_others_are_met_as_before(sound):
    before, labels = flat(take(sound, 6))
    asked = places(sound, 24)
    quiet = Recipe(crop="none", flip=False, resize=8, mean="none")
    plain = dict(zip(asked, flat(take(sound, 6, quiet))[0], strict=True))
    said, bad_places = [], {2: 4, 3: 4, 10: 0}
    after, labels_after = flat(take(spoil(sound), 6, bad=BadImages(said.append)))
    assert set(bad_places) < set(asked)
    for slot, place in enumerate(asked):
        if place in bad_places:
            drawn = tf.random.stateless_uniform([], tf.constant([6 * 3 + 3, slot], tf.int64), -51.0, 51.0)
            np.testing.assert_allclose(after[slot], plain[bad_places[place]] + drawn, atol=1e-3)
            assert labels_after[slot] == (0 if bad_places[place] < 6 else 1)
        else:
            np.testing.assert_array_equal(after[slot], before[slot])
            assert labels_after[slot] == labels[slot]
    assert sorted(said) == [f"left out: {sound / 'train' / name} cannot be decoded" for name in BAD]


@pytest.mark.slow
def test_resumed_and_shared_out_among_workers_they_are_the_same_batches(sound):
    spoil(sound)
    whole = take(sound, 6, bad=BadImages(lambda _: None))
    later = take(sound, 4, bad=BadImages(lambda _: None), start_step=2)
    parts = [take(sound, 6, bad=BadImages(lambda _: None), worker=worker, workers=2) for worker in (0, 1)]
    for (pictures, labels), (again, same) in zip(whole[2:], later, strict=True):
        np.testing.assert_array_equal(pictures, again)
        np.testing.assert_array_equal(labels, same)
    for step, (pictures, _) in enumerate(whole):
        np.testing.assert_array_equal(np.concatenate([part[step][0] for part in parts]), pictures)


def test_in_one_pass_they_are_not_valid(sound):
    data = datasets.open_dataset(str(spoil(sound)))
    prepared = pipeline.preprocessing(RECIPE, data.info, 8, data.path)
    bad = BadImages(lambda _: None)
    made = pipeline.evaluation(data.splits["train"], prepared, batch_size=4, skip_bad_images=bad)
    batches = list(made.as_numpy_iterator())
    valid, index = (np.concatenate([batch[number] for batch in batches]) for number in (2, 3))
    assert len(batches) == 3
    assert index[valid].tolist() == [0, 1, 4, 5, 6, 7, 8, 9]
    assert (index[~valid] == -1).all()
    assert bad.files == [str(sound / "train" / name) for name in BAD]


def test_a_file_that_vanished_is_passed_over_too(sound):
    data = datasets.open_dataset(str(sound))
    (sound / "val" / "a" / "001.jpg").unlink()
    prepared = pipeline.preprocessing(RECIPE, data.info, 8, data.path)
    bad = BadImages(lambda _: None)
    made = pipeline.evaluation(data.splits["validation"], prepared, batch_size=4, skip_bad_images=bad)
    ((_, _, valid, _),) = made.as_numpy_iterator()
    assert valid.tolist() == [True, False, True, True]
    assert bad.files == [str(sound / "val" / "a" / "001.jpg")]


def test_without_being_asked_for_a_bad_file_is_an_error(sound):
    with pytest.raises(tf.errors.InvalidArgumentError):
        take(spoil(sound), 6)
