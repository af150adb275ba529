"""Stock Keras and PyTorch compute what the networks here compute."""

import json
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf

from benchmarks import graph, stock_keras
from cli import registry
from common.nn import layers


def every_layer(classes=7, image_size=33):
    """Every layer of the vocabulary, with odd sizes, ceil pools, groups, strides and an auxiliary head."""
    x = image = layers.image_input(image_size)
    x = layers.conv(x, 8, 7, stride=2, padding=3, name="conv1")  # 17
    x = layers.max_pool(x, 3, 2, ceil=True, name="pool1")  # 8
    x = layers.lrn(x, alpha=0.1, name="norm1")
    x = layers.conv(x, 12, 3, padding=1, groups=2, name="conv2")
    y = layers.conv(x, 24, 3, stride=2, padding=1, bias=False, relu=False, name="conv3")  # 4
    y = layers.batch_norm(y, name="norm3")
    x = layers.relu(layers.add(y, layers.padded_identity(x, 24, 2, name="identity"), name="add"), name="relu")
    x = layers.concat([x, layers.max_pool(x, 3, 1, padding=1, name="pool2")], name="concat")  # 4x4x48
    head = layers.flatten(layers.avg_pool(x, 2, 2, name="head_pool"), name="head_flatten")
    head = layers.logits(layers.dropout(head, 0.5, name="dropout"), classes, name="head")
    z = layers.conv(layers.max_pool(x, 3, 2, padding=1, name="pool3"), 5, 1, name="conv4")  # 2x2x5
    z = layers.concat([layers.global_avg_pool(x, name="mean"), layers.flatten(z, name="flatten")], name="both")
    x = layers.logits(layers.fc(z, 9, name="fc"), classes, name="logits")
    return layers.network(image, [x, head], name="every_layer")


def fill(model) -> None:
    """Weights of every kind that are not their initial ones; variances above zero."""
    random = np.random.default_rng(1)
    for variable in model.variables:
        if "seed" not in variable.path:
            low = 0.5 if "variance" in variable.path else -0.3
            variable.assign(random.uniform(low, 0.6, variable.shape).astype(np.float32))


NETWORKS = {
    "every_layer": (every_layer, 33),
    "googlenet": (partial(registry.find("googlenet").build, classes=5, auxiliary=True), 79),
    "resnet20": (registry.find("resnet20").build, 12),
    "alexnet_two_towers": (partial(registry.find("alexnet_two_towers").build, classes=5), 67),
    "resnet50": (partial(registry.find("resnet50").build, classes=5), 40),
}


@pytest.fixture(params=NETWORKS)
def ours(request):
    build, size = NETWORKS[request.param]
    model = build(image_size=size)
    if request.param == "every_layer":
        fill(model)
    images = np.random.default_rng(2).uniform(-1, 1, (2, size, size, 3)).astype(np.float32)
    wanted = model(images, training=False)
    through_json = graph.from_json(json.loads(json.dumps(graph.to_json(graph.describe(model)))))
    return SimpleNamespace(model=model, images=images, graph=through_json, wanted=tf.nest.flatten(wanted))


@pytest.mark.slow
def test_stock_keras_computes_the_same(ours):
    stock = stock_keras.build(ours.graph, weight_decay=0.01)
    for layer in ours.model.layers:
        node = ours.graph.node(layer.name)
        values = [w.numpy() for w in layer.weights if "seed" not in w.path]
        groups = node.options.get("groups", 1)
        if groups > 1:
            for i, parts in enumerate(zip(*(np.split(value, groups, -1) for value in values), strict=True)):
                stock.get_layer(f"{layer.name}_{i}").set_weights(parts)
        elif values:
            stock.get_layer(layer.name).set_weights(values)
    assert all(type(layer).__module__.startswith("keras.") for layer in stock.layers)
    found = tf.nest.flatten(stock(ours.images, training=False))
    for mine, theirs in zip(ours.wanted, found, strict=True):
        np.testing.assert_allclose(theirs, mine, rtol=2e-4, atol=2e-5 * np.abs(mine).max())
    kernels = [v.numpy().astype(np.float64) for v in ours.model.trainable_variables if v.path.endswith("/kernel")]
    np.testing.assert_allclose(sum(stock.losses), 0.005 * sum((k**2).sum() for k in kernels), rtol=1e-4)


def test_pytorch_computes_the_same(ours):
    torch = pytest.importorskip("torch")
    from benchmarks import stock_torch

    network = stock_torch.Network(ours.graph).eval()
    for layer in ours.model.layers:
        values = {w.name: w.numpy() for w in layer.weights if "seed" not in w.path}
        if not values:
            continue
        module = network.layers[layer.name]
        if (kernel := values.get("kernel")) is not None:
            before = ours.graph.node(ours.graph.node(layer.name).inputs[0])
            kernel = kernel.transpose(3, 2, 0, 1) if kernel.ndim == 4 else channels_first(ours.graph, before, kernel).T
            module.weight.data = torch.tensor(np.ascontiguousarray(kernel))
            if "bias" in values:
                module.bias.data = torch.tensor(values["bias"])
        else:
            names = {"gamma": "weight", "beta": "bias", "moving_mean": "running_mean", "moving_variance": "running_var"}
            for name, value in values.items():
                getattr(module, names[name]).data = torch.tensor(value)
    with torch.inference_mode():
        found = network(torch.tensor(ours.images).permute(0, 3, 1, 2))
    for mine, theirs in zip(ours.wanted, found, strict=True):
        np.testing.assert_allclose(theirs.numpy(), mine, rtol=2e-4, atol=2e-5 * np.abs(mine).max())


def channels_first(whole, node, kernel):
    """The rows of a kernel (D, units) in the order in which PyTorch flattens the maps that D was made of."""
    if node.operation == "concat":
        parts = [whole.node(name) for name in node.inputs]
        cuts = np.cumsum([part.shape[0] for part in parts])[:-1]
        pieces = np.split(kernel, cuts)
        return np.concatenate([channels_first(whole, *pair) for pair in zip(parts, pieces, strict=True)])
    if node.operation == "dropout":
        return channels_first(whole, whole.node(node.inputs[0]), kernel)
    if node.operation != "flatten":
        return kernel
    height, width, channels = whole.node(node.inputs[0]).shape
    return kernel.reshape(height, width, channels, -1).transpose(2, 0, 1, 3).reshape(kernel.shape)


def test_the_main_graph_leaves_the_heads_out():
    whole = graph.describe(registry.find("googlenet").build(classes=5, image_size=79, auxiliary=True))
    assert whole.outputs == ("fc", "aux_4a_logits", "aux_4d_logits")
    main = whole.main()
    assert main.outputs == ("fc",)
    assert len(main.nodes) == len(whole.nodes) - sum(node.name.startswith("aux_") for node in whole.nodes)
    assert not any(node.name.startswith("aux_") for node in main.nodes)
