"""report.html: one page that tells a run, from its recipe to its errors."""

import datetime
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from common.evaluation.protocol import Protocol
from common.recipe import Recipe
from common.report import curves, page
from common.report.record import Record

REPORT_FILE = "report.html"
HEADINGS = {"split": "split", "top1": "top-1", "top5": "top-5", "loss": "loss", "images": "images"}


@dataclass(frozen=True)
class Network:
    """What only the network itself can say.

    Attributes:
        layers: rows of the cost table (`common.nn.cost.Row` as dictionaries, with `what`).
        totals: their sums.
        filters: the first layer's filters on one sheet as a data URI; None where none look at three colours.
    """

    layers: Sequence[Mapping[str, Any]]
    totals: Mapping[str, int]
    filters: str | None = None


def write(
    record: Record, network: Network | None = None, analysis: Mapping[str, Any] | None = None, tested: str | None = None
) -> Path:
    """Writes the page into the run directory and returns its path.

    Args:
        record: of the run directory.
        network: costs and filters; None leaves those sections out.
        analysis: of `common.report.analysis.analyse`, of the last test; None where there was no test.
        tested: the name of that test among the record's results.
    """
    matrix = analysis["matrix"] if analysis else {}
    data = {
        "charts": curves.charts(record),
        "classes": [row["class"] for row in analysis["classes"]] if analysis else [],
        "cells": matrix.get("cells", {}),
        "sparse": matrix.get("sparse", []),
        "calibration": analysis["calibration"]["bins"] if analysis else [],
    }
    values = {
        "title": f"{record.config.get('arch') or 'ensemble'} · {record.run.name}",
        "record": record,
        "facts": facts(record),
        "recipe": recipe(record),
        "results": [(name, shown(values)) for name, values in record.results.items()],
        "validations": curves.validations(record),
        "network": network,
        "analysis": analysis,
        "tested": tested,
        "written": datetime.datetime.now().strftime("%Y-%m-%d %H:%M"),
    }
    path = record.run / REPORT_FILE
    page.write(path, page.render("report.html", values, data))
    return path


def shown(values: Mapping[str, Any]) -> dict[str, Any]:
    """A results file's values with the protocol in words."""
    protocol = Protocol(str(values.get("crops", "1")))
    return {**values, "protocol": protocol.text(tuple(values.get("scales", ())))}


def facts(record: Record) -> dict[str, str]:
    """What was run, in a few lines: name and value."""
    config = record.config
    if not config:
        members: list[dict[str, Any]] = next(
            (one["members"] for one in record.results.values() if "members" in one), []
        )
        networks = ", ".join(member["checkpoint"] for member in members)
        return {"networks": networks, "directory": str(record.run)} if networks else {"directory": str(record.run)}
    changed = {name: value for name, value in config["options"].items() if value not in (None, "none", False)}
    versions = ", ".join(f"{name} {version}" for name, version in config.get("versions", {}).items())
    best = record.best
    found = {
        "network": config["arch"] + "".join(f", {name} {page.plain(value)}" for name, value in changed.items()),
        "data": f"{config['dataset'] or 'unknown'}, {len(config['classes']):,} classes",
        "input": f"{config['image_size']} × {config['image_size']} pixels",
        "best validation": f"top-1 {page.percent(best['top1'])}, loss {best['data_loss']:.4f}, step {best['step']}"
        if best
        else None,
        "precision": config["precision"] + (", XLA" if config.get("jit") else ""),
        "seed": str(config["seed"]),
        "started from": (config.get("started_from") or {}).get("path"),
        "imported from": (config.get("imported") or {}).get("file"),
        "versions": versions,
        "command": shlex.join(["python", *config["command"]]) if config.get("command") else None,
        "directory": str(record.run),
    }
    return {name: value for name, value in found.items() if value}


def recipe(record: Record) -> dict[str, list[dict[str, Any]]]:
    """The resolved recipe by group: name, value, meaning, and whether it is another than the plain default."""
    values = record.config.get("recipe", {})
    groups: dict[str, list[dict[str, Any]]] = {}
    for field in fields(Recipe):
        if field.name in values:
            value = values[field.name]
            default = list(field.default) if isinstance(field.default, tuple) else field.default
            row = {"name": field.name, "value": value, "help": field.metadata["setting"].help}
            groups.setdefault(field.metadata["group"], []).append(row | {"own": value != default})
    return groups
