"""A network made over: the same graph with some layers replaced or taken out, and the weights to go with it."""

from collections.abc import Mapping, Sequence

import keras
import numpy as np

from common.nn import layers

Change = tuple[keras.layers.Layer, Sequence[np.ndarray]] | None


def rewrite(model: keras.Model, changes: Mapping[str, Change], inputs: keras.KerasTensor | None = None) -> keras.Model:
    """A copy of a functional model; the model itself stays as it is.

    Args:
        model: each of its layers is used once.
        changes: by layer name, (a new layer of the same name, its weights in the layer's order), or None to take the
            layer out: what it was given goes on to the next. The other layers are copied with their weights.
        inputs: what to build upon, for another image size; None: an input like the model's.
    """

    def fresh(layer):
        change = changes.get(layer.name)
        return change[0] if change else type(layer).from_config(layer.get_config())

    def call(layer, *arguments, **options):
        return arguments[0] if layer.name in changes and changes[layer.name] is None else layer(*arguments, **options)

    with layers.deep():
        made = keras.models.clone_model(model, inputs, clone_function=fresh, call_function=call)
    for layer in made.layers:
        change = changes.get(layer.name)
        weights = change[1] if change else model.get_layer(layer.name).get_weights()
        if weights:
            layer.set_weights(weights)
    return made


def main_path(model: keras.Model) -> keras.Model:
    """The network without its auxiliary classifiers: the path to the first output, on the same layers."""
    if len(model.outputs) == 1:
        return model
    return layers.network(model.inputs[0], model.outputs[0], name=model.name)
