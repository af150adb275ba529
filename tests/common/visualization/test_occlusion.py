"""Occlusion against loops in NumPy, and on a patch that was planted."""

import numpy as np

import pointwise
from common.nn import layers
from common.visualization import occlusion, scores
from pointwise import close


def test_the_probabilities_are_those_of_covered_pictures():
    net, (x, classes) = pointwise.make(), pointwise.pictures(2)
    found = occlusion.occlusion(net.model, x, classes, size=2, stride=1, fill=0.5, at_once=4)
    assert found.corners.tolist() == [0, 1, 2]
    close(found.whole, scores.softmax(net.forward(x)[-1])[np.arange(2), classes])
    for n in range(2):
        for i in range(3):
            for j in range(3):
                covered = x[n : n + 1].copy()
                covered[:, i : i + 2, j : j + 2] = 0.5
                wanted = scores.softmax(net.forward(covered)[-1])[0, classes[n]]
                np.testing.assert_allclose(found.covered[n, i, j], wanted, atol=1e-5)


def test_the_last_square_reaches_the_edge():
    assert occlusion.corners(10, 4, 3).tolist() == [0, 3, 6]
    assert occlusion.corners(11, 4, 3).tolist() == [0, 3, 6, 7]
    assert occlusion.corners(3, 3, 2).tolist() == [0]


def test_the_drop_of_a_pixel_is_the_mean_over_the_squares_that_cover_it():
    found = occlusion.Occlusion(np.array([0, 1]), 2, np.array([0.9]), np.array([[[0.9, 0.5], [0.1, 0.7]]]))
    drops = np.array([[0.0, 0.4], [0.8, 0.2]])
    wanted = [
        [drops[0, 0], drops[0].mean(), drops[0, 1]],
        [drops[:, 0].mean(), drops.mean(), drops[:, 1].mean()],
        [drops[1, 0], drops[1].mean(), drops[1, 1]],
    ]
    np.testing.assert_allclose(found.drop(3)[0], wanted)


def test_it_finds_a_planted_patch():
    """Class 1 is as likely as there is brightness above 0.5 anywhere."""
    x = image = layers.image_input(16)
    x = layers.global_avg_pool(layers.conv(x, 1, 1, name="conv"), name="pool")
    model = layers.network(image, layers.logits(x, 2, name="fc"), "bright")
    model.set_weights([np.full((1, 1, 3, 1), 1 / 3), np.array([-0.5]), np.array([[0.0, 200.0]]), np.array([2.0, 0.0])])
    for top, left in ((0, 0), (3, 9), (12, 5)):
        picture = np.random.default_rng(top).uniform(0, 0.4, (1, 16, 16, 3)).astype(np.float32)
        picture[0, top : top + 4, left : left + 4] = 1.0
        found = occlusion.occlusion(model, picture, np.array([1]), size=4, stride=1)
        assert found.whole[0] > 0.9
        place = np.unravel_index(found.covered[0].argmin(), found.covered[0].shape)
        assert place == (top, left)
        drop = found.drop(16)[0]
        inside = np.zeros((16, 16), bool)
        inside[top : top + 4, left : left + 4] = True
        assert drop[inside].mean() > 3 * drop[~inside].mean()
