"""A network of ours in stock Keras layers, as one would write it for `model.compile` and `model.fit`."""

import keras
import tensorflow as tf

from benchmarks.graph import Graph, Node, same_pads, window_pads


def build(graph: Graph, weight_decay: float = 0.0) -> keras.Model:
    """The same function of the same images: (N, H, W, 3) -> logits (N, K), a list of them with auxiliary heads.

    Padding is "same" where that pads equally on both sides and a ZeroPadding2D otherwise (before a max pool: the maps
    follow a ReLU, so a zero never wins over what is there). A convolution in groups is several, since TensorFlow's CPU
    kernel has no gradient for it. `weight_decay` is lambda of lambda/2 ||W||^2, as a kernel regularizer.
    """
    regularizer = keras.regularizers.L2(weight_decay / 2) if weight_decay else None
    tensors = {}
    for node in graph.nodes:
        parts = [tensors[name] for name in node.inputs]
        tensors[node.name] = _BUILDERS[node.operation](node, parts, regularizer)
    inputs = tensors[next(node.name for node in graph.nodes if node.operation == "input")]
    outputs = [tensors[name] for name in graph.outputs]
    return keras.Model(inputs, outputs if len(outputs) > 1 else outputs[0], name=f"stock_{graph.name}")


def _padded(x, node: Node):
    """x, padded where "same" would not do, and the padding for the layer that follows."""
    options = node.options
    pads = [
        window_pads(side, options["size"], options["stride"], options["padding"], options.get("ceil", False))
        for side in x.shape[1:3]
    ]
    if pads == [same_pads(side, options["size"], options["stride"]) for side in x.shape[1:3]]:
        return x, "same"
    return (keras.layers.ZeroPadding2D(pads, name=f"{node.name}_pad")(x) if any(map(any, pads)) else x), "valid"


def _conv(node, parts, regularizer):
    x, padding = _padded(parts[0], node)
    options = node.options
    groups, width = options["groups"], options["filters"] // options["groups"]
    settings = {"padding": padding, "use_bias": options["use_bias"], "kernel_regularizer": regularizer}
    if groups == 1:
        return keras.layers.Conv2D(width, options["size"], options["stride"], name=node.name, **settings)(x)
    towers = [
        keras.layers.Conv2D(width, options["size"], options["stride"], name=f"{node.name}_{i}", **settings)(part)
        for i, part in enumerate(keras.ops.split(x, groups, axis=-1))
    ]
    return keras.layers.Concatenate(name=node.name)(towers)


def _max_pool(node, parts, _):
    x, padding = _padded(parts[0], node)
    return keras.layers.MaxPooling2D(node.options["size"], node.options["stride"], padding, name=node.name)(x)


def _lrn(node, parts, _):
    settings = {"depth_radius": node.options["n"] // 2, "bias": node.options["k"]}
    settings |= {"alpha": node.options["alpha"], "beta": node.options["beta"]}

    def normalise(x):
        return tf.cast(tf.nn.lrn(tf.cast(x, tf.float32), **settings), x.dtype)  # it has no bfloat16 kernel on the CPU

    return keras.layers.Lambda(normalise, name=node.name)(parts[0])


def _padded_identity(node, parts, _):
    x, stride = parts[0], node.options["stride"]
    new = node.options["channels"] - x.shape[-1]
    return keras.ops.pad(x[:, ::stride, ::stride], [[0, 0], [0, 0], [0, 0], [new // 2, new - new // 2]])


def _fc(node, parts, regularizer):
    dtype = {"dtype": "float32"} if node.float32 else {}
    layer = keras.layers.Dense(node.options["units"], kernel_regularizer=regularizer, name=node.name, **dtype)
    return layer(parts[0])


_BUILDERS = {
    "input": lambda node, _, __: keras.Input(node.shape, name=node.name),
    "conv": _conv,
    "max_pool": _max_pool,
    "avg_pool": lambda node, parts, _: keras.layers.AveragePooling2D(**_window(node), name=node.name)(parts[0]),
    "global_avg_pool": lambda node, parts, _: keras.layers.GlobalAveragePooling2D(name=node.name)(parts[0]),
    "lrn": _lrn,
    "batch_norm": lambda node, parts, _: keras.layers.BatchNormalization(**node.options, name=node.name)(parts[0]),
    "relu": lambda node, parts, _: keras.layers.ReLU(name=node.name)(parts[0]),
    "add": lambda node, parts, _: keras.layers.Add(name=node.name)(parts),
    "concat": lambda node, parts, _: keras.layers.Concatenate(name=node.name)(parts),
    "padded_identity": _padded_identity,
    "flatten": lambda node, parts, _: keras.layers.Flatten(name=node.name)(parts[0]),
    "dropout": lambda node, parts, _: keras.layers.Dropout(**node.options, name=node.name)(parts[0]),
    "fc": _fc,
}


def _window(node: Node) -> dict[str, int]:
    return {"pool_size": node.options["size"], "strides": node.options["stride"]}
