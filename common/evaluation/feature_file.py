"""features.npz: what a layer gives for every image of a split, for `numpy.load`."""

import os
import shutil
import zipfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import IO

import numpy as np

_FEATURES = "features.npy"


def write(
    path: Path,
    shape: tuple[int, int],
    parts: Iterable[np.ndarray],
    others: Callable[[], Mapping[str, np.ndarray]],
    fewer: bool = False,
) -> None:
    """Writes an .npz whose array `features` arrives in parts and is never in memory as a whole; whole or absent.

    Args:
        path: of the file; its folder is there.
        shape: (N, D) of all features.
        parts: (n, D) float32 each, N rows in all.
        others: asked after the last part, the further arrays by name.
        fewer: there may be fewer than N rows; the file is copied then, since the number stands before the rows.

    Raises:
        OSError: it cannot be written.
        ValueError: the parts have another number of rows.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    shorter = path.with_name(f"{temporary.name}.shorter")
    try:
        rows = 0
        with zipfile.ZipFile(temporary, "w") as archive, archive.open(_FEATURES, "w", force_zip64=True) as file:
            _begin(file, shape)
            for part in parts:
                file.write(np.ascontiguousarray(part, "<f4").data)
                rows += len(part)
        if rows > shape[0] or (rows < shape[0] and not fewer):
            raise ValueError(f"{rows} rows of features, {shape[0]} were expected")
        if rows < shape[0]:
            _copy(temporary, shorter, (rows, shape[1]))
            os.replace(shorter, temporary)
        with zipfile.ZipFile(temporary, "a") as archive:
            for name, array in others().items():
                with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                    np.lib.format.write_array(file, array, allow_pickle=False)
        os.replace(temporary, path)
    finally:
        for file_name in (temporary, shorter):
            file_name.unlink(missing_ok=True)


def _begin(file: IO[bytes], shape: tuple[int, int]) -> None:
    """Writes what stands before the rows."""
    header = {"descr": "<f4", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, header)


def _copy(source: Path, target: Path, shape: tuple[int, int]) -> None:
    """Copies the features, of which there are as many rows as `shape` says, not as the source does."""
    with (
        zipfile.ZipFile(source) as old,
        zipfile.ZipFile(target, "w") as new,
        old.open(_FEATURES) as before,
        new.open(_FEATURES, "w", force_zip64=True) as after,
    ):
        np.lib.format.read_magic(before)
        np.lib.format.read_array_header_1_0(before)
        _begin(after, shape)
        shutil.copyfileobj(before, after, 2**20)
