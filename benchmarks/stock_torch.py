"""A network of ours as a PyTorch module, with PyTorch's own layers throughout."""

import torch
from torch import nn
from torch.nn import functional

from benchmarks.graph import Graph, Node


class Network(nn.Module):
    """The same function of the same images: (N, 3, H, W) -> a list of logits (N, K), the main ones first.

    `layers` holds a module for every node that has one, by the node's name. A fully connected layer after a map takes
    its inputs in PyTorch's order, channels first.
    """

    def __init__(self, graph: Graph):
        super().__init__()
        self.graph = graph
        self.layers = nn.ModuleDict()
        for node in graph.nodes:
            module = _module(node, [graph.node(name).shape for name in node.inputs])
            if module is not None:
                self.layers[node.name] = module

    def forward(self, images):
        values = {}
        for node in self.graph.nodes:
            parts = [values[name] for name in node.inputs]
            if node.operation == "input":
                value = images
            elif node.operation == "add":
                value = parts[0] + parts[1]
            elif node.operation == "concat":
                value = torch.cat(parts, 1)
            elif node.operation == "global_avg_pool":
                value = parts[0].mean((2, 3))
            elif node.operation == "padded_identity":
                value = _padded_identity(parts[0], **node.options)
            else:
                value = self.layers[node.name](parts[0])
            values[node.name] = value
        return [values[name] for name in self.graph.outputs]


def _padded_identity(x, channels: int, stride: int):
    new = channels - x.shape[1]
    return functional.pad(x[:, :, ::stride, ::stride], (0, 0, 0, 0, new // 2, new - new // 2))


def _module(node: Node, shapes: list[tuple[int, ...]]) -> nn.Module | None:
    """The layer of a node whose inputs have these shapes, channels last; None for one without a module of its own."""
    options = node.options
    match node.operation:
        case "conv":
            channels, settings = shapes[0][-1], {"groups": options["groups"], "bias": options["use_bias"]}
            window = (options["size"], options["stride"], options["padding"])
            return nn.Conv2d(channels, options["filters"], *window, **settings)
        case "max_pool":
            return nn.MaxPool2d(options["size"], options["stride"], options["padding"], ceil_mode=options["ceil"])
        case "avg_pool":
            return nn.AvgPool2d(options["size"], options["stride"])
        case "lrn":  # PyTorch divides alpha by n
            n = options["n"]
            return nn.LocalResponseNorm(n, alpha=options["alpha"] * n, beta=options["beta"], k=options["k"])
        case "batch_norm":
            return nn.BatchNorm2d(shapes[0][-1], eps=options["epsilon"], momentum=1 - options["momentum"])
        case "relu":
            return nn.ReLU(inplace=True)
        case "dropout":
            return nn.Dropout(options["rate"])
        case "flatten":
            return nn.Flatten()
        case "fc":
            return nn.Linear(shapes[0][-1], options["units"])
    return None


def parameter_groups(network: Network, weight_decay: float) -> list[dict]:
    """For the optimizer: weight decay on kernels alone, as ours."""
    kernels = [p for p in network.parameters() if p.ndim > 1]
    others = [p for p in network.parameters() if p.ndim == 1]
    return [{"params": kernels, "weight_decay": weight_decay}, {"params": others, "weight_decay": 0.0}]
