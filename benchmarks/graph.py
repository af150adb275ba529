"""A network as plain data: what the peers of benchmarks/throughput.py are built from, in processes of their own."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

OPTIONS = {  # operation: the layer's attributes that say what it does
    "conv": ("filters", "size", "stride", "padding", "groups", "use_bias"),
    "max_pool": ("size", "stride", "padding", "ceil"),
    "avg_pool": ("size", "stride"),
    "lrn": ("k", "n", "alpha", "beta"),
    "batch_norm": ("momentum", "epsilon"),
    "padded_identity": ("channels", "stride"),
    "dropout": ("rate",),
    "fc": ("units",),
}


@dataclass(frozen=True)
class Node:
    """One layer.

    Attributes:
        name: the layer's.
        operation: conv, max_pool, avg_pool, global_avg_pool, lrn, batch_norm, relu, add, concat, padded_identity,
            flatten, dropout, fc or input.
        inputs: names of the nodes it takes in.
        shape: of its output without the batch, channels last.
        options: see OPTIONS.
        float32: it computes in float32 whatever the precision, as the classifier does.
    """

    name: str
    operation: str
    inputs: tuple[str, ...]
    shape: tuple[int, ...]
    options: dict[str, Any]
    float32: bool = False


@dataclass(frozen=True)
class Graph:
    """Nodes in an order in which each follows its inputs, and the names of the outputs, the main one first."""

    name: str
    nodes: tuple[Node, ...]
    outputs: tuple[str, ...]

    def node(self, name: str) -> Node:
        """The node of that name."""
        return next(node for node in self.nodes if node.name == name)

    def main(self) -> "Graph":
        """What the first output depends on: the network without its auxiliary classifiers."""
        needed = {self.outputs[0]}
        for node in reversed(self.nodes):
            if node.name in needed:
                needed.update(node.inputs)
        return Graph(self.name, tuple(node for node in self.nodes if node.name in needed), self.outputs[:1])


def describe(model) -> Graph:
    """The graph of one of our networks."""
    import keras

    from common.nn import cost, normalization
    from common.nn.convolution import AveragePool, Conv, MaxPool
    from common.nn.dropout import Dropout
    from common.nn.padded_identity import PaddedIdentity

    operations = {
        keras.layers.InputLayer: "input",
        keras.layers.ReLU: "relu",
        keras.layers.Add: "add",
        keras.layers.Concatenate: "concat",
        keras.layers.Flatten: "flatten",
        keras.layers.GlobalAveragePooling2D: "global_avg_pool",
        keras.layers.Dense: "fc",
        Conv: "conv",
        MaxPool: "max_pool",
        AveragePool: "avg_pool",
        PaddedIdentity: "padded_identity",
        Dropout: "dropout",
        normalization.LocalResponseNormalization: "lrn",
        normalization.BatchNorm: "batch_norm",
    }
    nodes = []
    for layer in cost.ordered(model.outputs):
        operation = operations[type(layer)]
        inputs = () if operation == "input" else layer._inbound_nodes[0].input_tensors
        nodes.append(
            Node(
                layer.name,
                operation,
                tuple(tensor._keras_history.operation.name for tensor in inputs),
                tuple(layer.output.shape[1:]),
                {name: getattr(layer, name) for name in OPTIONS.get(operation, ())},
                operation == "fc" and layer.compute_dtype == "float32",
            )
        )
    return Graph(model.name, tuple(nodes), tuple(tensor._keras_history.operation.name for tensor in model.outputs))


def to_json(graph: Graph) -> dict[str, Any]:
    """What `json.dumps` takes."""
    return asdict(graph)


def from_json(values: Mapping[str, Any]) -> Graph:
    """The graph of `to_json`."""
    nodes = tuple(
        Node(**node | {"inputs": tuple(node["inputs"]), "shape": tuple(node["shape"])}) for node in values["nodes"]
    )
    return Graph(values["name"], nodes, tuple(values["outputs"]))


def window_pads(size: int, window: int, stride: int, padding: int, ceil: bool = False) -> tuple[int, int]:
    """Places before and after one side of a map; `ceil` adds what the last, overhanging window needs."""
    over = -(size + 2 * padding - window) % stride if ceil else 0
    return padding, padding + over


def same_pads(size: int, window: int, stride: int) -> tuple[int, int]:
    """What TensorFlow's padding "same" adds before and after."""
    total = max((-(-size // stride) - 1) * stride + window - size, 0)
    return total // 2, total - total // 2
