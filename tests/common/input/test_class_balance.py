"""Balanced sampling and weights, on a data set of 17, 4 and 1 pictures."""

import numpy as np
import pytest

import images
from common.errors import UserError
from common.input import class_balance, datasets, order
from common.input.records import DatasetInfo, Shard, SplitInfo

SIZES = {"a": 17, "b": 4, "c": 1}


@pytest.fixture(scope="module")
def split(tmp_path_factory):
    tree = tmp_path_factory.mktemp("unequal")
    images.tree(tree / "train", SIZES)
    images.tree(tree / "validation", SIZES, seed=100)
    return datasets.open_dataset(str(tree)).splits["train"]


def numbers(split, count: int, **settings) -> tuple[list[int], list[int]]:
    settings = {"batch_size": 6, "seed": 3} | settings
    found = list(order.balanced_order(split, class_balance.labels(split), **settings).take(count).as_numpy_iterator())
    return tuple([int(pair[part]) for pair in found] for part in (0, 1))


def test_labels_are_those_of_the_stored_order(split):
    assert class_balance.labels(split).tolist() == [0] * 17 + [1] * 4 + [2]


def test_weights_are_n_over_k_n_c():
    np.testing.assert_allclose(class_balance.weights(np.array([17, 4, 1])), [22 / 51, 22 / 12, 22 / 3], rtol=1e-6)
    np.testing.assert_allclose(class_balance.weights(np.array([6, 0, 2])), [8 / 12, 0, 8 / 4], rtol=1e-6)
    assert class_balance.weights(np.array([5, 5])).tolist() == [1, 1]


def test_every_class_comes_equally_often_and_each_of_its_pictures_too(split):
    found, places = numbers(split, 3 * 64 * 2)
    assert found == list(range(3 * 64 * 2))
    labels = class_balance.labels(split)[places]
    for turn in (labels[: 3 * 64], labels[3 * 64 :]):
        assert np.bincount(turn).tolist() == [64, 64, 64]
    assert np.bincount(labels[:60], minlength=3).min() > 8  # in random order
    for rounds in (1, 2):  # 64 visits of 17 pictures: each three or four times
        visits = np.bincount(places[: 3 * 64 * rounds], minlength=22)
        for members in (visits[:17], visits[17:21], visits[21:]):
            assert members.sum() == 64 * rounds
            assert members.max() - members.min() <= 1
    first, second = ([place for place in part if place < 17] for part in (places[: 3 * 64], places[3 * 64 :]))
    assert first != second


@pytest.mark.parametrize("start", [7, *(pytest.param(each, marks=pytest.mark.slow) for each in (1, 50))])
def test_a_resumed_run_goes_on_with_the_pictures_it_would_have_had(split, start):
    every, rest = numbers(split, 420), numbers(split, 420 - 6 * start, start_step=start)
    assert (every[0][6 * start :], every[1][6 * start :]) == rest


@pytest.mark.slow
@pytest.mark.parametrize("workers", [2, 3])
def test_workers_share_every_global_batch(split, workers):
    whole = np.reshape(numbers(split, 60)[1], (10, workers, -1))
    for worker in range(workers):
        part = numbers(split, 60 // workers, worker=worker, workers=workers)
        np.testing.assert_array_equal(np.reshape(part[1], (10, -1)), whole[:, worker])


def test_another_seed_gives_another_order(split):
    assert numbers(split, 30) != numbers(split, 30, seed=4)


def test_a_batch_larger_than_the_split_is_refused(split):
    with pytest.raises(UserError, match="--batch_size=23 is more than the 22 training images"):
        order.balanced_order(split, class_balance.labels(split), batch_size=23, seed=0)


def test_counts_are_read_where_the_data_set_does_not_say_them(split):
    def info(per_class):
        shards = (Shard("train", sum(per_class), 0, ""),)
        return DatasetInfo("made", tuple(SIZES), {"train": SplitInfo(shards, per_class)}, (0,) * 3, (1,) * 3)

    assert class_balance.counts(split, info((17, 4, 1))).tolist() == [17, 4, 1]
    assert class_balance.counts(split, info((20, 4, 1))).tolist() == [17, 4, 1]  # of a split of which some is held out
    assert class_balance.counts(split, info(())).tolist() == [17, 4, 1]
