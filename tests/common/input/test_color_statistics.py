import numpy as np

from common.input import color_statistics


def test_sums_and_statistics_against_numpy():
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 256, (h, w, 3), dtype=np.uint8) for h, w in ((5, 7), (11, 3), (1, 1))]
    images[0][..., 1] = images[0][..., 0]  # some correlation
    pixels = np.concatenate([image.reshape(-1, 3) for image in images]).astype(np.float64)
    sums = color_statistics.total(color_statistics.measure(image) for image in images)
    assert sums.pixels == 35 + 33 + 1
    assert sums.first == tuple(int(v) for v in pixels.sum(axis=0))
    assert sums.second == tuple(tuple(int(v) for v in row) for row in pixels.T @ pixels)
    found = color_statistics.summarise(sums)
    np.testing.assert_allclose(found.mean, pixels.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(found.std, pixels.std(axis=0), rtol=1e-12)
    covariance = np.cov(pixels.T / 255, bias=True)
    vectors, values = np.array(found.eigenvectors), np.array(found.eigenvalues)
    assert list(values) == sorted(values, reverse=True)
    np.testing.assert_allclose(vectors.T @ np.diag(values) @ vectors, covariance, atol=1e-9)
    np.testing.assert_allclose(vectors @ vectors.T, np.eye(3), atol=1e-9)
    assert all(vector[np.argmax(np.abs(vector))] > 0 for vector in vectors)


def test_measure_in_chunks_is_measure_at_once(monkeypatch):
    image = np.random.default_rng(1).integers(0, 256, (13, 17, 3), dtype=np.uint8)
    at_once = color_statistics.measure(image)
    monkeypatch.setattr(color_statistics, "_CHUNK", 10)
    assert color_statistics.measure(image) == at_once


def test_grey_images_have_one_component_along_the_diagonal():
    grey = np.repeat(np.arange(0, 250, 10, dtype=np.uint8).reshape(5, 5, 1), 3, axis=-1)
    found = color_statistics.summarise(color_statistics.measure(grey))
    np.testing.assert_allclose(found.eigenvectors[0], [3**-0.5] * 3, atol=1e-9)
    np.testing.assert_allclose(found.eigenvalues, [3 * np.var(grey[..., 0] / 255), 0, 0], atol=1e-9)
