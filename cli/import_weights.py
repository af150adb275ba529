"""Imported weights become a run directory, config.json and a checkpoint, as if they had been trained here.

So every mode takes them as it takes a run, and config.json holds what travels with them: the network's options, the
input's size, mean, std, order of channels. The directory is ckpt/imported/ARCH-NAME-DIGEST; importing the same file
again finds it there.
"""

import dataclasses
import hashlib
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from cli import registry, weight_names, zoo_weight_names
from cli.foreign import Foreign
from common import class_names, distribution
from common.architecture import Architecture
from common.errors import UserError
from common.input import pipeline, read_errors
from common.runs import checkpoints, locks
from common.runs import config as runs
from common.weights import weight_files, weight_layouts

FOLDER = Path("ckpt/imported")
FETCH = "keras:imagenet"  # --restore: ImageNet's weights, fetched by keras.applications


def is_foreign(path: str) -> bool:
    """Does `--restore` name imported weights: a file, or what keras.applications is to fetch?"""
    return path.startswith("keras:") or Path(path).is_file()


@dataclass(frozen=True)
class Imported:
    """Imported weights, as they were read.

    Attributes:
        folder: the run directory that they have, or get.
        config: its configuration.
        found: the arrays, and what network they are of; None where the run directory is there already.
    """

    folder: Path
    config: "runs.RunConfig"
    found: Foreign | None

    def run(self) -> Path:
        """The run directory; made where it is not there yet."""
        if self.found is not None and not (self.folder / checkpoints.CONFIG_FILE).exists():
            _make(self.folder, self.found, self.config)
        return self.folder


def import_run(path: str, arch: str | None) -> Path:
    """The run directory of imported weights, made if it is not there yet. Arguments and errors of `read`."""
    return read(path, arch).run()


def read(path: str, arch: str | None) -> Imported:
    """Imported weights. Nothing is written.

    Args:
        path: a weight file (`weight_files`), or `keras:imagenet`.
        arch: the network wanted. A file says what it is; the name decides where several networks fit.

    Raises:
        UserError: the file is damaged, of no network here, or of several alike and `arch` is none of them.
    """
    if path.startswith("keras:"):
        if path != FETCH:
            raise UserError(f"--restore={path}: no such weights; keras.applications has {FETCH}")
        if arch not in weight_names.KERAS:
            raise UserError(f"--restore={path}: give --arch, one of {', '.join(weight_names.KERAS)}")
        folder = FOLDER / f"{arch}-keras-imagenet"
        if (folder / checkpoints.CONFIG_FILE).exists():
            return Imported(folder, runs.read(folder), None)
        found = weight_names.recognise(fetch(arch), path)
        return Imported(folder, _configuration(found, registry.find(arch), {"file": path}), found)
    file = Path(path).resolve()
    found = weight_names.recognise(weight_files.read(file), path)
    if found.undecided and arch not in found.archs:
        raise UserError(f"--restore={path}: fits {' and '.join(found.archs)} alike; give --arch, which of them it is")
    name = arch if arch in found.archs else found.archs[0]
    with open(file, "rb") as content:
        digest = hashlib.file_digest(content, "sha256").hexdigest()
    folder = FOLDER / f"{name}-{file.name.split('.')[0]}-{digest[:8]}"
    if (folder / checkpoints.CONFIG_FILE).exists():
        return Imported(folder, runs.read(folder), None)
    return Imported(folder, _configuration(found, registry.find(name), {"file": str(file), "sha256": digest}), found)


def fetch(arch: str) -> "weight_files.Arrays":
    """ImageNet's weights by way of keras.applications, which fetches them once and keeps them in ~/.keras."""
    import keras

    try:
        arguments = zoo_weight_names.KERAS_ARGUMENTS.get(arch, {})
        model = getattr(keras.applications, weight_names.KERAS[arch])(weights="imagenet", **arguments)
    except Exception as error:  # Keras raises a bare Exception where the download fails
        raise UserError(
            f"--restore={FETCH}: keras.applications could not fetch {arch} ({' '.join(str(error).split())[:200]}); "
            "on a machine without a network name the .h5 file itself",
            1,
        ) from error
    return {
        f"{layer.name}/{number}": value for layer in model.layers for number, value in enumerate(layer.get_weights())
    }


def _make(folder: Path, found: Foreign, config: "runs.RunConfig") -> None:
    """Writes the run directory, whole or not at all, and says so.

    Raises UserError where the arrays do not fit the network: with every name and shape that is wrong.
    """
    assert config.imported is not None
    name, source = config.arch, config.imported["file"]
    with distribution.precision(config.precision):
        model = registry.find(name).build(
            classes=found.classes, image_size=config.image_size, dropout=config.recipe.dropout, **config.options
        )
    names = {layer.name: found.rename(layer.name) for layer in model.layers if layer.weights and not _is_seed(layer)}
    weight_layouts.fill(model, names, found.arrays, found.layout, source)
    with read_errors.writing(FOLDER):
        FOLDER.mkdir(parents=True, exist_ok=True)
        with locks.wait(FOLDER / ".lock"):  # several workers may begin at once
            temporary = Path(tempfile.mkdtemp(prefix=".writing-", dir=FOLDER))
            try:
                temporary.chmod(0o755)
                state = {"step": 0, "arch": name, "classes": found.classes, "best_step": None}
                checkpoints.save(temporary, state, {"model": model.variables})
                runs.write(temporary, config)
                if not folder.exists():
                    os.replace(temporary, folder)
            finally:
                shutil.rmtree(temporary, ignore_errors=True)
    print(f"{source}: {name} with {found.classes:,} classes, {found.origin}; imported as {folder}", flush=True)


def _is_seed(layer) -> bool:
    """A layer that has only its own random state."""
    return not layer.get_weights() or hasattr(layer, "seed_generator")


def _configuration(found: Foreign, architecture: Architecture, source: dict) -> "runs.RunConfig":
    size = found.image_size or architecture.image_size
    imagenet = tuple(class_names.imagenet())  # their order is that of the labels, in all these frameworks
    classes = imagenet if found.classes == len(imagenet) else tuple(map(str, range(found.classes)))
    resize = size if architecture.recipe.crop in ("pad", "none") else round(size * 256 / 224)
    preprocessing = {"image_size": size, "resize": resize} | found.preprocessing
    return runs.RunConfig(
        arch=architecture.name,
        options=architecture.defaults | found.options,
        classes=classes,
        image_size=size,
        preprocessing=dataclasses.asdict(pipeline.Preprocessing(**preprocessing)),
        recipe=architecture.recipe,
        dataset="",
        seed=0,
        precision="float32",
        imported=source
        | {
            "origin": found.origin,
            "axes": "channels first" if found.layout.channels_first else "channels last",
            "padding": "in pixels, as there",
            "batch_norm_epsilon": f"{found.layout.epsilon:g}, absorbed in the moving variances",
            "biases_before_batch_norm": "absorbed in the moving means, where the network here has none",
        },
    )
