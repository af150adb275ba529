"""Turns labelled images into TFRecord shards and a dataset.json that training reads.

    python data/prepare.py --source SOURCE --out DIR [--resize 256]
    python data/prepare.py --verify DIR

SOURCE is one of
    a folder of class folders     PATH/CLASS/..., or PATH/train/CLASS/... with PATH/val, PATH/test beside it
    ImageNet as downloaded        a folder with ILSVRC2012_img_train.tar and ILSVRC2012_img_val.tar, or train/ and val/
    an .npz file                  x_train, y_train, x_test, y_test as Keras' data sets have them
    tfds:NAME[/CONFIG]            any image classification set of TensorFlow Datasets
    digits                        scikit-learn's handwritten digits
"""

import argparse
import os
import sys
import time
from pathlib import Path

if __package__ in (None, ""):  # run as a script: sys.path begins with data/ instead of the repository's root
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from common import errors, machine
from common.errors import UserError, printable

SHOWN = 20  # of the skipped and repaired files, how many are printed
SOURCES = {
    "folders": "this tree of class folders",
    "imagenet": "ImageNet as downloaded",
    "npz": "this .npz file",
    "tfds": "a set of TensorFlow Datasets",
    "digits": "the set of digits",
}
NO_USE = {
    "labels": "has its labels with the images",
    "seed": "comes in a mixed order of its own",
    "validation_share": "needs no images held out for a validation split",
    "test_share": "needs no images held out for a test split",
}


class _Parser(argparse.ArgumentParser):
    def error(self, message: str):
        raise UserError(f"{message}; see --help")


def _share(text: str) -> float:
    value = float(text)
    if not 0 <= value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not in [0, 1)")
    return value


def _workers(text: str) -> int:
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"{text} is below 0")
    return value


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a whole number above 0")
    return value


