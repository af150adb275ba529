"""`--mode compare RUN RUN ...`: runs side by side, as a page and as text."""

import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from cli import flags, setup, thumbnails
from cli.test import joined
from common.errors import UserError
from common.report import comparison_page, record
from common.report.comparison_page import Comparison
from common.runs import checkpoints
from common.runs import config as runs


def run(options: flags.Options, family: str | None) -> None:
    """`--mode compare`: prints the comparison and writes its page."""
    folders = [folder for path in options.runs for folder in find(path)]
    if len(set(folders)) < 2:
        raise UserError(
            "--mode=compare: name two run directories or more, e.g. --mode compare ckpt/alexnet ckpt/resnet34"
        )
    found = comparison_page.make([(str(folder), record.read(folder)) for folder in dict.fromkeys(folders)])
    out = Path(options.out or Path("compare") / joined(re.sub(r"[^\w.-]+", "_", name) for name in found.names))
    try:
        path = comparison_page.write(found, out, pictures(found))
    except OSError as error:
        raise UserError(f"--out={out}: {error.strerror}", 1) from error
    print(comparison_page.to_text(found))
    print(f"the same as a page: {path}")


def find(path: str) -> list[Path]:
    """The run directories that a word means: itself, those of an ensemble, the only one in a folder.

    Raises UserError where there is none, or more than one could be meant.
    """
    folder = Path(path)
    if not folder.is_dir():
        raise UserError(f"--mode=compare {path}: no such directory")
    members = [Path(member) for member in runs.ensemble(path)]
    if members != [folder]:
        return members
    if (folder / checkpoints.CONFIG_FILE).exists():
        return [folder]
    inside = sorted(config.parent for config in folder.glob(f"*/{checkpoints.CONFIG_FILE}"))
    if len(inside) == 1:
        return inside
    several = f"; name them one by one: {', '.join(map(str, inside))}" if inside else ""
    raise UserError(f"--mode=compare {path}: this is no run directory, it has no {checkpoints.CONFIG_FILE}{several}")


def pictures(found: Comparison) -> Mapping[int, np.ndarray]:
    """The pictures on which runs disagree, as many as the page shows, where the data set lies on this machine."""
    places = found.places[: comparison_page.SHOWN]
    if not len(places):
        return {}
    first = found.runs[0][1]
    tested = first.results[""]
    if not Path(tested["dataset"]).exists():
        return {}
    config = runs.read(first.run)
    data = setup.open_data(config.dataset, config.data_seed, config.validation_share)
    if tested["split"] not in data.splits:
        return {}
    split = data.splits[tested["split"]]
    if len(found.predictions[0].labels) != split.examples:  # images were left out: a row is no place in the split
        return {}
    return thumbnails.look_up(split, np.arange(split.examples), places)[1]
