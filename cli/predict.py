"""`--mode predict`: the most likely classes of image files, by one run or by several together."""

import sys
from collections.abc import Sequence
from typing import Any

from cli import answers, flags, image_files
from cli import trained as trained_networks
from cli.prediction_sheet import Sheet
from cli.trained import Trained
from common import distribution
from common.errors import UserError, printable
from common.evaluation import prediction
from common.evaluation.protocol import Protocol


def run(options: flags.Options, family: str | None) -> None:
    """`--mode predict`: the five most likely classes of image files, printed batch by batch.

    Files that cannot be read are named, the others predicted; the exit code is 1 then.
    """
    for name in ("restore", "images"):
        if not options.values[name]:
            raise UserError(f"--mode=predict needs --{name}")
    names = image_files.named(options.images)
    protocol = Protocol(options.crops, options.scales or ())
    devices = distribution.choose("one")
    trained = trained_networks.restored(options, family)
    config = next((one.config for one in trained if not one.config.imported), trained[0].config)
    batch_size = trained_networks.batch_size_of(options, trained[0].config)
    sheet = Sheet(options.sheet, names.files, subject(trained)) if options.sheet else None
    failed: dict[str, str] = {}
    members = [trained_networks.load(one, protocol, devices) for one in trained]
    found = answers.Answers(names.files, failed, config.names, config.synsets)
    with answers.shower(options.predict_format, names.files, config) as show:

        def answered(places: Any, predicted: Any) -> None:
            due = found.of_batch(places, predicted)
            show(due)
            if sheet:
                sheet.add(due)

        as_bytes = distribution.normalises(options.device_normalise)
        pictures = image_files.as_split(names, failed)
        prediction.predict(members, pictures, devices, batch_size, answered, as_bytes=as_bytes)
    for line in sheet.close() if sheet else ():
        print(line, file=sys.stderr, flush=True)
    if failed:
        named = image_files.some([f"{printable(file)}: {reason}" for file, reason in failed.items()])
        raise UserError(f"{len(failed)} of {len(names.files)} images cannot be read: {'; '.join(named)}", 1)


def subject(trained: Sequence[Trained]) -> str:
    """The networks in words."""
    if len(trained) > 1:
        return f"{len(trained)} networks"
    return f"{trained[0].config.arch}, {trained[0].run.name}"
