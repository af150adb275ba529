"""`--mode summary`: a network's table as text, CSV or JSON. `common.nn.cost` says how its figures are counted."""

import csv
import io
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from typing import Any

import keras

from common.architecture import Architecture
from common.nn.cost import Row, Totals, add_up, measure, megabytes, ordered


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
            "testing_per_image": megabytes(tested.activation_values),
            "training_per_image": megabytes(2 * trained.activation_values),
            "testing_once": megabytes(tested.trainable_parameters + tested.non_trainable_parameters),
            "training_once": megabytes(3 * moving + still),
        }


def summarise(architecture: Architecture, classes: int | None, image_size: int, **options: Any) -> Summary:
    """Builds a network and measures it, layer by layer.

    Args:
        architecture: which.
        classes: outputs of the classifier; None: as many as in the paper.
        image_size: in pixels.
        options: the network's own, e.g. `shortcut="C"`.
    """
    heads = {"auxiliary": True} if architecture.auxiliary_weight else {}
    outputs = {} if classes is None else {"classes": classes}
    with keras.StatelessScope(initialize_variables=False):  # shapes suffice; drawing 60 million weights takes seconds
        model = architecture.build(image_size=image_size, **outputs, **heads, **options)
    tested = ordered(model.outputs[:1])
    names = {layer.name for layer in tested}
    every = {row.name: row for row in measure(ordered(model.outputs), image_size)}
    return Summary(
        arch=architecture.name,
        source=architecture.source,
        classes=model.outputs[0].shape[-1],
        image_size=image_size,
        options=options,
        rows=tuple(row for name, row in every.items() if name in names),
        heads=tuple(row for name, row in every.items() if name not in names),
    )


def _times(sizes: tuple[int, ...]) -> str:
    return "x".join(map(str, sizes))


def description(row: Row) -> str:
    """What a layer is, in words: `convolution 3x3/2 pad 1`."""
    if row.kernel is None:
        return row.kind + (f" groups {row.groups}" if row.kind == "group norm" else "")
    size = (row.kernel, row.kernel) if isinstance(row.kernel, int) else row.kernel
    text = f"{row.kind} {_times(size)}/{row.stride}"
    text += f" pad {row.padding}" if row.padding else ""
    text += " ceil" if row.ceil else ""
    return text + (f" groups {row.groups}" if row.groups > 1 else "")


_COLUMNS: tuple[tuple[str, Callable[[Row], str]], ...] = (
    ("layer", lambda row: row.name),
    ("kind", description),
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
    return [name, "", "", *(f"{figure:,}" for figure in figures), f"{megabytes(totals.activation_values):.2f}", ""]


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
            shown = {"output": _times(row.output), "auxiliary": auxiliary}
            if isinstance(row.kernel, tuple):
                shown["kernel"] = _times(row.kernel)
            writer.writerow(_record(row) | shown)
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
