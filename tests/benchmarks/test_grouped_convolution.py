import numpy as np
import pytest
import tensorflow as tf

from benchmarks import grouped_convolution
from common.nn.grouped_convolution import has_gradient


@pytest.mark.parametrize(("groups", "stride"), [(2, 1), (4, 2), (8, 1), (8, 2)])
def test_all_ways_compute_the_same(groups, stride):
    random = np.random.default_rng(0)
    x = tf.constant(random.normal(size=(2, 6, 6, 8)), tf.float32)
    kernel = tf.constant(random.normal(size=(3, 3, 8 // groups, 8)), tf.float32)
    found = grouped_convolution.ways(groups, 8).values()
    assert len(found) == 2 + has_gradient()
    wanted = tf.nn.conv2d(x, kernel, stride, "SAME").numpy()
    for way in found:
        np.testing.assert_allclose(way(x, kernel, stride, "SAME"), wanted, rtol=0, atol=1e-5 * np.abs(wanted).max())


def test_a_case_is_a_line_for_every_way():
    found = grouped_convolution.compare((4, 8, 5, 1), "float32", batch=1, rounds=1, times=1)
    wanted = ["native"] * has_gradient() + ["slices", "block-diagonal"]
    assert [one.way for one in found] == wanted
    assert (found[0].forward_ratio, found[0].backward_ratio) == (1.0, 1.0)
    assert all(one.forward_ms > 0 and one.backward_ms > 0 for one in found)
    assert len(grouped_convolution.table(found).splitlines()) == 1 + len(wanted)
