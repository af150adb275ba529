"""Training on from other weights: what stays as it is, and a learning rate of its own for the new classifier.

Donahue et al. 2014 (DeCAF) train a classifier on frozen features; Girshick et al. 2014 (R-CNN, section 2.3) train all
layers on, the new one from its start.
"""

import difflib

import keras
import tensorflow as tf

from common.errors import UserError
from common.recipe import Recipe

CONVOLUTIONS = "conv"  # --freeze: everything but the classifier and the fully connected layers


def freeze(model: keras.Model, upto: str) -> None:
    """Freezes layers for good: their weights stay, and their batch norms use the moving statistics, in training too.

    Args:
        model: freshly built, before its optimizer.
        upto: `conv`: every layer but the classifiers and the fully connected ones. Else a layer's name: it and all that
            it depends on.

    Raises:
        UserError: there is no such layer, or nothing would be left to train.
    """
    for layer in _frozen(model, upto):
        layer.trainable = False
    if not model.trainable_variables:
        raise UserError(f"--freeze={upto}: then nothing of {model.name} is left to train")


def _frozen(model: keras.Model, upto: str) -> list:
    if upto == CONVOLUTIONS:
        kept = {layer.name for layer in classifiers(model)}
        return [layer for layer in model.layers if layer.name not in kept and not isinstance(layer, keras.layers.Dense)]
    names = [layer.name for layer in model.layers]
    if upto not in names:
        near = difflib.get_close_matches(upto, names, n=3)
        hint = f"did you mean {' or '.join(near)}?" if near else "--mode summary lists them"
        raise UserError(f"--freeze={upto}: {model.name} has no such layer; {hint}")
    found, pending = {}, [model.get_layer(upto)]
    while pending:
        layer = pending.pop()
        if layer.name not in found and not isinstance(layer, keras.layers.InputLayer):
            found[layer.name] = layer
            pending += _before(layer)
    return list(found.values())


def _before(layer: keras.layers.Layer) -> list[keras.layers.Layer]:
    """The layers whose outputs a layer takes."""
    inputs = layer.input if isinstance(layer.input, list) else [layer.input]
    return [tensor._keras_history.operation for tensor in inputs]


def classifiers(model: keras.Model) -> list[keras.layers.Layer]:
    """The layers that make the scores of the classes: a fully connected one, or a convolution that is averaged.

    They are the last layers with a matrix of weights on the way to each output; what has only vectors after it, such as
    a normalisation of the scores, belongs to them.
    """
    found, pending = set(), [output._keras_history.operation for output in model.outputs]
    while pending:
        layer = pending.pop()
        if layer.name in found or isinstance(layer, keras.layers.InputLayer):
            continue
        dimensions = [len(weight.shape) for weight in layer.weights if tf.as_dtype(weight.dtype).is_floating]
        if dimensions:
            found.add(layer.name)
        if max(dimensions, default=0) < 2:
            pending += _before(layer)
    return [layer for layer in model.layers if layer.name in found]


def rate_factors(model: keras.Model, recipe: Recipe) -> dict[str, float]:
    """What multiplies the learning rate of each layer that trains: its name -> factor; {} where all have the same.

    The classifiers' is head_learning_rate / learning_rate, else 1. With `layer_decay` d every layer's is d times that
    of the next layer towards the output, so that general lower layers move less than special upper ones (Clark et al.
    2020, ELECTRA, section 3.1). A layer is one with a matrix of weights; a normalisation counts with the one before it.
    Of several ways to the output the one with the most layers counts: branches side by side end at the same level.
    """
    if recipe.head_learning_rate is None and recipe.layer_decay == 1.0:
        return {}
    heads = {layer.name for layer in classifiers(model)}
    above = _layers_above(model, heads)
    trained = [layer.name for layer in model.layers if layer.trainable_variables and layer.name not in heads]
    factors = {name: recipe.layer_decay ** (above[name] + 1) for name in trained}
    return factors | dict.fromkeys(heads, (recipe.head_learning_rate or recipe.learning_rate) / recipe.learning_rate)


def _layers_above(model: keras.Model, heads: set[str]) -> dict[str, int]:
    """How many layers that train a matrix lie on the longest way from each layer to the output, `heads` left out.

    The way is that to the first output; to another one from the layers of auxiliary classifiers alone.
    """
    found: dict[str, int] = {}
    for output in model.outputs:
        here = {output._keras_history.operation.name: 0}
        for layer in reversed(getattr(model, "operations", model.layers)):  # each after all that take its output
            if layer.name in here and not isinstance(layer, keras.layers.InputLayer):
                matrix = any(len(variable.shape) > 1 for variable in getattr(layer, "trainable_variables", ()))
                through = here[layer.name] + (matrix and layer.name not in heads)
                for before in _before(layer):
                    here[before.name] = max(here.get(before.name, 0), through)
        found = here | found
    return found


def set_rates(optimizer: keras.optimizers.Optimizer, model: keras.Model, recipe: Recipe) -> None:
    """Gives each layer its own learning rate (`rate_factors`); call it after `optimizer.build`.

    The schedule moves all rates together. It is the optimizer's rate that is multiplied, not the gradient, which adam
    and its like would divide out again, and which momentum would carry on at the old rate. Every optimizer treats each
    variable by itself, so that each moves exactly as if it were trained at its rate alone.
    """
    of_layer = rate_factors(model, recipe)
    if not of_layer:
        return
    factors = {
        optimizer._get_variable_index(variable): of_layer[layer.name]
        for layer in model.layers
        for variable in layer.trainable_variables
    }
    update = optimizer.update_step

    def update_step(gradient, variable, learning_rate):
        update(gradient, variable, learning_rate * factors[optimizer._get_variable_index(variable)])

    optimizer.update_step = update_step


def rates(model: keras.Model, recipe: Recipe) -> str | None:
    """Which layers train at which learning rate, for the start of a run; None where all train at the same.

    `conv1 to conv5 (5 layers) frozen; fc6 to fc7 (2 layers) at 0.001; fc8 at 0.01`. With `layer_decay` the lowest
    and the highest rate are named.
    """
    factors = rate_factors(model, recipe)
    if recipe.freeze is None and not factors:
        return None
    parts: dict[str, list[str]] = {}
    for layer in model.layers:
        if layer.weights:
            rate = f"at {recipe.learning_rate * factors.get(layer.name, 1.0):.3g}" if layer.trainable else "frozen"
            parts.setdefault(rate, []).append(layer.name)
    spans = [f"{_span(names)} {what}" for what, names in parts.items()]
    return "; ".join(spans if len(spans) <= 4 else [*spans[:2], "...", *spans[-2:]])


def _span(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{names[0]} to {names[-1]} ({len(names)} layers)"
