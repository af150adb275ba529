"""The table behind `--mode summary`: what each layer puts out, weighs, computes and sees.

How the figures are counted
    parameters         trained values: kernels, biases, batch norm's gamma and beta. Batch norm's moving statistics are
                       counted apart, as not trained; the state of a seed is no parameter.
    multiply-adds      of one image: convolution k * k * C_in / groups * C_out * H * W, fully connected in * out.
                       Biases, normalisation, pooling and additions are not counted, as in the papers' figures.
    activation values  numbers a layer puts out for one image, the input included. ReLU works in place, flattening moves
                       nothing, dropout passes everything on when tested: none of them adds any.
    megabytes          of 1,000,000 bytes, 4 bytes a value (float32).
    receptive field    width in pixels of what one output place sees; where paths meet, the widest. It may exceed the
                       image: the rest is padding. A fully connected layer and an average over the map see all of it.
    memory             testing one image: its activation values. Training: as many gradients beside them. Once, however
                       large the batch: the parameters; in training also their gradients and the optimizer's velocities.
"""

import csv
import io
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, fields
from math import prod
from typing import Any

import keras

from common import layers
from common.architecture import Architecture
from common.normalization import BatchNorm, LocalResponseNormalization

VALUE_BYTES = 4


@dataclass(frozen=True)
class Row:
    """One layer.

    Attributes:
        name, kind: e.g. `conv1`, `convolution`.
        output: (H, W, C), or (C,) where the map is gone.
        kernel, stride, padding: of the window; None for a layer without one. `ceil` windows hang over the edge.
        groups: of a convolution, else 1.
        parameters, non_trainable_parameters, multiply_adds, activation_values, receptive_field: see above.
    """

    name: str
    kind: str
    output: tuple[int, ...]
    kernel: int | None = None
    stride: int | None = None
    padding: int | None = None
    ceil: bool = False
    groups: int = 1
    parameters: int = 0
    non_trainable_parameters: int = 0
    multiply_adds: int = 0
    activation_values: int = 0
    receptive_field: int = 1

    @property
    def megabytes(self) -> float:
        """Size of the output for one image."""
        return _megabytes(self.activation_values)


@dataclass(frozen=True)
class Totals:
    """Sums over rows: see the module's docstring."""

    trainable_parameters: int
    non_trainable_parameters: int
    multiply_adds: int
    activation_values: int


@dataclass(frozen=True)
class Summary:
    """A network as it is tested; `heads` are the layers of the auxiliary classifiers, which only training has."""

    arch: str
    source: str
    classes: int
    image_size: int
    options: dict[str, Any]
    rows: tuple[Row, ...]
    heads: tuple[Row, ...]

    @property
    def totals(self) -> Totals:
        """Of the network as it is tested."""
        return add_up(self.rows)

    def share(self, kind: str, figure: str) -> float:
        """Percent of a figure (a field of Row) that the layers of one kind hold."""
        whole = sum(getattr(row, figure) for row in self.rows)
        return 100 * sum(getattr(row, figure) for row in self.rows if row.kind == kind) / whole

    def memory(self) -> dict[str, float]:
        """Megabytes, per image and once; training counts the heads too."""
        tested, trained = add_up(self.rows), add_up(self.rows + self.heads)
        still, moving = trained.non_trainable_parameters, trained.trainable_parameters
        return {
            "testing_per_image": _megabytes(tested.activation_values),
            "training_per_image": _megabytes(2 * trained.activation_values),
            "testing_once": _megabytes(tested.trainable_parameters + tested.non_trainable_parameters),
            "training_once": _megabytes(3 * moving + still),
        }


def _megabytes(values: int) -> float:
    return values * VALUE_BYTES / 1e6


def add_up(rows: Iterable[Row]) -> Totals:
    """The sums of some rows."""
    names = ("parameters", "non_trainable_parameters", "multiply_adds", "activation_values")
    rows = tuple(rows)
    return Totals(*(sum(getattr(row, name) for row in rows) for name in names))


# Layers that leave no row: what they do happens in place.
_IN_PLACE = (keras.layers.ReLU, keras.layers.Flatten)
_KINDS = {
    keras.layers.InputLayer: "input",
    layers.Conv: "convolution",
    layers.MaxPool: "max pool",
    layers.AveragePool: "average pool",
    keras.layers.GlobalAveragePooling2D: "global average pool",
    LocalResponseNormalization: "LRN",
    BatchNorm: "batch norm",
    layers.Dropout: "dropout",
    layers.PaddedIdentity: "padded identity",
    keras.layers.Dense: "fully connected",
    keras.layers.Add: "add",
    keras.layers.Concatenate: "concat",
}


