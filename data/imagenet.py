"""ImageNet (ILSVRC 2012) as downloaded.

    python data/prepare.py --source FOLDER --out DIR --resize 256

FOLDER holds, as they come or unpacked:

    train        ILSVRC2012_img_train.tar (a tar of 1,000 tars), or train/ with WNID.tar files or WNID/ folders
    validation   ILSVRC2012_img_val.tar, or val/ with ILSVRC2012_val_00000001.JPEG ... in it
    labels       ILSVRC2012_devkit_t12.tar.gz, or its ILSVRC2012_validation_ground_truth.txt and meta.mat; or a file
                 of another of the forms that `read_labels` knows, also by --labels

Labels are the ranks of the WordNet ids in alphabetical order, 0..999, as everywhere but in the devkit. The tars are
read in place. A val/ that is sorted into WNID/ folders is a tree of class folders (data/folders.py).
"""

import io
import os
import re
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from common.errors import UserError
from common.input import folder_tree
from data.source import Item, Source

TRAIN_TAR, VALIDATION_TAR = "ILSVRC2012_img_train.tar", "ILSVRC2012_img_val.tar"
DEVKIT, DEVKIT_TAR = "ILSVRC2012_devkit_t12/data", "ILSVRC2012_devkit_t12.tar.gz"
GROUND_TRUTH, META = "ILSVRC2012_validation_ground_truth.txt", "meta.mat"
LABEL_FILES = (GROUND_TRUTH, "imagenet_2012_validation_synset_labels.txt", "LOC_val_solution.csv", "val.txt")
WORD_FILES = ("LOC_synset_mapping.txt", "synset_words.txt")
_WNID = re.compile(r"\bn\d{8}\b")
_VALIDATION = re.compile(r"ILSVRC2012_val_(\d{8})")


def recognised(path: str) -> bool:
    """Whether a folder holds ImageNet's tars, or validation images that are not sorted into class folders."""
    root = Path(path)
    if any((root / name).is_file() for name in (TRAIN_TAR, VALIDATION_TAR)):
        return True
    return any(_VALIDATION.match(file.name) for file in (root / "val").glob("ILSVRC2012_val_*.*"))


def tar_files(path: Path, start: int = 0, end: int | None = None) -> Iterator[tuple[str, int, int]]:
    """(name, offset, bytes) of the files in an uncompressed tar, or in one that lies at start..end of a file.

    Raises UserError where it is none or its end is missing.
    """
    end = path.stat().st_size if end is None else end
    try:
        with open(path, "rb") as file, _tar_at(file, start) as tar:
            for member in tar:
                if member.offset_data + member.size > end:
                    raise UserError(f"{path}: {member.name} goes beyond the end of the tar; download it again", 1)
                if member.isfile():
                    yield member.name, member.offset_data, member.size
    except tarfile.TarError as error:
        raise UserError(f"{path}: not a whole, uncompressed tar ({error})", 1) from error


def _tar_at(file: BinaryIO, start: int) -> tarfile.TarFile:
    file.seek(start)
    return tarfile.open(fileobj=file, mode="r:")


def _train(root: Path, skipped: list) -> dict[str, list[tuple[str, str, int, int]]]:
    """WNID -> (file name, path, offset, bytes) of its images."""
    found: dict[str, list] = {}
    if (root / TRAIN_TAR).is_file():
        for name, offset, size in tar_files(root / TRAIN_TAR):
            inner = tar_files(root / TRAIN_TAR, offset, offset + size)
            found[Path(name).stem] = [(Path(image).name, str(root / TRAIN_TAR), *place) for image, *place in inner]
        return found
    folder = root / "train"
    if not folder.is_dir():
        raise UserError(f"{root}: neither {TRAIN_TAR} nor a folder train here", 1)
    for path in sorted(folder.glob("n*.tar")):
        found[path.stem] = [(Path(image).name, str(path), *place) for image, *place in tar_files(path)]
    for entry in folder_tree.class_folders(str(folder), os.path.join(root, ""), skipped):
        found[entry.name] = _files(entry.path, root, skipped)
    return found


def _files(folder: str, root: Path, skipped: list) -> list[tuple[str, str, int, int]]:
    """(file name, path, offset, bytes) of the images under a folder."""
    paths = folder_tree.walk(folder, os.path.join(root, ""), skipped)
    return [(os.path.relpath(path, folder), path, 0, os.stat(path).st_size) for path in paths]


def _validation(root: Path, skipped: list) -> list[tuple[str, str, int, int]]:
    path = root / VALIDATION_TAR
    if path.is_file():
        return [(Path(name).name, str(path), offset, size) for name, offset, size in tar_files(path)]
    if (root / "val").is_dir():
        files = _files(str(root / "val"), root, skipped)
        return [(Path(name).name, path, offset, size) for name, path, offset, size in files]
    raise UserError(f"{root}: neither {VALIDATION_TAR} nor a folder val here", 1)


