"""The order of records as arrays is that of tf.data, element by element."""

import numpy as np
import pytest
import tensorflow as tf

from common.input import record_order


@pytest.mark.parametrize(
    ("counts", "cycle"),
    [((7, 1, 12, 3, 9, 5), 3), ((4, 8, 0, 4), 2), ((0, 0, 5, 16, 1), 2), ((3,), 1), ((2, 40, 3, 3, 3, 3, 8), 16)],
)
def test_files_come_in_turn_as_interleave_has_them(counts, cycle):
    """Among them empty files and files of whole blocks, whose end is only noticed in the round after."""
    begins, order = np.cumsum([0, *counts]), np.random.default_rng(len(counts)).permutation(len(counts))
    starts = tf.constant(begins, tf.int64)
    wanted = tf.data.Dataset.from_tensor_slices(order).interleave(
        lambda file: tf.data.Dataset.range(starts[file], starts[file + 1]), cycle, block_length=4
    )
    found = record_order.interleaved(np.array(counts), order, cycle, 4)
    assert found.tolist() == list(wanted.as_numpy_iterator())


@pytest.mark.parametrize(("examples", "buffer"), [(1, 1), (5, 9), (40, 40), (40, 39), (300, 7), (300, 64), (9, 1)])
@pytest.mark.parametrize("block", [2**16, 16, 3])
def test_swaps_are_those_of_a_shuffle_buffer(monkeypatch, examples, buffer, block):
    """Against a buffer that is held as a list: of what it holds one is handed over, the first takes its place."""
    monkeypatch.setattr(record_order, "_BLOCK", block)
    random = np.random.default_rng(buffer).integers(0, 2**32, examples, dtype=np.uint32)
    values = np.random.default_rng(1).permutation(examples).astype(np.int32)
    waiting, held, wanted = values.tolist(), [], []
    for number in random.tolist():
        while waiting and len(held) < buffer:
            held.append(waiting.pop(0))
        chosen = number % len(held)
        wanted.append(held[chosen])
        held[chosen] = held[0]
        held.pop(0)
    record_order.shuffle(values, buffer, random)
    assert values.tolist() == wanted
