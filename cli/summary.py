"""`--mode summary`: a network layer by layer."""

import json

from cli import flags, setup
from common.nn import summary


def run(options: flags.Options, family: str | None) -> None:
    """`--mode summary`: the per-layer table."""
    architecture = setup.choose_architecture(options, family)
    table = summary.summarise(
        architecture,
        options.classes,
        options.image_size or architecture.image_size,
        **setup.build_options(options, architecture),
    )
    if options.summary_format == "json":
        print(json.dumps(summary.to_json(table), indent=1))
    else:
        print({"csv": summary.to_csv, "text": summary.to_text}[options.summary_format](table))
