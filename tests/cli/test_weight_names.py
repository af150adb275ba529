import pytest

import foreign
from cli import weight_names
from importing import assert_same, filled, pictures


def test_torchvisions_vgg_with_batch_norm_is_its_numpy_forward():
    state = foreign.vgg_state(batch_norm=True)
    model, found = filled(state)
    assert (found.archs, found.image_size, found.classes) == (("vgg11_bn",), 64, 5)
    images = pictures(64)
    assert_same(model(images).numpy(), foreign.vgg(state, images.transpose(0, 3, 1, 2)))


@pytest.mark.parametrize(
    ("arch", "counts"), [("vgg13_bn", (2, 2, 2, 2, 2)), ("vgg16_bn", (2, 2, 3, 3, 3)), ("vgg19_bn", (2, 2, 4, 4, 4))]
)
def test_the_other_vggs_with_batch_norm_are_told_apart(arch, counts):
    plan = tuple(entry for count in counts for entry in (*[1] * count, "M"))
    state = foreign.vgg_state(plan, batch_norm=True)
    assert weight_names.recognise(state, "here").archs == (arch,)
