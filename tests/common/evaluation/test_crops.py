import numpy as np
import pytest
import tensorflow as tf

from common.errors import UserError
from common.evaluation import crops
from common.evaluation.protocol import Protocol
from common.input import images


def ramp(height, width):
    """A picture whose pixel (y, x) is (y, x, 7): every crop says where it comes from."""
    y, x = np.mgrid[:height, :width]
    return np.stack([y, x, np.full_like(y, 7)], -1).astype(np.uint8)


def places(views):
    """(top, left, step) of each view: the step is -1 where it is mirrored."""
    views = np.asarray(views)
    top, left = views[:, 0, 0, 0], views[:, 0, 0, 1]
    return [tuple(map(int, row)) for row in np.stack([top, left, views[:, 0, 1, 1] - left], 1)]


def look(image, crops_, size, *sides):
    protocol = Protocol(crops_)
    return crops.views(tf.constant(image), protocol, size, sides or protocol.short_sides(size, min(image.shape[:2])))


def test_one_crop_is_the_centre():
    # Nothing is resized: the short side is 8 already. An odd remainder goes to the bottom and right.
    assert places(look(ramp(8, 13), "1", 5)) == [(1, 4, 1)]
    assert places(look(ramp(13, 8), "1", 5)) == [(4, 1, 1)]


def test_ten_crops_are_the_corners_and_the_centre_and_their_mirror_images():
    found = look(ramp(8, 12), "10", 4)
    plain = [(0, 0), (0, 8), (4, 0), (4, 8), (2, 4)]
    assert places(found) == [(y, x, 1) for y, x in plain] + [(y, x + 3, -1) for y, x in plain]
    np.testing.assert_array_equal(found[1], ramp(8, 12)[0:4, 8:12])
    np.testing.assert_array_equal(found[6], ramp(8, 12)[0:4, 8:12][:, ::-1])


@pytest.mark.parametrize("upright", [False, True])
def test_thirty_six_crops_of_one_scale(upright):
    """Squares of 8 at 0, 3 and 6 of 14; in each the crops of 4 at its corners and centre; the squares themselves."""
    picture = ramp(14, 8) if upright else ramp(8, 14)
    found = crops.views(tf.constant(picture), Protocol("144"), 4, (8,))
    inside = [(0, 0), (0, 4), (4, 0), (4, 4), (2, 2)]
    plain = [(y + s * upright, x + s * (not upright)) for s in (0, 3, 6) for y, x in inside]
    assert places(found[:15]) == [(y, x, 1) for y, x in plain]
    assert places(found[18:33]) == [(y, x + 3, -1) for y, x in plain]
    # At half the size every pixel is the mean of four: 2 i + 0.5 at place i; of 7 columns the squares begin at 0, 1, 3.
    for index, start in enumerate((0, 1, 3)):
        along, across = 2 * np.arange(start, start + 4) + 0.5, 2 * np.arange(4) + 0.5
        y, x = (along, across) if upright else (across, along)
        np.testing.assert_allclose(found[15 + index][:, :, 0], np.broadcast_to(y[:, None], (4, 4)), atol=1e-5)
        np.testing.assert_allclose(found[15 + index][:, :, 1], np.broadcast_to(x, (4, 4)), atol=1e-5)
        np.testing.assert_allclose(found[33 + index], found[15 + index][:, ::-1], atol=1e-5)


def test_144_crops_at_four_scales():
    """The numbers of section 7 for 224 pixels, and half of them for 112."""
    assert Protocol("144").short_sides(224, 256) == (256, 288, 320, 352)
    assert Protocol("144").short_sides(112, 128) == (128, 144, 160, 176)
    found = look(ramp(160, 200), "144", 112)
    assert found.shape == (144, 112, 112, 3)
    picture = ramp(160, 200).astype(np.float32)
    wanted = []
    for side in (128, 144, 160, 176):
        resized = images.resize(tf.constant(picture), tf.constant([side, side * 200 // 160])).numpy()
        for square in (0, (resized.shape[1] - side) // 2, resized.shape[1] - side):
            last = side - 112
            for top, left in [(0, 0), (0, last), (last, 0), (last, last), (last // 2, last // 2)]:
                wanted.append(resized[top : top + 112, square + left : square + left + 112])
        small = images.resize(tf.constant(picture), tf.constant([112, 140])).numpy()
        wanted += [small[:, :112], small[:, 14:126], small[:, 28:]]
    np.testing.assert_allclose(found[:72], wanted, atol=1e-3)
    np.testing.assert_allclose(found[72:], np.array(wanted)[:, :, ::-1], atol=1e-3)


def test_the_one_crop_is_the_one_that_validation_sees():
    random = np.random.default_rng(0)
    for height, width in ((37, 53), (64, 41), (20, 20), (31, 90)):
        picture = random.integers(0, 256, (height, width, 3), dtype=np.uint8)
        encoded = tf.io.encode_png(picture)
        wanted = images.read_window(encoded, images.centre_crop(28, 24), 24, exact=True)
        np.testing.assert_array_equal(crops.views(images.decode(encoded), Protocol("1"), 24, (28,))[0], wanted)


def test_scales_multiply_the_views():
    found = crops.views(tf.constant(ramp(16, 16)), Protocol("10", (16, 8)), 4, (16, 8))
    assert found.shape == (20, 4, 4, 3)
    assert places(found[:5]) == [(0, 0, 1), (0, 12, 1), (12, 0, 1), (12, 12, 1), (6, 6, 1)]
    np.testing.assert_allclose(found[5][:, 0, 0], 2 * np.arange(4) + 0.5)  # the second scale is half as large


def test_pictures_keep_their_shape():
    small, large = crops.pictures(tf.constant(ramp(10, 20)), (5, 10))
    assert (small.shape, large.shape) == ((5, 10, 3), (10, 20, 3))
    np.testing.assert_array_equal(large, ramp(10, 20))


def test_scales_and_their_limits():
    assert Protocol("1").short_sides(224, 256) == (256,)
    assert Protocol("dense", (224, 640)).short_sides(224, 256) == (224, 640)
    with pytest.raises(UserError, match=r"--scales=256,200: 200 is smaller than the network's input of 224 pixels"):
        Protocol("10", (256, 200)).short_sides(224, 256)
    with pytest.raises(UserError, match=r"--crops: '11' is not known"):
        Protocol("11")


def test_what_is_said_of_them():
    assert Protocol("1").text((256,)) == "centre crop at short side 256"
    assert Protocol("144").text((256, 288, 320, 352)) == "144 crops at short side 256, 288, 320, 352"
    assert Protocol("dense").text((256, 384)) == "dense at short side 256, 384"


@pytest.mark.parametrize(
    ("protocol", "name"),
    [
        (Protocol(), ""),
        (Protocol(scales=(256,)), ""),  # the network's own
        (Protocol(scales=(256, 288)), "scales-256-288"),
        (Protocol("10"), "10crops"),
        (Protocol("dense", (384,)), "dense-scales-384"),
        (Protocol("144"), "144crops"),
        (Protocol("144", (256, 288, 320, 352)), "144crops"),
    ],
)
def test_a_protocols_name_tells_it_from_others(protocol, name):
    assert protocol.name(224, 256) == name
