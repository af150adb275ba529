import numpy as np

from common.visualization import maps


def test_pca_finds_the_line_on_which_points_lie():
    along = np.array([-3.0, -1.0, 0.5, 3.5])
    found = maps.pca(along[:, None] * np.array([[0.6, 0.8, 0.0]]))
    assert found.shape == (4, 2)
    np.testing.assert_allclose(np.abs(found[:, 0]), np.abs(along - along.mean()), atol=1e-9)
    np.testing.assert_allclose(found[:, 1], 0, atol=1e-9)


def test_tsne_keeps_two_groups_apart():
    draw = np.random.default_rng(0)
    groups = np.repeat([0, 1], 15)
    found = maps.tsne(draw.normal(size=(30, 8)) + 20 * groups[:, None])
    between = np.linalg.norm(found[groups == 0].mean(0) - found[groups == 1].mean(0))
    within = max(np.linalg.norm(found[groups == g] - found[groups == g].mean(0), axis=1).max() for g in (0, 1))
    assert between > within


def test_points_fill_the_unit_square():
    np.testing.assert_allclose(maps.unit_square(np.array([[1.0, 5], [3, 5], [2, 5]])), [[0, 0], [1, 0], [0.5, 0]])
    assert maps.unit_square(np.array([[1.0], [2.0]])).tolist() == [[0, 0], [1, 0]]


def test_thumbnails_lie_at_their_points_and_the_first_wins():
    points = np.array([[0.0, 0.0], [1.0, 1.0], [0.01, 0.01]])
    pictures = np.stack([np.full((2, 2, 3), value, np.uint8) for value in (10, 20, 30)])
    frames = np.array([[1, 1, 1], [2, 2, 2], [3, 3, 3]], np.uint8)
    sheet = maps.thumbnails(points, pictures, frames, side=3, edge=1)
    assert sheet.shape == (12, 12, 3)
    assert (sheet[9:11, 1:3] == 10).all()  # below, to the left
    assert (sheet[8, :4] == 1).all()
    assert (sheet[1:3, 9:11] == 20).all()
    assert (sheet[4:8, 4:8] == 255).all()