def summarise(architecture: Architecture, classes: int, image_size: int, **options: Any) -> Summary:
    """Builds a network and measures it, layer by layer.

    Args:
        architecture: which.
        classes: outputs of the classifier.
        image_size: in pixels.
        options: the network's own, e.g. `shortcut="C"`.
    """
    heads = {"auxiliary": True} if architecture.auxiliary_weight else {}
    model = architecture.build(classes=classes, image_size=image_size, **heads, **options)
    tested = ordered(model.outputs[:1])
    names = {layer.name for layer in tested}
    every = {row.name: row for row in measure(ordered(model.outputs), image_size)}
    return Summary(
        arch=architecture.name,
        source=architecture.source,
        classes=classes,
        image_size=image_size,
        options=options,
        rows=tuple(row for name, row in every.items() if name in names),
        heads=tuple(row for name, row in every.items() if name not in names),
    )


def ordered(outputs: Iterable) -> list[keras.layers.Layer]:
    """The layers that `outputs` depend on, inputs first, each branch of a module to its end before the next."""
    found, done, waiting = [], set(), [(tensor, False) for tensor in reversed(list(outputs))]
    while waiting:
        tensor, ready = waiting.pop()
        layer = tensor._keras_history.operation
        if layer in done:
            continue
        if ready:
            done.add(layer)
            found.append(layer)
        else:
            waiting.append((tensor, True))
            waiting += [(source, False) for source in reversed(_sources(layer))]
    return found


def _sources(layer: keras.layers.Layer) -> list:
    """The tensors a layer takes in; none for the input."""
    return [] if isinstance(layer, keras.layers.InputLayer) else list(layer._inbound_nodes[0].input_tensors)


def measure(model_layers: Iterable[keras.layers.Layer], image_size: int) -> list[Row]:
    """A row for every layer that is not in place, in the order given."""
    rows, seen = [], {}  # seen: layer -> (receptive field, distance in pixels between two neighbouring places)
    for layer in model_layers:
        sources = _sources(layer)
        field, step = max((seen[tensor._keras_history.operation] for tensor in sources), default=(1, 1))
        size, stride = _window(layer)
        field, step = field + (size - 1) * step, step * stride
        output = tuple(layer.output.shape[1:])
        if len(output) == 1:
            field = image_size
        seen[layer] = field, step
        if not isinstance(layer, _IN_PLACE):
            rows.append(_row(layer, sources, output, field))
    return rows


def _window(layer: keras.layers.Layer) -> tuple[int, int]:
    """Width and stride of what a layer looks at."""
    return getattr(layer, "size", 1), getattr(layer, "stride", 1)


def _row(layer: keras.layers.Layer, sources: list, output: tuple[int, ...], field: int) -> Row:
    kind = _KINDS[type(layer)]
    windowed = kind in ("convolution", "max pool", "average pool")
    multiply_adds = 0
    if kind == "convolution":
        multiply_adds = layer.size**2 * sources[0].shape[-1] // layer.groups * prod(output)
    elif kind == "fully connected":
        multiply_adds = sources[0].shape[-1] * output[0]
    return Row(
        name=layer.name,
        kind=kind,
        output=output,
        kernel=layer.size if windowed else None,
        stride=layer.stride if windowed else None,
        padding=getattr(layer, "padding", 0) if windowed else None,
        ceil=getattr(layer, "ceil", False),
        groups=getattr(layer, "groups", 1),
        parameters=sum(prod(weight.shape) for weight in layer.trainable_weights),
        non_trainable_parameters=sum(prod(weight.shape) for weight in layer.non_trainable_weights),
        multiply_adds=multiply_adds,
        activation_values=0 if kind == "dropout" else prod(output),
        receptive_field=field,
    )


def _times(sizes: tuple[int, ...]) -> str:
    return "x".join(map(str, sizes))


def _what(row: Row) -> str:
    """`convolution 3x3/2 pad 1`."""
    if row.kernel is None:
        return row.kind
    text = f"{row.kind} {row.kernel}x{row.kernel}/{row.stride}"
    text += f" pad {row.padding}" if row.padding else ""
    text += " ceil" if row.ceil else ""
    return text + (f" groups {row.groups}" if row.groups > 1 else "")


_COLUMNS: tuple[tuple[str, Callable[[Row], str]], ...] = (
    ("layer", lambda row: row.name),
    ("kind", _what),
    ("output", lambda row: _times(row.output)),
    ("parameters", lambda row: f"{row.parameters:,}" if row.parameters else ""),
    ("multiply-adds", lambda row: f"{row.multiply_adds:,}" if row.multiply_adds else ""),
    ("values", lambda row: f"{row.activation_values:,}" if row.activation_values else ""),
    ("MB", lambda row: f"{row.megabytes:.2f}" if row.activation_values else ""),
    ("sees", lambda row: "all" if len(row.output) == 1 else str(row.receptive_field)),
)