def parser() -> argparse.ArgumentParser:
    """The command line."""
    result = _Parser(
        prog="prepare.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    add = result.add_argument
    add("--source", help="what to read, see above")
    add("--out", help="folder to write; an unfinished one of the same plan is finished, a damaged one repaired")
    add("--resize", type=_positive, metavar="PIXELS", help="scale larger images down to this short side, as JPEG")
    add("--mean_image", action="store_true", help="also write the mean image, 256x256, for --mean image in training")
    add("--seed", type=int, help="of the order of the records and of the splits (default 0)")
    add("--shards", type=_positive, help="shards of the training split (default: by the number of images)")
    add("--workers", type=_workers, help="processes beside this one (default: one per core)")
    add("--strict", action="store_true", help="exit 1 if any file had to be skipped")
    add("--verify", nargs="?", const="", metavar="DIR", help="check every shard of a prepared data set, then exit")
    add("--validation_share", type=_share, help="held out where there is no validation split (default 0.1)")
    add("--test_share", type=_share, help="held out where there is no other split at all (default 0.1)")
    add("--labels", metavar="FILE", help="ImageNet: labels of the validation images, where they are not found")
    add("--no_flip", action="store_true", help="a mirrored image would be another class: digits, text")
    return result


def open_source(name: str, options: argparse.Namespace):
    """The listed source that `--source` names. Raises UserError where it is none, or has no use for an option."""
    source = _listed(name, options)
    used = {*source.settings, *(["labels"] if source.kind == "imagenet" else [])}
    used |= set() if source.shuffled else {"seed"}
    for option in ("labels", "seed", "validation_share", "test_share"):
        if option not in used and getattr(options, option) is not None:
            raise UserError(f"--{option}: {SOURCES[source.kind]} {NO_USE[option]}; leave it out")
    return source


def _listed(name: str, options: argparse.Namespace):
    from data import digits, folders, imagenet, npz, tfds
    from data.source import Shares

    given = {"validation": options.validation_share, "test": options.test_share}
    shares = Shares(**{split: share for split, share in given.items() if share is not None})
    seed = options.seed or 0
    if name == "digits":
        return digits.open_source()
    if name.startswith("tfds:"):
        return tfds.open_source(name, shares)
    if not os.path.exists(name):
        raise UserError(f"--source={name}: no such file or folder (other sources: digits, tfds:NAME)")
    if os.path.isfile(name):
        if name.endswith(".npz"):
            return npz.open_source(name, shares, seed)
        raise UserError(f"--source={name}: of files only .npz is read; for ImageNet's tars name their folder")
    if imagenet.recognised(name):
        return imagenet.open_source(name, options.labels)
    return folders.open_source(name, shares, seed)


def prepare(options: argparse.Namespace) -> None:
    """Prepares what the command line asks for and says what was done."""
    import dataclasses

    from data import writer

    began = time.monotonic()
    folder = Path(options.out)
    inside = os.path.realpath(folder) + os.sep
    if os.path.exists(options.source) and inside.startswith(os.path.realpath(options.source) + os.sep):
        raise UserError(f"--out={folder}: it lies inside the source; choose a folder outside {options.source}")
    source = open_source(options.source, options)
    if options.no_flip:
        source = dataclasses.replace(source, flip=False)
    sizes = ", ".join(f"{split} {len(items):,}" for split, items in source.splits.items())
    print(f"{source.kind}: {source.name}, {len(source.classes):,} classes, {sizes}", flush=True)
    workers = machine.cores() if options.workers is None else options.workers
    settings = writer.Options(options.resize, options.seed or 0, options.shards, options.mean_image)
    outcome = writer.write(source, folder, settings, workers, options.strict, quiet=False)
    for title, rows in (("repaired", outcome.repaired), ("skipped", outcome.skipped)):
        _print_files(title, rows, folder)
    if outcome.rebuilt:
        print(f"{folder} was finished; rebuilt, byte for byte: {', '.join(outcome.rebuilt)}")
    elif outcome.existed:
        print(f"{folder} is finished already and all shards are sound; nothing to do")
    size = sum(shard.bytes for split in outcome.info.splits.values() for shard in split.shards)
    sizes = ", ".join(f"{name} {split.examples:,}" for name, split in outcome.info.splits.items())
    print(f"{folder}: {sizes}; {size / 1e6:,.1f} MB; {time.monotonic() - began:.0f} s")
    if options.strict and outcome.skipped:
        raise UserError(f"--strict: {len(outcome.skipped)} files were skipped, see {folder / writer.SKIPPED}", 1)


def _print_files(title: str, rows: tuple[tuple[str, str], ...], folder: Path) -> None:
    if rows:
        print(f"{title} {len(rows):,} files, listed in {folder / f'{title}.csv'}:")
    for name, reason in rows[:SHOWN]:
        print(f"  {printable(name)}: {reason}")
    if len(rows) > SHOWN:
        print(f"  and {len(rows) - SHOWN:,} more")


def verify(folder: Path) -> None:
    """Checks a prepared data set. Raises UserError that names the bad shards."""
    from common.input import records
    from common.progress import Progress
    from data.pool import import_tensorflow
    from data.quiet import quiet_libraries

    info = records.read_info(folder)
    import_tensorflow()
    progress = Progress(sum(split.examples for split in info.splits.values()))
    faults, checked = [], records.verify(folder)
    while True:
        with quiet_libraries():
            shard, fault = next(checked, (None, None))
        if shard is None:
            break
        progress.update(progress.done + shard.examples)
        if fault:
            faults.append(shard.file)
            print(f"{folder / shard.file}: {fault}", flush=True)
    progress.close()
    if faults:
        raise UserError(
            f"{folder}: {len(faults)} bad shard(s): {', '.join(faults[:5])}; "
            "give the command that prepared the data set again: it makes them anew and leaves the others",
            1,
        )
    print(
        f"{folder}: {progress.total:,} images in {sum(len(s.shards) for s in info.splits.values())} shards, all sound"
    )


def _check_alone(options: argparse.Namespace) -> None:
    """Raises UserError for an option beside --verify, which reads a folder and nothing else."""
    plain = vars(parser().parse_args([]))
    others = [name for name, value in vars(options).items() if name not in ("verify", "out") and value != plain[name]]
    if others or (options.verify and options.out):
        raise UserError(f"--{(others or ['out'])[0]}: --verify DIR takes no other option; leave it out")


def main(arguments: list[str]) -> int:
    """Runs the command line; returns the exit code."""
    try:
        options = parser().parse_args(arguments)
        if options.verify is not None:
            if not (options.verify or options.out):
                raise UserError("--verify: name the folder to check")
            _check_alone(options)
            verify(Path(options.verify or options.out))
        elif not (options.source and options.out):
            raise UserError("--source and --out are needed; see --help")
        else:
            prepare(options)
        return 0
    except UserError as error:
        print(
            f"prepare.py: {error}".encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace"),
            file=sys.stderr,
        )
        return error.exit_code
    except KeyboardInterrupt:
        print("prepare.py: stopped; the same command goes on from here", file=sys.stderr)
        return 130


if __name__ == "__main__":
    with errors.ending_in_a_line("prepare.py"):
        sys.exit(main(sys.argv[1:]))
