import numpy as np

from common.nn.padded_identity import PaddedIdentity


def test_padded_identity_keeps_every_second_place_between_zeros(rng):
    x = rng.normal(size=(2, 5, 6, 4)).astype("float32")
    layer = PaddedIdentity(8, 2)
    y = layer(x).numpy()

    assert y.shape == (2, 3, 3, 8) == (2, *layer.compute_output_shape((None, 5, 6, 4))[1:])
    np.testing.assert_array_equal(y[..., 2:6], x[:, ::2, ::2])
    assert not y[..., :2].any()
    assert not y[..., 6:].any()
