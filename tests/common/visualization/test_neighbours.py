import numpy as np

from common.visualization import neighbours


def test_neighbours_by_hand():
    features = np.array([[0.0, 0.0], [3.0, 4.0], [0.0, 1.0], [0.0, -1.0]], np.float32)
    order, distances = neighbours.nearest(features, np.array([0, 1]), 2)
    assert order.tolist() == [[2, 3], [2, 0]]  # of equals the lower first
    np.testing.assert_allclose(distances, [[1, 1], [np.sqrt(18), 5]])


def test_there_are_no_more_neighbours_than_others():
    features = np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32) + 100
    order, distances = neighbours.nearest(features, np.arange(3), 7)
    assert order.shape == (3, 2)
    wanted = np.sort(np.linalg.norm(features[:, None].astype(float) - features, axis=-1), 1)[:, 1:]
    np.testing.assert_allclose(distances, wanted, rtol=1e-6)
