import numpy as np

from common.evaluation import grouping


def test_shapes_are_grouped_and_few_wait():
    shapes = [(2, 3), (3, 2), (2, 3), (2, 2), (3, 2), (2, 3), (2, 4), (3, 2), (2, 5), (2, 6)]
    given = []

    def elements():
        for number, shape in enumerate(shapes):
            given.append(number)
            yield np.full(shape, number), np.int64(number)

    out = []
    for pictures, numbers in grouping.by_shape(elements(), 2, held=3):
        assert len(pictures) == len(numbers) <= 2
        np.testing.assert_array_equal(pictures[:, 0, 0], numbers)
        out += numbers.tolist()
        assert len(given) - len(out) <= 3
    assert sorted(out) == list(range(10))