def _find(root: Path, name: str) -> bytes | None:
    """A file of the devkit, wherever it lies: in the folder, in the unpacked devkit, in the devkit's tar."""
    for path in (root / name, root / DEVKIT / name):
        if path.is_file():
            return path.read_bytes()
    if (root / DEVKIT_TAR).is_file():
        try:
            with tarfile.open(root / DEVKIT_TAR) as tar:
                file = tar.extractfile(f"{DEVKIT}/{name}")
                return file.read() if file else None
        except KeyError:
            return None
        except (tarfile.TarError, EOFError, OSError) as error:
            raise UserError(f"{root / DEVKIT_TAR}: cannot be read ({error})", 1) from error
    return None


def read_meta(content: bytes) -> tuple[dict[int, str], dict[str, str]]:
    """The devkit's meta.mat -> (ILSVRC2012_ID -> WNID, WNID -> words), of the synsets without children."""
    from scipy.io import loadmat

    synsets = loadmat(io.BytesIO(content), squeeze_me=True)["synsets"]
    leaves = [synset for synset in synsets if int(synset["num_children"]) == 0]
    return (
        {int(synset["ILSVRC2012_ID"]): str(synset["WNID"]) for synset in leaves},
        {str(synset["WNID"]): str(synset["words"]) for synset in leaves},
    )


def read_labels(text: str, where: str, ids: dict[int, str] | None, wnids: list[str]) -> dict[int, str]:
    """Number of a validation image (from 1) -> WNID, from the text of a label file.

    Known forms, one image a line:

        n01751748                                    a synset; line 7 is image 7
        ILSVRC2012_val_00000007.JPEG n01751748 ...   file and synset, in any order (also Kaggle's LOC_val_solution.csv)
        490                                          the devkit's ILSVRC2012_ID, 1..1000; needs meta.mat
        ILSVRC2012_val_00000007.JPEG 65              Caffe's: rank of the synset, 0..999

    Args:
        text: the file's content.
        where: its name, for messages.
        ids: meta.mat's numbers, or None.
        wnids: all synsets in alphabetical order.
    """
    found: dict[int, str] = {}
    for line_number, line in enumerate((line for line in text.splitlines() if line.strip()), start=1):
        file, synset, words = _VALIDATION.search(line), _WNID.search(line), line.split()
        number = int(file[1]) if file else line_number
        if synset:
            found[number] = synset[0]
        elif file and len(words) == 2 and words[1].isdecimal() and int(words[1]) < len(wnids):
            found[number] = wnids[int(words[1])]
        elif not file and len(words) == 1 and words[0].isdecimal():
            if ids is None:
                raise UserError(f"{where}: its numbers are the devkit's; put {META} or {DEVKIT_TAR} beside it", 1)
            if int(words[0]) not in ids:
                raise UserError(f"{where}: line {line_number}: {META} has no synset {words[0]}", 1)
            found[number] = ids[int(words[0])]
        elif line_number > 1 or found:  # the first line may be a table's heading
            raise UserError(f"{where}: line {line_number}: {line.strip()[:60]!r} is no label of a known form", 1)
    return found


def open_source(path: str, labels: str | None = None) -> Source:
    """Lists ImageNet in the folder `path`; `labels` names the validation labels where they are not beside it."""
    root = Path(path)
    skipped: list[tuple[str, str]] = []
    train = _train(root, skipped)
    classes = sorted(train)
    validation = _validation(root, skipped)
    meta = _find(root, META)
    ids, words = read_meta(meta) if meta else (None, _words(root))
    name = labels or next((name for name in LABEL_FILES if _find(root, name) is not None), None)
    if name is None:
        raise UserError(
            f"{root}: no labels of the validation images; put {DEVKIT_TAR} here, or name a label file with --labels", 1
        )
    try:
        content = Path(labels).read_bytes() if labels else _find(root, name)
    except OSError as error:
        raise UserError(f"--labels={labels}: {error.strerror}") from error
    assert content is not None  # it was found just above
    by_number = read_labels(content.decode("utf-8", "replace"), name, ids, classes)
    ranks = {wnid: rank for rank, wnid in enumerate(classes)}
    items = {
        "train": [
            Item(f"train/{wnid}/{file}", ranks[wnid], path, offset, size)
            for wnid in classes
            for file, path, offset, size in sorted(train[wnid])
        ],
        "validation": [],
    }
    for file, place, offset, size in sorted(validation):
        match = _VALIDATION.match(file)
        wnid = by_number.get(int(match[1])) if match else None
        if wnid in ranks:
            items["validation"].append(Item(f"val/{file}", ranks[wnid], place, offset, size))
        else:
            skipped.append((f"val/{file}", f"its class {wnid} has no training images" if wnid else "no label"))
    extra = {"words": [words.get(wnid, wnid) for wnid in classes]} if words else {}
    return Source("imagenet", "imagenet", tuple(classes), items, skipped=tuple(skipped), extra=extra)


def _words(root: Path) -> dict[str, str]:
    """WNID -> words, from a list of `n01440764 tench, Tinca tinca` lines, where there is one."""
    for name in WORD_FILES:
        if (root / name).is_file():
            lines = (root / name).read_text(encoding="utf-8", errors="replace").splitlines()
            return {line.split()[0]: line.split(maxsplit=1)[1] for line in lines if len(line.split()) > 1}
    return {}
