"""`--mode summary`: a network layer by layer, or several in one table."""

import dataclasses
import json

from cli import comparison, flags, setup
from common.nn import summary


def run(options: flags.Options, family: str | None) -> None:
    """The per-layer table of a network; of several, comma-separated in `--arch`, their totals beside one another."""
    if options.arch and "," in options.arch:
        tables = [_summarise(_only(options, name), family) for name in options.arch.split(",")]
        to_text, to_csv, to_json = comparison.to_text, comparison.to_csv, comparison.to_json
    else:
        tables = _summarise(options, family)
        to_text, to_csv, to_json = summary.to_text, summary.to_csv, summary.to_json
    if options.summary_format == "json":
        print(json.dumps(to_json(tables), indent=1))
    else:
        print({"csv": to_csv, "text": to_text}[options.summary_format](tables))


def _only(options: flags.Options, name: str) -> flags.Options:
    """The command line with one network in `--arch`."""
    return dataclasses.replace(options, values=options.values | {"arch": name.strip()})


def _summarise(options: flags.Options, family: str | None) -> summary.Summary:
    architecture = setup.choose_architecture(options, family)
    return summary.summarise(
        architecture,
        options.classes,
        options.image_size or architecture.image_size,
        **setup.build_options(options, architecture),
    )
