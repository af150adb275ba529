"""A network small enough to train within a test, and the program run on it inside this process."""

import atexit
import shutil
import tempfile
from functools import cache, partial
from pathlib import Path

import train
from cli import registry, setup
from cli import test as testing
from common import distribution
from common.architecture import Architecture
from common.input import records
from common.nn import layers
from common.recipe import Recipe
from common.runs import checkpoints
from common.runs import config as runs
from common.style import styled
from data import digits

RECIPE = Recipe(batch_size=64, learning_rate=0.02, initializer="he", weight_decay=0.001, resize=16, plateau_patience=3)


@styled(initializer="he", norm="batch")
def build(classes=10, image_size=16, dropout=0.25):
    x = image = layers.image_input(image_size, smallest=4)
    x = layers.conv(x, 8, 3, padding=1, name="conv1")
    x = layers.max_pool(x, 2, 2, name="pool1")
    x = layers.conv(x, 16, 3, padding=1, name="conv2")
    x = layers.flatten(layers.max_pool(x, 4, 4, name="pool2"), name="flatten")
    x = layers.dropout(x, dropout, name="dropout")
    return layers.network(image, layers.logits(x, classes, name="fc"), name="tiny")


@cache
def _digits() -> Path:
    """The digits, prepared once a process."""
    folder = Path(tempfile.mkdtemp(prefix="digits-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    digits.prepare(folder / "digits")
    return folder / "digits"


def _copy_digits(folder: Path) -> None:
    """What `digits.prepare` leaves, copied: whole or not at all, since several workers may begin at once."""
    folder = Path(folder)
    if (folder / records.INFO_FILE).exists():
        return
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".digits-", dir=folder.parent) as work:
        digits.put_in_place(shutil.copytree(_digits(), Path(work) / "digits"), folder)


def register(monkeypatch, folder: Path, error_analysis: bool = False) -> None:
    """Adds `tiny`, and `tiny_plain` without batch norm, to the registry and moves into `folder`.

    `--precision auto` is float32 there, whatever the processor.
    Tests end without the error analysis, whose pictures take longer than the training, unless it is wanted. The digits
    are copied into the folder when they are asked for: to prepare them anew takes as long as some tests.
    """
    if not error_analysis:
        monkeypatch.setattr(testing, "_analyse_errors", lambda *_: None)
    monkeypatch.setattr(distribution, "bfloat16_units", lambda: None)
    _digits()  # by the true function, before it is replaced
    monkeypatch.setattr(digits, "prepare", _copy_digits)
    plain = partial(build, norm="none")
    made = (
        Architecture("tiny", "alexnet", build, 16, RECIPE, "made for the tests"),
        Architecture("tiny_plain", "alexnet", plain, 16, RECIPE, "made for the tests"),
    )
    for network in made:
        monkeypatch.setitem(registry.ARCHITECTURES, network.name, network)
    monkeypatch.setitem(registry.FAMILIES, "alexnet", (*registry.FAMILIES["alexnet"], *made))
    monkeypatch.setattr("sys.argv", ["alexnet.py"])
    monkeypatch.chdir(folder)


def run(*arguments: str) -> None:
    """`python alexnet.py ...` in this process."""
    train.main("alexnet", list(arguments))


def start(ckpt: str, *more: str) -> None:
    """`--mode train --arch tiny` for two epochs into `ckpt`."""
    run("--mode", "train", "--arch", "tiny", "--ckpt", ckpt, "--epochs", "2", "--batch_size", "64", "--ema", "0", *more)


def trained(run: str = "run"):
    """The network of a run as it was trained, nothing folded, with its best weights; the run's configuration."""
    config = runs.read(Path(run))
    model = setup.build_model(registry.find("tiny"), config)
    checkpoints.restore_weights(checkpoints.best(Path(run)), model)
    return model, config
