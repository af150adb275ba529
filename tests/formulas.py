"""The optimizers in NumPy, float64: each a generator of the weights after every step.

x is the initial weights, `gradients` one row a step, `a` the learning rate (`rates`: one a step).
"""

import numpy as np


def sgd(x, gradients, a):
    for g in gradients:
        x = x - a * g
        yield x


def momentum(x, gradients, rates, rho):
    """Keras: the rate within the velocity."""
    v = 0
    for g, a in zip(gradients, rates, strict=True):
        v = rho * v - a * g
        x = x + v
        yield x


def momentum_of_the_slides(x, gradients, rates, rho):
    v = 0
    for g, a in zip(gradients, rates, strict=True):
        v = rho * v + g
        x = x - a * v
        yield x


def nesterov_of_the_slides(x, gradients, a, mu):
    v = 0
    for g in gradients:
        before, v = v, mu * v - a * g
        x = x - mu * before + (1 + mu) * v
        yield x


def adagrad(x, gradients, a, start, inside, beside=0.0):
    total = start
    for g in gradients:
        total = total + g**2
        x = x - a * g / (np.sqrt(total + inside) + beside)
        yield x


def rmsprop(x, gradients, a, gamma, inside, beside=0.0):
    mean = 0
    for g in gradients:
        mean = gamma * mean + (1 - gamma) * g**2
        x = x - a * g / (np.sqrt(mean + inside) + beside)
        yield x


def adam(x, gradients, a, b1, b2, epsilon):
    """The slides' (Kingma & Ba, algorithm 1); `epsilon` is a function of t."""
    m = s = 0
    for t, g in enumerate(gradients, 1):
        m, s = b1 * m + (1 - b1) * g, b2 * s + (1 - b2) * g**2
        x = x - a * (m / (1 - b1**t)) / (np.sqrt(s / (1 - b2**t)) + epsilon(t))
        yield x


def adadelta(x, gradients, a, rho, epsilon):
    squares = deltas = 0
    for g in gradients:
        squares = rho * squares + (1 - rho) * g**2
        d = g * np.sqrt(deltas + epsilon) / np.sqrt(squares + epsilon)
        deltas = rho * deltas + (1 - rho) * d**2
        x = x - a * d
        yield x


def soft(x, width):
    return np.sign(x) * np.maximum(np.abs(x) - width, 0)


def ftrl(x, gradients, a, l1):
    n, z = 0.1, 0
    for g in gradients:
        before, n = n, n + g**2
        z = z + g - (np.sqrt(n) - np.sqrt(before)) / a * x
        x = -soft(z, l1) * a / np.sqrt(n)
        yield x


def adagrad_da(x, gradients, a, l1):
    total, squares = 0, 0.1
    for t, g in enumerate(gradients, 1):
        total, squares = total + g, squares + g**2
        x = -a * soft(total, t * l1) / np.sqrt(squares)
        yield x


def proximal_gradient_descent(x, gradients, a, l1):
    for g in gradients:
        x = soft(x - a * g, a * l1)
        yield x


def proximal_adagrad(x, gradients, a, l1):
    squares = 0.1
    for g in gradients:
        squares = squares + g**2
        b = a / np.sqrt(squares)
        x = soft(x - b * g, b * l1)
        yield x
