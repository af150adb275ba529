"""`--mode summary --arch a,b,c`: several networks in one table, a line each, beside the figures that a course prints.

The course's table gives millions of parameters and of operations, and the shares that convolutions and fully connected
layers have in each. An operation there is a multiply-add, or the addition of a bias: one for each value that a
convolution or a fully connected layer puts out. So it is here.
"""

import csv
import io
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from math import prod

from common.nn.summary import Summary

KINDS = ("convolution", "fully connected")


@dataclass(frozen=True)
class Line:
    """One network's figures: parameters, operations, and what percent of them convolutions and FC layers have."""

    parameters: float
    conv_parameters: float
    fc_parameters: float
    operations: float
    conv_operations: float
    fc_operations: float


@dataclass(frozen=True)
class Printed:
    """What the course prints of a network, in millions and percent; `erratum`: what is wrong there."""

    line: Line
    erratum: str = ""


PRINTED = {
    "alexnet_two_towers": Printed(Line(61, 3.8, 96.2, 725, 91.9, 8.1)),
    "cnn_f": Printed(
        Line(99, 2.2, 97.8, 762, 87.4, 12.6),
        "VGG-F as printed follows if fc6 reads 6x6x512 values; it has 256 maps in conv5, so 6x6x256.",
    ),
    "cnn_m": Printed(Line(103, 6.3, 93.7, 1678, 94.3, 5.7)),
    "cnn_s": Printed(Line(103, 6.3, 93.7, 2640, 96.3, 3.7)),
    "vgg16": Printed(Line(138, 10.6, 89.4, 15484, 99.2, 0.8)),
    "vgg19": Printed(Line(144, 13.9, 86.1, 19647, 99.4, 0.6)),
    "nin": Printed(
        Line(7.6, 100, 0, 1168, 100, 0),
        "NIN's printed operations follow if conv3, cccp5 and cccp6 have maps of 15x15; they are 13x13.",
    ),
    "googlenet": Printed(
        Line(6.9, 85.1, 14.9, 1566, 99.9, 0.1),
        "GoogLeNet's printed figures follow if the 5x5 convolution of inception_4e is left out.",
    ),
}


def line(summary: Summary) -> Line:
    """The figures of a network as it is tested; parameters and operations are whole numbers."""
    operations = {kind: 0 for kind in KINDS} | {"all": 0}
    for row in summary.rows:
        counted = row.multiply_adds + (prod(row.output) if row.kind in KINDS else 0)
        operations["all"] += counted
        if row.kind in KINDS:
            operations[row.kind] += counted
    convolution, connected = (summary.share(kind, "parameters") for kind in KINDS)
    shares = (100 * operations[kind] / operations["all"] for kind in KINDS)
    return Line(summary.totals.trainable_parameters, convolution, connected, operations["all"], *shares)


HEADER = ("parameters", "CONV%", "FC%", "operations", "CONV%", "FC%")


def to_text(summaries: Iterable[Summary]) -> str:
    """The table for people, at most 120 columns wide; the errata of the printed figures below it, numbered."""
    errata: list[str] = []
    cells = []
    for summary in summaries:
        found, printed = line(summary), PRINTED.get(summary.arch)
        mark = ""
        if printed and printed.erratum:
            errata.append(printed.erratum)
            mark = f" ({len(errata)})"
        own = (f"{value:,.0f}" if i % 3 == 0 else f"{value:.1f}" for i, value in enumerate(asdict(found).values()))
        theirs = [f"{value:g}" for value in asdict(printed.line).values()] if printed else [""] * 6
        cells.append([summary.arch + mark, str(summary.image_size), *own, *theirs])
    head = ["network", "input", *HEADER, "M", "CONV%", "FC%", "M ops", "CONV%", "FC%"]
    widths = [max(len(row[i]) for row in (head, *cells)) for i in range(len(head))]
    rows = ["  ".join(_aligned(row, widths)).rstrip() for row in (head, *cells)]
    computed = sum(widths[:8]) + 2 * 8
    title = " " * computed + "as printed" if any(row[8] for row in cells) else ""
    rule = "-" * max(map(len, rows))
    notes = ["", *(f"({number}) {erratum}" for number, erratum in enumerate(errata, 1))] if errata else []
    meaning = "Operations: multiply-adds, and one addition for each value a convolution or FC layer puts out."
    return "\n".join([*([title] if title else []), rows[0], rule, *rows[1:], rule, meaning, *notes])


def _aligned(row: list[str], widths: list[int]) -> list[str]:
    return [
        cell.ljust(width) if i == 0 else cell.rjust(width)
        for i, (cell, width) in enumerate(zip(row, widths, strict=True))
    ]


def to_json(summaries: Iterable[Summary]) -> list[dict]:
    """An object a network; `printed` is None for one that the course's table does not have."""
    result = []
    for summary in summaries:
        printed = PRINTED.get(summary.arch)
        figures = {"arch": summary.arch, "image_size": summary.image_size} | asdict(line(summary))
        result.append(figures | {"printed": asdict(printed.line) | {"erratum": printed.erratum} if printed else None})
    return result


def to_csv(summaries: Iterable[Summary]) -> str:
    """A header and a line a network; the printed figures, in millions, are empty where there are none."""
    text = io.StringIO()
    names = list(Line.__dataclass_fields__)
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["arch", "image_size", *names, *(f"printed_{name}" for name in names), "erratum"])
    for figures in to_json(summaries):
        printed = figures["printed"] or {}
        own = [figures[name] for name in ("arch", "image_size", *names)]
        writer.writerow([*own, *(printed.get(name, "") for name in (*names, "erratum"))])
    return text.getvalue().rstrip("\n")
