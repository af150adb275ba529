"""The map of all networks: the table of docs/zoo.md and its picture, cost against published error.

    python benchmarks/zoo.py          minutes: every network is built, none has weights

Layers, parameters and multiply-adds come from the networks themselves, as `--mode summary` counts them; year, idea,
published errors with their sources, and what weights can be imported from zoo_reference.csv beside this file, whose
rows are in the order of the table.
"""

import argparse
import csv
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import train
from cli import registry
from common.architecture import Architecture

ROOT = Path(__file__).resolve().parents[1]
REFERENCE = ROOT / "benchmarks/zoo_reference.csv"
PAGE = ROOT / "docs/zoo.md"
PICTURE = ROOT / "docs/images/zoo.png"

HEAD = """\
# The networks

All networks that `--arch` takes, by year and family. `python benchmarks/zoo.py` makes this page and its picture.

![Multiply-adds against published error, bubbles of the size of the parameters](images/zoo.png)

The picture is that of Canziani et al. 2016, ["An Analysis of Deep Neural Network Models for Practical
Applications"](https://arxiv.org/abs/1605.07678): accuracy against computation, with the parameters as area. A dotted
edge marks an error that was not measured with one crop of the network's own image size, but with ten crops, densely, or
on a larger image, which lowers it.

- **layers**: those with weights, convolutions and fully connected ones, on the longest path through the network.
- **parameters**: trained values, at the paper's number of classes; **multiply-adds**: in millions, of one image of the
  paper's size, forward, in convolutions and fully connected layers. `--mode summary` shows both layer by layer.
- **error**: top-1, or top-1 / top-5, in per cent, as published where it says; ImageNet's is of the validation images of
  2012. What was measured here is in [RESULTS.md](../RESULTS.md).
- **weights**: whose files `--restore` takes ([weights.md](weights.md)).

"""
COLUMNS = (
    "year", "network", "idea", "layers", "parameters", "multiply-adds", "error, %", "on", "source", "command", "weights"
)  # fmt: skip
FIGURES = slice(3, 6)  # the columns that are counted


@dataclass(frozen=True)
class Reference:
    """A row of zoo_reference.csv, as text; year, paper ("name: link") and idea are empty where they are those above."""

    arch: str
    year: str
    paper: str
    idea: str
    top1: str
    top5: str
    measured_on: str
    source: str
    weights: str


@dataclass(frozen=True)
class Figures:
    """What is counted of a network: layers on its longest path, trained parameters, multiply-adds of one image."""

    layers: int
    parameters: int
    multiply_adds: float  # in millions, to one digit


def read_reference(file: Path = REFERENCE) -> list[Reference]:
    """The rows, in order."""
    with open(file, newline="", encoding="utf-8") as opened:
        return [Reference(**row) for row in csv.DictReader(opened)]


def count(architecture: Architecture) -> Figures:
    """Builds a network without its weights, at the paper's image size and number of classes, and counts."""
    import keras

    from common.nn import cost

    with keras.StatelessScope(initialize_variables=False):
        model = architecture.build()
    layers = cost.ordered(model.outputs[:1])
    totals = cost.add_up(cost.measure(layers, architecture.image_size))
    return Figures(cost.depth(layers), totals.trainable_parameters, round(totals.multiply_adds / 1e6, 1))


def command(architecture: Architecture) -> str:
    """What trains a network."""
    script = registry.script(architecture)
    arch = "" if script == f"{architecture.name}.py" else f" --arch {architecture.name}"
    data = " --dataset datasets/cifar10" if architecture.image_size == 32 and "lenet" not in architecture.name else ""
    return f"python {script} --mode train{arch}{data}"


def row(reference: Reference, figures: Figures) -> list[str]:
    """The cells of a network."""
    architecture = registry.find(reference.arch)
    cited, _, link = reference.paper.partition(": ")
    return [
        reference.year,
        f"[{reference.arch}](../{file_of(architecture)})",
        reference.idea + (f" ([{cited}]({link}))" if link else ""),
        str(figures.layers),
        f"{figures.parameters:,}",
        f"{figures.multiply_adds:,.1f}",
        " / ".join(filter(None, (reference.top1, reference.top5))),
        reference.measured_on,
        reference.source,
        f"`{command(architecture)}`",
        reference.weights,
    ]


def file_of(architecture: Architecture) -> str:
    """The file a network stands in, e.g. `zoo/nin.py`."""
    module = next(one for one in registry.MODULES if one.rpartition(".")[2] == architecture.family)
    return f"{module.replace('.', '/')}.py"


def page(references: list[Reference], figures: Mapping[str, Figures]) -> str:
    """docs/zoo.md."""
    rule = [" ---: " if column in COLUMNS[FIGURES] else " --- " for column in COLUMNS]
    lines = ["| " + " | ".join(COLUMNS) + " |", "|" + "|".join(rule) + "|"]
    lines += ["| " + " | ".join(row(one, figures[one.arch])) + " |" for one in references]
    return HEAD + "\n".join(lines) + "\n"


def read_page(text: str) -> dict[str, Figures]:
    """The figures that a page's table has, by network."""
    found = {}
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        name = re.match(r"\[(\w+)\]", cells[1]) if len(cells) == len(COLUMNS) else None
        if name:
            layers, parameters, multiply_adds = (cell.replace(",", "") for cell in cells[FIGURES])
            found[name[1]] = Figures(int(layers), int(parameters), float(multiply_adds))
    return found


def main(arguments: list[str] | None = None) -> None:
    """Counts every network, writes the page and draws the picture."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--page", type=Path, default=PAGE, help="where the table goes (default docs/zoo.md)")
    parser.add_argument("--png", type=Path, default=PICTURE, help="and the picture (default docs/images/zoo.png)")
    parser.add_argument("--redraw", action="store_true", help="take the figures from the page as it is; build nothing")
    options = parser.parse_args(arguments)
    references = read_reference()
    if options.redraw:
        figures = read_page(options.page.read_text(encoding="utf-8"))
    else:
        train.start_tensorflow()
        figures = {one.arch: count(registry.find(one.arch)) for one in references}
    options.page.write_text(page(references, figures), encoding="utf-8")

    from benchmarks import zoo_picture

    zoo_picture.draw(references, figures, options.png)
    print(f"{len(references)} networks: see {options.page} and {options.png}")


if __name__ == "__main__":
    main()
