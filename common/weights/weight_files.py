"""Weight files of other programs, read as plain arrays: nothing in them is ever executed.

    .npz                  a state dict; pickled members are refused
    .safetensors          a state dict
    .weights.h5, .keras   Keras 3, and the older .h5 of Keras 2 (`layer_names`)
    .npy                  a pickled dictionary {layer: [weights, biases]}, the form Caffe's models are passed on in

A name is a state dict's own (`layer1.0.bn1.running_mean`) or LAYER/NUMBER, counted in the layer's own order: a
convolution's or fully connected layer's weights and biases are 0 and 1, a batch norm's gamma, beta, moving mean and
moving variance 0 to 3. Declared sizes are checked against those of the file before memory is allocated.
"""

import io
import math
import pickle
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from common.errors import UserError

Arrays = dict[str, np.ndarray]
ENDINGS = (".npz", ".safetensors", ".h5", ".keras", ".npy")
PICKLED = (".pth", ".pt", ".pkl", ".ckpt")  # they are programs: PyTorch's own files
_MOST_PACKED = 1100  # deflate cannot shrink more than 1,032 times


def read(path: str | Path) -> Arrays:
    """All arrays of a weight file, by name.

    Raises:
        UserError: the file is of no known kind, cannot be read, is damaged or lies about its sizes, or would have to
            execute code to be read.
    """
    path = Path(path)
    if path.suffix in PICKLED:
        raise UserError(
            f"{path}: pickled by PyTorch, which could execute anything; save its state dict as .safetensors or .npz, "
            "e.g. numpy.savez(FILE, **{name: value.numpy() for name, value in state_dict.items()})",
            1,
        )
    if path.suffix not in _READERS:
        raise UserError(f"{path}: not a weight file that is known; their names end in {', '.join(ENDINGS)}", 1)
    try:
        arrays = _READERS[path.suffix](path)
    except UserError:
        raise
    except MemoryError as error:
        raise UserError(f"{path}: damaged, its arrays do not fit in memory", 1) from error
    except Exception as error:  # each library has errors of its own for a damaged file, Rust's among them
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UserError(f"{path}: damaged, or not what its name says ({reason[:200]})", 1) from error
    if not arrays:
        raise UserError(f"{path}: holds no arrays", 1)
    return arrays


def _npz(path: Path) -> Arrays:
    found = {}
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            with archive.open(member) as file:
                shape, dtype = _npy_header(file)
                size = member.file_size - file.tell()
            _check_declared(f"{path}: {member.filename}", shape, dtype, size)
            if member.file_size > _MOST_PACKED * max(member.compress_size, 1):
                raise UserError(f"{path}: {member.filename} is packed tighter than is possible", 1)
    with np.load(path, allow_pickle=False) as arrays:
        for name in arrays.files:
            found[name] = arrays[name]
    return found


def _npy_header(file) -> tuple[tuple[int, ...], np.dtype]:
    version = np.lib.format.read_magic(file)
    read_header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = read_header(file)
    return shape, dtype


def _check_declared(where: str, shape: tuple[int, ...], dtype: np.dtype, size: int) -> None:
    """Raises UserError for Python objects, which would be unpickled, or where the file has another size."""
    if dtype.hasobject:
        raise UserError(f"{where} holds pickled Python objects, which are not read", 1)
    wanted = math.prod(shape) * dtype.itemsize
    if wanted != size:
        raise UserError(f"{where} declares {wanted:,} bytes and has {size:,}; fetch the file again", 1)


def _safetensors(path: Path) -> Arrays:
    from safetensors.numpy import load_file

    return load_file(path)


def _hdf5(path: Path) -> Arrays:
    with open(path, "rb") as file:
        return _hdf5_arrays(path, file)


def _keras(path: Path) -> Arrays:
    """Keras' own format: a zip with the weights beside the configuration, which is not looked at."""
    with zipfile.ZipFile(path) as archive:
        weights = archive.getinfo("model.weights.h5")
        if weights.file_size > _MOST_PACKED * max(weights.compress_size, 1):
            raise UserError(f"{path}: {weights.filename} is packed tighter than is possible", 1)
        return _hdf5_arrays(path, io.BytesIO(archive.read(weights)))


def _hdf5_arrays(path: Path, file) -> Arrays:
    import h5py

    with h5py.File(file, "r") as root:
        groups = _layers_of_keras2(root) if "layer_names" in root.attrs else _layers_of_keras3(h5py, root)
        found: Arrays = {}
        for layer, datasets in groups:
            for number, dataset in enumerate(datasets):
                if f"{layer}/{number}" in found:
                    raise UserError(f"{path}: two layers are called {layer}", 1)
                found[f"{layer}/{number}"] = _dataset(path, h5py, dataset)
        return found


def _layers_of_keras3(h5py, root) -> Iterator[tuple[str, list]]:
    """Groups called `vars`, at any depth, bear the layer's name as an attribute and hold 0, 1 ..."""
    pending = [root]
    while pending:
        group = pending.pop()
        for key in group:
            child = _inside(h5py, group, key)
            if not isinstance(child, h5py.Group):
                continue
            if key != "vars":
                pending.append(child)
            elif len(child) and "name" not in child.attrs:
                raise UserError(
                    f"{root.file.filename}: names no layers; save it again with a Keras of 2025 or later", 1
                )
            elif len(child):
                yield str(child.attrs["name"]), [_inside(h5py, child, str(i)) for i in range(len(child))]


