"""data/prepare.py on class folders with odd files among sound ones."""

import csv
import os
from pathlib import Path

import pytest

from tests.images import jpeg, stored, tree
from tests.images import run_prepare as run


def mixed_in(folder: Path, files: dict[str, bytes]) -> dict[str, dict[str, str]]:
    """Prepares one class folder of odd files and sound ones; what repaired.csv and skipped.csv say of them."""
    root = tree(folder / "in", {"odd": 20, "plain": 20})
    for name, data in files.items():
        (root / "odd" / name).write_bytes(data)
    assert run("--source", root, "--out", folder / "out", "--test_share", "0", "--validation_share", "0") == 0
    assert run("--verify", folder / "out") == 0
    found = {}
    for name in ("repaired", "skipped"):
        with open(folder / "out" / f"{name}.csv", newline="") as file:
            found[name] = {row[0].removeprefix("odd/"): row[1] for row in list(csv.reader(file))[1:]}
    kept = {name.split("/")[1] for name in stored(folder / "out", "train")} - {f"{n:03d}.jpg" for n in range(20)}
    assert kept == set(files) - set(found["skipped"])
    return found


def test_odd_files_in_a_class_folder_one_by_one(tmp_path):
    files = {
        "png.jpg": jpeg(1, form="PNG"),
        "gif.jpg": jpeg(2, form="GIF"),
        "webp.jpg": jpeg(3, form="WEBP"),
        "bmp.JPEG": jpeg(4, form="BMP"),
        "sound.png": jpeg(5, form="PNG"),
        "cut.jpg": jpeg(6)[:-40],
        "empty.jpg": b"",
        "notes.txt": b"bought at the market",
    }
    found = mixed_in(tmp_path, files)
    assert found["repaired"] == {
        "png.jpg": "PNG stored as JPEG",
        "gif.jpg": "GIF stored as JPEG; palette converted to RGB",
        "webp.jpg": "WEBP stored as JPEG",
        "bmp.JPEG": "BMP stored as JPEG",
    }
    assert found["skipped"] == {"cut.jpg": "truncated", "empty.jpg": "empty file", "notes.txt": "not an image"}
    assert run("--source", tmp_path / "in", "--out", tmp_path / "strict", "--strict") == 1


@pytest.mark.skipif("REAL_DATA_DIR" not in os.environ, reason="REAL_DATA_DIR names no folder with odd_images")
def test_the_real_odd_images_one_by_one(tmp_path):
    folder = Path(os.environ["REAL_DATA_DIR"]) / "odd_images"
    found = mixed_in(tmp_path, {path.name: path.read_bytes() for path in folder.iterdir()})
    assert found["repaired"] == {
        "cmyk.jpg": "CMYK converted to RGB",
        "exif_orientation_6.jpg": "EXIF orientation 6 applied",
        "gif_named.jpg": "GIF stored as JPEG; palette converted to RGB",
        "png_16bit.png": "16 bits reduced to 8; transparency laid on white",
        "webp_named.jpg": "WEBP stored as JPEG",
    }
    assert found["skipped"] == {
        "empty.jpg": "empty file",
        "text_named.jpg": "not an image",
        "truncated.jpg": "truncated",
    }
