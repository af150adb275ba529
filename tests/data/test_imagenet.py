"""ImageNet as downloaded, in miniature: three synsets, whose devkit numbers are not their alphabetical ranks."""

import io
import tarfile
from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat

from common.errors import UserError
from data import imagenet, writer
from tests.images import contents, jpeg, stored

WNIDS = ("n01440764", "n02102040", "n03000684")  # ranks 0, 1, 2
IDS = {1: "n02102040", 2: "n03000684", 3: "n01440764"}  # the devkit's ILSVRC2012_ID
TRUTH = (3, 1, 1, 2)  # of validation images 1..4
RANKS = (0, 1, 1, 2)


def add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.size = len(data)
    tar.addfile(info, io.BytesIO(data))


def tar_of(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, data in files.items():
            add(tar, name, data)
    return buffer.getvalue()


TRAIN = {
    wnid: {f"{wnid}_{number}.JPEG": jpeg(10 * rank + number) for number in range(2 + rank)}
    for rank, wnid in enumerate(WNIDS)
}
VALIDATION = {f"ILSVRC2012_val_0000000{number}.JPEG": jpeg(100 + number) for number in range(1, 5)}


def meta() -> bytes:
    """A meta.mat as the devkit has it: the leaves first, then a synset with children."""
    kinds = [("ILSVRC2012_ID", "f8"), ("WNID", "O"), ("words", "O"), ("num_children", "f8")]
    leaves = [(number, wnid, f"word of {wnid}, another", 0) for number, wnid in IDS.items()]
    synsets = np.array([*leaves, (4, "n00001740", "entity", 3)], dtype=kinds).reshape(-1, 1)
    buffer = io.BytesIO()
    savemat(buffer, {"synsets": synsets})
    return buffer.getvalue()


def write_tars(root: Path) -> None:
    root.mkdir(exist_ok=True)
    # Neither tar is in alphabetical order.
    inner = {f"{wnid}.tar": tar_of(dict(reversed(files.items()))) for wnid, files in reversed(TRAIN.items())}
    (root / imagenet.TRAIN_TAR).write_bytes(tar_of(inner))
    (root / imagenet.VALIDATION_TAR).write_bytes(tar_of(dict(reversed(VALIDATION.items()))))


def write_devkit_tar(root: Path) -> None:
    truth = "".join(f"{number}\n" for number in TRUTH).encode()
    with tarfile.open(root / imagenet.DEVKIT_TAR, "w:gz") as tar:
        add(tar, f"{imagenet.DEVKIT}/{imagenet.META}", meta())
        add(tar, f"{imagenet.DEVKIT}/{imagenet.GROUND_TRUTH}", truth)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    root = tmp_path_factory.mktemp("imagenet")
    write_tars(root / "in")
    write_devkit_tar(root / "in")
    assert imagenet.recognised(str(root / "in"))
    outcome = writer.write(imagenet.open_source(str(root / "in")), root / "out", writer.Options())
    assert outcome.skipped == ()
    assert outcome.info.classes == WNIDS
    assert outcome.info.extra["words"] == [f"word of {wnid}, another" for wnid in WNIDS]
    return root / "out"


def test_tars_are_read_in_place(prepared):
    assert stored(prepared, "train") == {
        f"train/{wnid}/{name}": (rank, data) for rank, wnid in enumerate(WNIDS) for name, data in TRAIN[wnid].items()
    }
    assert stored(prepared, "validation") == {
        f"val/{name}": (rank, data) for rank, (name, data) in zip(RANKS, VALIDATION.items(), strict=True)
    }


@pytest.mark.parametrize("train", ["folders", "tars"])
def test_unpacked_files_give_the_same_shards(tmp_path, prepared, train):
    root = tmp_path / "in"
    for wnid, files in TRAIN.items():
        folder = root / "train" / (wnid if train == "folders" else "")
        folder.mkdir(parents=True, exist_ok=True)
        if train == "tars":
            (folder / f"{wnid}.tar").write_bytes(tar_of(files))
        else:
            for name, data in files.items():
                (folder / name).write_bytes(data)
    (root / "val").mkdir()
    for name, data in VALIDATION.items():
        (root / "val" / name).write_bytes(data)
    (root / imagenet.DEVKIT).mkdir(parents=True)
    (root / imagenet.DEVKIT / imagenet.META).write_bytes(meta())
    (root / imagenet.DEVKIT / imagenet.GROUND_TRUTH).write_text("\n".join(map(str, TRUTH)))
    assert imagenet.recognised(str(root))
    writer.write(imagenet.open_source(str(root)), tmp_path / "out", writer.Options())
    assert contents(tmp_path / "out") == contents(prepared)


NAMES = list(VALIDATION)
BY_NUMBER = {1: "n01440764", 2: "n02102040", 3: "n02102040", 4: "n03000684"}


@pytest.mark.parametrize(
    "text",
    [
        "3\n1\n1\n2\n",
        "\n".join(BY_NUMBER.values()),
        "\n".join(f"{NAMES[n - 1]} {wnid}" for n, wnid in reversed(BY_NUMBER.items())),
        "\n".join(f"{NAMES[n - 1]} {rank}" for n, rank in zip(BY_NUMBER, RANKS, strict=True)),
        "ImageId,PredictionString\n"
        + "\n".join(f"{NAMES[n - 1][:-5]},{wnid} 85 1 499 272 {wnid} 1 2 3 4" for n, wnid in BY_NUMBER.items()),
    ],
    ids=["devkit", "synsets", "files-synsets", "caffe", "kaggle"],
)
def test_forms_of_label_files(text):
    assert imagenet.read_labels(text, "labels.txt", IDS, list(WNIDS)) == BY_NUMBER


@pytest.mark.parametrize(
    ("text", "ids", "message"),
    [
        ("3\n1\n", None, "its numbers are the devkit's; put meta.mat"),
        ("3\n7\n", IDS, "line 2: meta.mat has no synset 7"),
        ("n01440764\ncat\n", IDS, "line 2: 'cat' is no label"),
        ("ILSVRC2012_val_00000001.JPEG 0\nILSVRC2012_val_00000002.JPEG 3\n", IDS, "line 2: .* is no label"),
    ],
)
def test_label_files_that_cannot_be_read(text, ids, message):
    with pytest.raises(UserError, match=f"labels.txt: {message}") as caught:
        imagenet.read_labels(text, "labels.txt", ids, list(WNIDS))
    assert caught.value.exit_code == 1


def test_labels_by_flag_and_images_without_one(tmp_path):
    write_tars(tmp_path)
    with pytest.raises(UserError, match="no labels of the validation images"):
        imagenet.open_source(str(tmp_path))
    labels = tmp_path / "mine.txt"
    labels.write_text(f"{NAMES[0]} n01440764\n{NAMES[1]} n09999999\n")
    source = imagenet.open_source(str(tmp_path), str(labels))
    assert [(item.name, item.label) for item in source.splits["validation"]] == [(f"val/{NAMES[0]}", 0)]
    assert source.skipped == (
        (f"val/{NAMES[1]}", "its class n09999999 has no training images"),
        (f"val/{NAMES[2]}", "no label"),
        (f"val/{NAMES[3]}", "no label"),
    )
    with pytest.raises(UserError, match=r"--labels=nowhere.txt: No such file"):
        imagenet.open_source(str(tmp_path), "nowhere.txt")


@pytest.mark.parametrize("name", [imagenet.TRAIN_TAR, imagenet.VALIDATION_TAR])
def test_damaged_tars_are_named(tmp_path, name):
    write_tars(tmp_path)
    write_devkit_tar(tmp_path)
    whole = (tmp_path / name).read_bytes()
    for damaged in (whole[: len(whole) // 2], b"<html>not found</html>" * 100, b""):
        (tmp_path / name).write_bytes(damaged)
        with pytest.raises(UserError, match=f"{name}: ") as caught:
            imagenet.open_source(str(tmp_path))
        assert caught.value.exit_code == 1


def test_missing_parts_are_named(tmp_path):
    write_tars(tmp_path)
    write_devkit_tar(tmp_path)
    (tmp_path / imagenet.VALIDATION_TAR).unlink()
    with pytest.raises(UserError, match=r"neither ILSVRC2012_img_val.tar nor a folder val"):
        imagenet.open_source(str(tmp_path))
    write_tars(tmp_path)
    (tmp_path / imagenet.TRAIN_TAR).unlink()
    with pytest.raises(UserError, match=r"neither ILSVRC2012_img_train.tar nor a folder train"):
        imagenet.open_source(str(tmp_path))
