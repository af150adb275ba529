import pytest

from common.input import random_changes, records
from common.recipe import Recipe

INFO = records.DatasetInfo("made", ("a", "b"), {}, (0.0,) * 3, (1.0,) * 3)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, "flip"),
        ({"flip": False}, ""),
        ({"auto_augment": "trivial", "mixup": 0.2}, "flip, TrivialAugment, mixup 0.2"),
        ({"auto_augment": "rand", "rand_magnitude": 7, "cutmix": 1}, "flip, RandAugment 2 x 7, CutMix 1"),
        (
            {"turns": True, "vertical_flip": True, "color_jitter": 0.4, "hue": 0.1, "pca_lighting": 0.1},
            "flip, quarter turns, vertical flip, color jitter 0.4, hue 0.1, PCA lighting 0.1",
        ),
        (
            {"flip": False, "saturation": 0.3, "contrast": 0.2, "brightness": 0.1, "random_erasing": 0.25},
            "saturation 0.3, contrast 0.2, brightness 0.1, erasing 0.25",
        ),
    ],
)
def test_the_changes_in_force_are_named(changes, said):
    assert random_changes.in_force(Recipe(**changes), INFO) == said
