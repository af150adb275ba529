"""features.npz: what a layer gives for every image of a split, for `numpy.load`."""

import os
import zipfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import numpy as np


def write(
    path: Path,
    shape: tuple[int, int],
    parts: Iterable[np.ndarray],
    others: Callable[[], Mapping[str, np.ndarray]],
) -> None:
    """Writes an .npz whose array `features` arrives in parts and is never in memory as a whole; whole or absent.

    Args:
        path: of the file; its folder is there.
        shape: (N, D) of all features.
        parts: (n, D) float32 each, N rows in all.
        others: asked after the last part, the further arrays by name.

    Raises:
        OSError: it cannot be written.
        ValueError: the parts have another number of rows.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with zipfile.ZipFile(temporary, "w") as archive:
            with archive.open("features.npy", "w", force_zip64=True) as file:
                header = {"descr": "<f4", "fortran_order": False, "shape": shape}
                np.lib.format.write_array_header_1_0(file, header)
                rows = 0
                for part in parts:
                    file.write(np.ascontiguousarray(part, "<f4").data)
                    rows += len(part)
            if rows != shape[0]:
                raise ValueError(f"{rows} rows of features, {shape[0]} were expected")
            for name, array in others().items():
                with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                    np.lib.format.write_array(file, array, allow_pickle=False)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
