"""The data sets of the comparisons: their sizes, and how to get what is missing."""

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from common.errors import UserError, unknown
from common.runs import locks

ROOT = Path(__file__).resolve().parents[1]

SUBSET = "python experiments/subset.py --source {folder}/{source} --out {folder}/{name}"


@dataclass(frozen=True)
class Data:
    """A data set: images of its splits, the command that makes it, of which other one, and what that command reads."""

    train: int
    test: int
    validation: int
    command: str = ""
    source: str = ""
    reads: str = ""

    def trained_on(self, validation_share: float | None) -> int:
        """Images of an epoch; with a share of 0 those for validation are trained on too."""
        return self.train + (self.validation if validation_share == 0 else 0)


def _part(source: str, train: int, test: int, validation: int, flags: str) -> Data:
    return Data(train, test, validation, f"{SUBSET} {flags}", source)


def _few(source: str, name: str) -> dict[str, Data]:
    """10, 50 and 200 training images a class of the photographs."""
    return {
        f"{name}-{count}": _part(source, 10 * count, 1000, 500, f"--train {count} --validation 50")
        for count in (10, 50, 200)
    }


CIFAR = "python data/prepare.py --source tfds:cifar10 --out {folder}/{name}"
IMAGENETTE = "python data/prepare.py --source imagenette-4k/ --out {folder}/{name}"
PHOTOGRAPHS = "imagenette-4k/: class folders of ten ImageNet classes, 300 training and 100 validation pictures of each"
DATASETS = {
    "digits": Data(1257, 360, 180),
    "cifar10": Data(45000, 10000, 5000, CIFAR),
    "cifar10-16px": Data(45000, 10000, 5000, f"{CIFAR} --resize 16"),
    "cifar10-16px-250": _part("cifar10-16px", 2500, 10000, 1000, "--train 250 --validation 100"),
    "cifar10-unequal": _part("cifar10", 13621, 10000, 5000, "--train 4000 --ratio 20"),
    "imagenette-4k": Data(3000, 1000, 1000, IMAGENETTE, reads=PHOTOGRAPHS),
    "imagenette-250": _part("imagenette-4k", 2500, 1000, 500, "--train 250 --validation 50"),
    "imagenette-32px": Data(3000, 1000, 1000, f"{IMAGENETTE} --resize 32", reads=PHOTOGRAPHS),
    "imagenette-16px": Data(3000, 1000, 1000, f"{IMAGENETTE} --resize 16", reads=PHOTOGRAPHS),
    **_few("imagenette-32px", "imagenette"),
    **_few("imagenette-16px", "imagenette-16px"),
}


def find(name: str) -> Data:
    """A data set by its name. Raises UserError with a suggestion."""
    if name not in DATASETS:
        raise unknown("dataset", name, DATASETS)
    return DATASETS[name]


def exists(name: str, folder: Path) -> bool:
    """Whether a data set is there."""
    return not find(name).command or (folder / name / "dataset.json").exists()


def missing(name: str, folder: Path) -> UserError | None:
    """The error, one line, that says how to make a data set that is not there, or the one that it is a part of.

    None where it is there, or `provide` can make it.
    """
    data = find(name)
    if exists(name, folder):
        return None
    if data.source:
        return missing(data.source, folder)
    command = data.command.format(name=name, folder=folder)
    reads = f" ({data.reads})" if data.reads else ""
    return UserError(f"{folder / name}: there is no data set here; make it by {command}{reads}", 1)


def provide(name: str, folder: Path) -> None:
    """Makes a data set that is not there and is a part of one that is; several processes may do so at once.

    Raises UserError where it has to be made by hand, or making it fails.
    """
    problem = missing(name, folder)
    if problem is not None:
        raise problem
    if exists(name, folder):
        return
    data = find(name)
    with locks.wait(folder / f".{name}.lock"):
        if exists(name, folder):
            return
        words = [word.format(name=name, source=data.source, folder=folder.resolve()) for word in data.command.split()]
        done = subprocess.run([sys.executable, *words[1:]], cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        last = done.stderr.strip().rpartition("\n")[2]
        raise UserError(f"{folder / name}: {' '.join(words)} failed: {last}", 1)
    print(done.stdout.strip(), flush=True)