def _layers_of_keras2(root) -> Iterator[tuple[str, list]]:
    import h5py

    for layer in map(_text, root.attrs["layer_names"]):
        names = map(_text, _inside(h5py, root, layer).attrs["weight_names"])
        yield layer, [_inside(h5py, root, f"{layer}/{name}") for name in names]


def _text(name: bytes | str) -> str:
    return name.decode() if isinstance(name, bytes) else str(name)


def _inside(h5py, group, key: str):
    """A member of a group. Raises ValueError for a link on the way: it could lead to another file."""
    here = group
    for part in key.split("/"):
        if not isinstance(here.get(part, getlink=True), h5py.HardLink):
            raise ValueError(f"{here.name}/{part} is a link, which is not followed")
        here = here[part]
    return here


def _dataset(path: Path, h5py, dataset) -> np.ndarray:
    where = f"{path}: {getattr(dataset, 'name', '?')}"
    if not isinstance(dataset, h5py.Dataset) or dataset.external or dataset.is_virtual:
        raise UserError(f"{where} is not an array in this file", 1)
    if dataset.dtype.hasobject:
        raise UserError(f"{where} holds no numbers", 1)
    if dataset.nbytes > _MOST_PACKED * dataset.id.get_storage_size():
        raise UserError(f"{where} declares {dataset.nbytes:,} bytes and has {dataset.id.get_storage_size():,}", 1)
    return dataset[()]


class _Number:
    """Stands for a pickled `numpy.dtype`: one kind of number, or "O" for a list of objects."""

    def __init__(self, name: str, *_):
        self.name = name.lstrip("<>=|")
        if self.name[:1] not in ("f", "i", "u", "b", "O"):
            raise ValueError(f"arrays of {name!r}")

    def __setstate__(self, state: tuple):
        self.name = (state[1] if state[1] in ("<", ">") else "") + self.name  # the order of the bytes


class _Array:
    """Stands for a pickled `numpy.ndarray`; `value` is the array, or what a list of objects holds."""

    def __init__(self, *_):
        self.value = None

    def __setstate__(self, state: tuple):
        _, shape, number, fortran, data = state
        if number.name.startswith("O"):
            self.value = list(data)
            return
        data = data.encode("latin1") if isinstance(data, str) else data  # Python 2's
        self.value = np.frombuffer(data, np.dtype(number.name)).reshape(shape, order="F" if fortran else "C").copy()


def _latin1(text: str, encoding: str) -> bytes:
    """How Python 3's oldest protocols write bytes."""
    if encoding != "latin1":
        raise ValueError(f"bytes in {encoding}")
    return text.encode("latin1")


class _ArraysOnly(pickle.Unpickler):
    """Unpickles containers, numbers, text and NumPy arrays; a file that asks for any other name is refused."""

    def find_class(self, module: str, name: str):
        allowed = {
            ("numpy.core.multiarray", "_reconstruct"): _Array,
            ("numpy._core.multiarray", "_reconstruct"): _Array,
            ("numpy", "ndarray"): "numpy.ndarray",
            ("numpy", "dtype"): _Number,
            ("_codecs", "encode"): _latin1,
        }
        if (module, name) not in allowed:
            raise UserError(f"it would run {module}.{name}: only dictionaries of arrays are read", 1)
        return allowed[module, name]


def _npy(path: Path) -> Arrays:
    with open(path, "rb") as file:
        shape, dtype = _npy_header(file)
        if shape != () or not dtype.hasobject:
            raise UserError(f"{path}: one array {shape} {dtype}, where a dictionary of layers is needed", 1)
        try:
            layers = _ArraysOnly(file, encoding="latin1").load()
        except UserError as error:
            raise UserError(f"{path}: refused, {error}", 1) from error
    layers = layers.value[0] if isinstance(layers, _Array) and isinstance(layers.value, list) else layers
    if not isinstance(layers, dict):
        raise UserError(f"{path}: holds a {type(layers).__name__}, where a dictionary of layers is needed", 1)
    found: Arrays = {}
    for layer, parts in layers.items():
        if isinstance(parts, dict):
            parts = [parts[name] for name in ("weights", "biases") if name in parts]
        parts = parts.value if isinstance(parts, _Array) else parts
        arrays = [part.value for part in parts if isinstance(part, _Array)] if isinstance(parts, list | tuple) else []
        if not arrays or len(arrays) != len(parts) or not all(isinstance(array, np.ndarray) for array in arrays):
            raise UserError(f"{path}: {layer} is not [weights, biases]", 1)
        found |= {f"{_text(layer)}/{number}": array for number, array in enumerate(arrays)}
    return found


_READERS: dict[str, Callable[[Path], Arrays]] = {
    ".npz": _npz,
    ".safetensors": _safetensors,
    ".h5": _hdf5,
    ".keras": _keras,
    ".npy": _npy,
}
