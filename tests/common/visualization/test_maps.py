import numpy as np
import pytest

from common.visualization import maps


def test_pca_finds_the_line_on_which_points_lie():
    along = np.array([-3.0, -1.0, 0.5, 3.5])
    found = maps.pca(along[:, None] * np.array([[0.6, 0.8, 0.0]]))
    assert found.shape == (4, 2)
    np.testing.assert_allclose(np.abs(found[:, 0]), np.abs(along - along.mean()), atol=1e-9)
    np.testing.assert_allclose(found[:, 1], 0, atol=1e-9)


@pytest.mark.slow
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


def test_a_point_whose_cell_is_taken_goes_to_the_nearest_free_one():
    corner = [0.0, 0.0]  # below, to the left: row 2, column 0
    assert maps.cells(np.array([corner, [1.0, 1.0], corner, [0.1, 0.1]]), side=3, reach=0) == [
        (2, 0),
        (0, 2),
        None,
        None,
    ]
    assert maps.cells(np.array([corner] * 3), side=3, reach=1) == [(2, 0), (1, 0), (2, 1)]
    every = maps.cells(np.array([[0.5, 0.5]] * 10), side=3, reach=1)
    assert len(set(every[:9])) == 9
    assert every[9] is None


def test_thumbnails_lie_at_their_places():
    pictures = np.stack([np.full((2, 2, 3), value, np.uint8) for value in (10, 20, 30)])
    frames = np.array([[1, 1, 1], [2, 2, 2], [3, 3, 3]], np.uint8)
    sheet = maps.thumbnails([(2, 0), (0, 2), None], pictures, frames, side=3, edge=1)
    assert sheet.shape == (12, 12, 3)
    assert (sheet[9:11, 1:3] == 10).all()
    assert (sheet[8, :4] == 1).all()
    assert (sheet[1:3, 9:11] == 20).all()
    assert (sheet[4:8, 4:8] == 255).all()
    assert not (sheet == 30).any()
