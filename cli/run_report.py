"""report.html at the end of a training and of each test; `--noreport` leaves it out."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cli.trained import Trained
from common.nn import summary
from common.report import filters, images, record, run_page
from common.training import log_writers


def write(
    run: Path, trained: Sequence[Trained], analysis: Mapping[str, Any] | None = None, tested: str | None = None
) -> None:
    """Writes the page of a run directory, or of one that took a test's results, and says where it is.

    Args:
        run: the directory.
        trained: the networks; costs and filters are shown of one alone.
        analysis: of the test just made (`common.report.analysis.analyse`); None where there was none.
        tested: that test's name.
    """
    network = network_of(trained[0]) if len(trained) == 1 else None
    found = record.read(run)
    if len(trained) == 1 and run != trained[0].run:  # --ckpt sends results elsewhere
        found = dataclasses.replace(record.read(trained[0].run), run=run, results=found.results)
    print(f"all on one page: {run_page.write(found, network, analysis, tested)}")


def network_of(trained: Trained) -> run_page.Network:
    """The costs of a network's layers, and its first filters."""
    config = trained.config
    table = summary.summarise(trained.architecture, len(config.classes), config.image_size, **config.options)
    layers = [dataclasses.asdict(row) | {"what": summary.description(row)} for row in table.rows]
    kernel = filters.first(trained.checkpoint, config.preprocessing["channels"])
    sheet = None if kernel is None else images.png(log_writers.filter_sheet(kernel))
    return run_page.Network(layers, dataclasses.asdict(table.totals), sheet)
