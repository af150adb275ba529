"""`--mode summary`: a network layer by layer, or several in one table."""

import dataclasses
import json
from typing import Any

from cli import comparison, flags, setup
from common.errors import UserError
from common.nn import summary


def run(options: flags.Options, family: str | None) -> None:
    """The per-layer table of a network; of several, comma-separated in `--arch`, a line each."""
    names = [name.strip() for name in (options.arch or "").split(",")]
    several = len(names) > 1
    printing: Any = comparison if several else summary
    shown: Any = (
        [_summarise(_only(options, name), family) for name in names] if several else _summarise(options, family)
    )
    if options.summary_format == "json":
        print(json.dumps(printing.to_json(shown), indent=1))
    else:
        print({"csv": printing.to_csv, "text": printing.to_text}[options.summary_format](shown))


def _only(options: flags.Options, name: str) -> flags.Options:
    """The command line with one network in `--arch`. Raises UserError for an empty name."""
    if not name:
        raise UserError(f"--arch={options.arch}: a name is empty; give networks with a comma between two")
    return dataclasses.replace(options, values=options.values | {"arch": name})


def _summarise(options: flags.Options, family: str | None) -> summary.Summary:
    architecture = setup.choose_architecture(options, family)
    return summary.summarise(
        architecture,
        options.classes,
        options.image_size or architecture.image_size,
        **setup.build_options(options, architecture),
    )
