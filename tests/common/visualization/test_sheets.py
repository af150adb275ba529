import numpy as np
from PIL import Image

from common.input import pipeline
from common.visualization import pixels, sheets
from common.visualization.sheets import Cell


def test_a_sheet_shows_its_cells_in_rows(tmp_path):
    red, blue = (np.full((8, 8, 3), colour, np.uint8) for colour in ([255, 0, 0], [0, 0, 255]))
    cells = [Cell(red, "a $5 <b>"), Cell(blue), Cell(blue, frame="#00ff00")]
    sheets.grid(tmp_path / "sheet.png", cells, 2, "heading", inches=1.0, heads=("one", "two"), rows=("x", "y"))
    drawn = np.asarray(Image.open(tmp_path / "sheet.png")).astype(int)
    assert drawn.ndim == 3
    rows, columns = np.nonzero((drawn == [255, 0, 0]).all(-1))
    below, beside = np.nonzero((drawn == [0, 0, 255]).all(-1))
    assert 9000 < len(rows) <= 10201  # a square inch of 100 pixels each way
    assert 18000 < len(below) <= 20402
    assert rows.max() < below.max()
    assert columns.max() < beside.max()
    assert ((drawn == [0, 255, 0]).all(-1)).sum() > 300


def test_a_whole_picture_keeps_its_pixels(tmp_path):
    picture = np.random.default_rng(0).integers(0, 256, (200, 300, 3)).astype(np.uint8)
    sheets.whole(tmp_path / "map.png", picture, "map", [("cat", np.array([255, 0, 0])), ("dog", np.array([0, 9, 0]))])
    drawn = np.asarray(Image.open(tmp_path / "map.png"))
    np.testing.assert_array_equal(drawn[-200:], picture)


def test_values_become_visible():
    assert sheets.grey(np.array([[0.0, 1.0], [2.0, 2.0]]))[..., 0].tolist() == [[0, 128], [255, 255]]
    values = np.array([[[0.0, 1.0, -1.0]] * 2] * 2)
    assert sheets.signed(values)[0, 0].tolist() == [128, 255, 0]
    picture = np.full((2, 2, 3), 128, np.uint8)
    both = sheets.heat(picture, np.array([[1.0, -1.0], [0.0, 0.0]]), both_signs=True).astype(int)
    assert both[0, 0, 0] > both[0, 0, 2] + 50  # red
    assert both[0, 1, 2] > both[0, 1, 0] + 50  # blue
    assert np.ptp(both[1, 0]) == 0  # as the picture
    assert not sheets.grey(np.zeros((2, 2))).any()


def test_names_are_cut():
    assert sheets.short("great white shark, man-eater") == "great white shark, ma…"
    assert sheets.short("dog, small") == "dog, small"  # beside a class "dog, big"
    assert sheets.short("a" * 30, 5) == "aaaa…"
    assert sheets.short("$5") == r"\$5"


def test_inputs_become_the_pictures_they_were_made_of():
    pictures = np.random.default_rng(0).integers(0, 256, (2, 6, 6, 3)).astype(np.float32)
    for channels in ("rgb", "bgr"):
        preprocessing = pipeline.Preprocessing(6, 6, (10.0, 20.0, 30.0), (50.0, 60.0, 70.0), channels=channels)
        inputs = pipeline.normaliser(preprocessing)(pictures).numpy()
        np.testing.assert_array_equal(pixels.shower(preprocessing)(inputs), pictures.astype(np.uint8))
        black, white = pixels.extremes(preprocessing)
        assert (pixels.shower(preprocessing)(black) == 0).all()
        assert (pixels.shower(preprocessing)(white) == 255).all()
