"""Distributions of the initial weights, by the names of `--initializer`."""

from typing import TYPE_CHECKING

from common.errors import unknown
from common.lazy import lazy
from common.style import current

# --help lists the names below: Keras waits until an initializer is made.
if TYPE_CHECKING:
    import keras
else:
    keras = lazy("keras")
activations = lazy("common.nn.activations")
early_layers = lazy("common.nn.early_layers")


# gaussian: N(0, 0.01^2) (Krizhevsky 2012, section 5; the lab for AlexNet and VGG).
# glorot: U(+-sqrt(6 / (in + out))) (Glorot & Bengio 2010; VGG's footnote; Caffe's "xavier" in kind).
# he: N(0, gain / in) (He et al. 2015); he_out: N(0, gain / out), as Torch's networks of that time have it.
# xavier: U(+-sqrt(3 / in)), Caffe's. wide_gaussian: N(0, 0.05^2) (NIN).
# truncated: N(0, 0.09^2), cut off at +-0.18 (MobileNet). lecun1998: U(+-2.4 / in) (LeCun et al. 1998, appendix A).
INITIALIZERS = {
    "gaussian": lambda: keras.initializers.RandomNormal(0.0, 0.01),
    "wide_gaussian": lambda: keras.initializers.RandomNormal(0.0, 0.05),
    "truncated": lambda: keras.initializers.TruncatedNormal(0.0, 0.09),
    "glorot": lambda: keras.initializers.GlorotUniform(),
    "xavier": lambda: keras.initializers.VarianceScaling(1.0, "fan_in", "uniform"),
    "he": lambda: keras.initializers.VarianceScaling(_he_gain(), "fan_in", "untruncated_normal"),
    "he_out": lambda: keras.initializers.VarianceScaling(_he_gain(), "fan_out", "untruncated_normal"),
    "lecun1998": lambda: early_layers.FanInUniform(),
}


def _he_gain() -> float:
    """1 / E[f(z)^2] of the style's activation f, z ~ N(0, 1), so that the variance is the same in every layer.

    2 / (1 + a^2) where the slope below 0 is a (He et al. 2015, equation 15): 2 for ReLU, 1 without an activation. Of
    two linear pieces the larger has the mean square of one. The rest keep ReLU's 2, as ELU's paper does.
    """
    style = current()
    slopes = {"leaky_relu": style.leaky_slope, "prelu": activations.PRELU_START, "none": 1.0, "maxout": 1.0}
    return 2.0 / (1.0 + slopes.get(style.activation, 0.0) ** 2)


def make_initializer(name: str) -> "keras.initializers.Initializer":
    """A weight initializer of the table above.

    Every call returns a fresh, unseeded object: Keras draws its seed from Python's `random`, which the program seeds.
    """
    if name not in INITIALIZERS:
        raise unknown("--initializer", name, INITIALIZERS)
    return INITIALIZERS[name]()
