"""A network of 1x1 convolutions, and the same in plain NumPy: what the methods of visualization are held against."""

from dataclasses import dataclass

import numpy as np

from common import distribution
from common.nn import layers
from common.style import styled

SIDE, CLASSES = 4, 3


@styled(initializer="he")
def build(flat: bool = False):
    """Images (N, 4, 4, 3) -> 1x1 convolutions to 5 and 6 channels, each activated -> their means, or all -> logits."""
    x = image = layers.image_input(SIDE)
    x = layers.conv(x, 5, 1, name="conv1")
    x = layers.conv(x, 6, 1, name="conv2")
    x = layers.flatten(x, name="flatten") if flat else layers.global_avg_pool(x, name="pool")
    return layers.network(image, layers.logits(x, CLASSES, name="fc"), "pointwise")


@dataclass
class Pointwise:
    """The network with weights that were drawn, and what NumPy makes of them; `slope` is that below 0."""

    model: object
    weights: list
    slope: float = 0.0
    flat: bool = False

    def forward(self, x):
        """z1, a1, z2, a2 (N, 4, 4, C) and the logits (N, 3), float64."""
        w1, b1, w2, b2, v, c = self.weights
        z1 = x @ w1 + b1
        a1 = np.where(z1 > 0, z1, self.slope * z1)
        z2 = a1 @ w2 + b2
        a2 = np.where(z2 > 0, z2, self.slope * z2)
        end = a2.reshape(len(x), -1) if self.flat else a2.mean((1, 2))
        return z1, a1, z2, a2, end @ v + c

    def slopes(self, x, classes, guided=False):
        """Gradients of each score of a class with respect to a2, a1 and x; guided: by Springenberg's rule."""
        w1, _, w2, _, v, _ = self.weights
        z1, _, z2, a2, _ = self.forward(x)
        chosen = v[:, classes].T
        end = chosen.reshape(a2.shape) if self.flat else np.broadcast_to(chosen[:, None, None] / SIDE**2, a2.shape)

        def back(gradient, z):
            gradient = np.maximum(gradient, 0) if guided else gradient
            return gradient * np.where(z > 0, 1.0, self.slope)

        middle = back(end, z2) @ w2.T
        return end, middle, back(middle, z1) @ w1.T


def make(precision: str = "float32", seed: int = 0, flat: bool = False, **style) -> Pointwise:
    """The network in a precision, and in another style, with weights N(0, 1) and its logits' spread."""
    with distribution.precision(precision):
        model = build(flat=flat, **style)
    draw = np.random.default_rng(seed)
    model.set_weights([draw.normal(size=weight.shape).astype(np.float32) for weight in model.get_weights()])
    weights = [weight.astype(np.float64) for weight in model.get_weights()]
    weights = [weight[0, 0] if weight.ndim == 4 else weight for weight in weights]
    return Pointwise(model, weights, {"leaky_relu": 0.3, "none": 1.0}.get(style.get("activation"), 0.0), flat)


def pictures(count: int = 4, seed: int = 1):
    """Inputs (N, 4, 4, 3) float32 and classes (N,)."""
    draw = np.random.default_rng(seed)
    return draw.normal(size=(count, SIDE, SIDE, 3)).astype(np.float32), np.arange(count) % CLASSES


def close(found, wanted, share: float = 1e-5) -> None:
    """Asserts that arrays differ by no more than a share of the largest value."""
    np.testing.assert_allclose(found, wanted, rtol=0, atol=share * np.abs(wanted).max())