def _table(lines: list[list[str]]) -> list[str]:
    """Columns as wide as their widest cell; the first three to the left, figures to the right."""
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    aligned = [
        "  ".join(
            cell.ljust(w) if i < 3 else cell.rjust(w) for i, (cell, w) in enumerate(zip(line, widths, strict=True))
        )
        for line in lines
    ]
    return [line.rstrip() for line in aligned]


def to_text(summary: Summary) -> str:
    """The table for people, at most 120 columns wide for the networks of this project."""
    header = [title for title, _ in _COLUMNS]
    cells = [[cell(row) for _, cell in _COLUMNS] for row in summary.rows + summary.heads]
    head, *body = _table([header, *cells, _sums("total", summary.totals), _sums("auxiliary", add_up(summary.heads))])
    *body, total, auxiliary = body
    main, extra = body[: len(summary.rows)], body[len(summary.rows) :]
    rule = "-" * max(map(len, (head, total, *body)))
    size = summary.image_size
    title = f"{summary.arch} ({summary.source}), {size}x{size}x3 -> {summary.classes} classes"
    chosen = "".join(f", {name} {value}" for name, value in summary.options.items())
    lines = [title + chosen, "", head, rule, *main, rule, total]
    if extra:
        lines += ["", "Auxiliary classifiers, in training only", rule, *extra, rule, auxiliary]
    memory = summary.memory()
    facts = {
        "not trained": f"{summary.totals.non_trainable_parameters:,} values (moving mean and variance)",
        "convolutions": _shares(summary, "convolution"),
        "fully connected": _shares(summary, "fully connected"),
        "testing": f"{memory['testing_per_image']:.1f} MB an image, and {memory['testing_once']:.1f} MB of parameters",
        "training": f"{memory['training_per_image']:.1f} MB an image (values and gradients), and "
        f"{memory['training_once']:.1f} MB (parameters, gradients, velocities)",
    }
    if not summary.totals.non_trainable_parameters:
        del facts["not trained"]
    if extra:
        both = add_up(summary.rows + summary.heads)
        facts["with both heads"] = f"{both.trainable_parameters:,} parameters, {both.multiply_adds:,} multiply-adds"
    return "\n".join([*lines, "", *(f"{name:<17}{value}" for name, value in facts.items())])


def _sums(name: str, totals: Totals) -> list[str]:
    figures = (totals.trainable_parameters, totals.multiply_adds, totals.activation_values)
    return [name, "", "", *(f"{figure:,}" for figure in figures), f"{_megabytes(totals.activation_values):.2f}", ""]


def _shares(summary: Summary, kind: str) -> str:
    parameters, multiply_adds = (summary.share(kind, figure) for figure in ("parameters", "multiply_adds"))
    return f"{parameters:.1f} % of the parameters, {multiply_adds:.1f} % of the multiply-adds"


def _record(row: Row) -> dict[str, Any]:
    return asdict(row) | {"megabytes": row.megabytes}


def to_csv(summary: Summary) -> str:
    """A header and a line a layer; the auxiliary classifiers' have 1 in the last column."""
    names = [field.name for field in fields(Row)] + ["megabytes", "auxiliary"]
    text = io.StringIO()
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    for rows, auxiliary in ((summary.rows, 0), (summary.heads, 1)):
        for row in rows:
            writer.writerow(_record(row) | {"output": _times(row.output), "auxiliary": auxiliary})
    return text.getvalue().rstrip("\n")


def to_json(summary: Summary) -> dict[str, Any]:
    """One JSON-able object: arch, input, layers, totals of the network as it is tested, heads apart."""
    result = {
        "arch": summary.arch,
        "source": summary.source,
        "input": [summary.image_size, summary.image_size, 3],
        "classes": summary.classes,
        "options": summary.options,
        "layers": [_record(row) for row in summary.rows],
        "totals": asdict(summary.totals),
        "share_percent": {
            kind: {figure: summary.share(kind, figure) for figure in ("parameters", "multiply_adds")}
            for kind in ("convolution", "fully connected")
        },
        "memory_megabytes": summary.memory(),
    }
    if summary.heads:
        both = add_up(summary.rows + summary.heads)
        result["auxiliary_heads"] = {
            "layers": [_record(row) for row in summary.heads],
            "totals": asdict(add_up(summary.heads)),
            "totals_with_network": asdict(both),
        }
    return result
