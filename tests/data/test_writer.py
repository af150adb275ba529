"""The writer: what is in the shards, and that interrupting it changes nothing."""

import csv
import io
import itertools
import os
import shutil

import numpy as np
import pytest
from PIL import Image

from common.errors import UserError
from common.input import records
from common.runs import locks
from data import folders, shards, source, writer
from data.source import Shares
from data.writer import Options
from tests.images import contents, jpeg, stored, tree

OPTIONS = Options(shards=3, mean_image=True)


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    root = tmp_path_factory.mktemp("source") / "pets"
    tree(root / "train", {"ant": 7, "bee": 9})
    tree(root / "val", {"ant": 2, "bee": 3}, seed=100)
    (root / "train" / "bee" / "bad.jpg").write_bytes(b"no image")
    (root / "train" / "ant" / "odd.jpg").write_bytes(jpeg(5, form="PNG"))
    return root


def listed(root):
    return folders.open_source(str(root), Shares(), 0)


@pytest.fixture(scope="module")
def prepared(images, tmp_path_factory):
    folder = tmp_path_factory.mktemp("undisturbed") / "out"
    outcome = writer.write(listed(images), folder, OPTIONS)
    assert not outcome.existed
    return folder


def rows(path):
    return list(csv.reader(io.StringIO(path.read_text("utf-8", "surrogateescape"))))


def test_every_image_is_stored_once_with_its_bytes(images, prepared):
    train, validation = stored(prepared, "train"), stored(prepared, "validation")
    assert len(train) == 17
    assert len(validation) == 5
    for name, (label, encoded) in (train | validation).items():
        assert label == ["ant", "bee"].index(name.split("/")[1])
        if name != "train/ant/odd.jpg":
            assert encoded == (images / name).read_bytes()
    assert train["train/ant/odd.jpg"][1].startswith(b"\xff\xd8\xff")
    assert rows(prepared / "skipped.csv") == [["file", "reason"], ["train/bee/bad.jpg", "not an image"]]
    assert rows(prepared / "repaired.csv") == [["file", "repair"], ["train/ant/odd.jpg", "PNG stored as JPEG"]]


def test_info_counts_and_checksums(prepared):
    info = records.read_info(prepared)
    assert info.name == "pets"
    assert info.splits["train"].per_class == (8, 9)
    assert info.splits["validation"].per_class == (2, 3)
    assert [shard.file for shard in info.splits["train"].shards] == [
        f"train-0000{i}-of-00003.tfrecord" for i in range(3)
    ]
    assert [shard.examples for shard in info.splits["train"].shards] == [6, 6, 5]
    assert len(info.splits["validation"].shards) == 1
    assert [fault for _, fault in records.verify(prepared)] == [None] * 4
    assert not (prepared / shards.WORK).exists()


def test_statistics_and_mean_image_are_those_of_the_stored_training_images(prepared):
    info = records.read_info(prepared)
    decoded = [np.asarray(Image.open(io.BytesIO(data))) for _, data in stored(prepared, "train").values()]
    pixels = np.concatenate([image.reshape(-1, 3) for image in decoded]).astype(np.float64)
    np.testing.assert_allclose(info.mean, pixels.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(info.std, pixels.std(axis=0), rtol=1e-12)
    mean_image = np.load(prepared / info.mean_image)
    assert (mean_image.shape, mean_image.dtype) == ((256, 256, 3), np.float32)
    scaled = [np.asarray(Image.fromarray(i).resize((341, 256), Image.Resampling.BILINEAR))[:, 42:298] for i in decoded]
    np.testing.assert_allclose(mean_image, np.mean(scaled, axis=0, dtype=np.float64), atol=1e-4)


def test_order_mixes_classes_and_depends_on_the_seed(images, tmp_path, prepared):
    labels = [label for label, _ in stored(prepared, "train").values()]
    assert 3 <= sum(a != b for a, b in itertools.pairwise(labels)) < 16
    writer.write(listed(images), tmp_path / "other", Options(shards=3, seed=1))
    assert list(stored(tmp_path / "other", "train")) != list(stored(prepared, "train"))


@pytest.mark.slow
def test_twice_is_the_same_to_the_byte_and_workers_do_not_matter(images, tmp_path, prepared):
    writer.write(listed(images), tmp_path / "out", OPTIONS, workers=2)
    assert contents(tmp_path / "out") == contents(prepared)


class Killed(BaseException):
    """Stands for SIGKILL: nothing in the program catches it."""


def test_killed_at_every_step_the_next_run_gives_the_same_files(images, tmp_path, prepared, monkeypatch):
    """Every step that changes what lies on the disk under a lasting name is a rename; fail before each, and after."""
    rename, steps = os.replace, 0

    def replace(*names):
        nonlocal steps
        steps += 1
        if steps == fail_at and before:
            raise Killed
        rename(*names)
        if steps == fail_at:
            raise Killed

    monkeypatch.setattr(os, "replace", replace)
    fail_at, before = 0, False
    writer.write(listed(images), tmp_path / "count", OPTIONS)
    total, expected = steps, contents(prepared)
    # Plan; shards and notes; sums of the training shards; two lists; mean image; an index a split; dataset.json.
    assert total == 1 + 4 * 2 + 3 + 2 + 1 + 2 + 1
    for fail_at in range(1, total + 1):
        for before in (True, False):
            folder, steps = tmp_path / f"{fail_at}-{before}", 0
            with pytest.raises(Killed):
                writer.write(listed(images), folder, OPTIONS)
            done = (folder / records.INFO_FILE).exists()
            assert done == (fail_at == total and not before)
            steps = -100
            outcome = writer.write(listed(images), folder, OPTIONS)
            assert outcome.existed == done
            assert outcome.skipped == (("train/bee/bad.jpg", "not an image"),)
            assert contents(folder) == expected


def crash(*_):
    raise Killed


def unfinished(images, folder, monkeypatch):
    """Leaves in `folder` all but dataset.json."""
    with monkeypatch.context() as patch:
        patch.setattr(records, "write_info", crash)
        with pytest.raises(Killed):
            writer.write(listed(images), folder, OPTIONS)


def test_finished_shards_are_not_written_again(images, tmp_path, monkeypatch):
    unfinished(images, tmp_path / "out", monkeypatch)
    monkeypatch.setattr(shards, "write_shard", crash)
    writer.write(listed(images), tmp_path / "out", OPTIONS)


def test_an_index_that_a_finished_data_set_lacks_is_made(images, tmp_path, prepared):
    """As one that an earlier version made; or one that is damaged."""
    shutil.copytree(prepared, tmp_path / "out")
    (tmp_path / "out" / "train.index.npy").unlink()
    (tmp_path / "out" / "validation.index.npy").write_bytes(b"damaged")
    assert writer.write(listed(images), tmp_path / "out", OPTIONS).existed
    assert contents(tmp_path / "out") == contents(prepared)


def test_another_plan_is_refused_and_the_difference_named(images, tmp_path, prepared, monkeypatch):
    before = contents(prepared)
    for options, difference in (
        (Options(resize=8, shards=3, mean_image=True), r"resize None -> 8\)"),
        (Options(shards=2, mean_image=True), r"train shards 3 -> 2\)"),
        (Options(shards=3, seed=4), r"seed 0 -> 4, mean_image True -> False\)"),
    ):
        with pytest.raises(UserError, match=f"holds a finished data set of another plan .{difference}") as caught:
            writer.write(listed(images), prepared, options)
        assert caught.value.exit_code == 1
    assert contents(prepared) == before

    unfinished(images, tmp_path / "out", monkeypatch)
    tree(tmp_path / "more" / "train", {"ant": 3, "bee": 3})
    with pytest.raises(UserError, match=r"an unfinished data set of another plan .*other train files"):
        writer.write(listed(tmp_path / "more"), tmp_path / "out", OPTIONS)
    with pytest.raises(UserError, match=r"seed 0 -> 1\)"):
        writer.write(listed(images), tmp_path / "out", Options(shards=3, seed=1, mean_image=True))


def test_folders_of_others_are_left_alone(images, tmp_path):
    (tmp_path / "thesis.tex").write_text("x")
    with pytest.raises(UserError, match="there are other files in this folder"):
        writer.write(listed(images), tmp_path, OPTIONS)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]
    with pytest.raises(UserError, match="this is a file"):
        writer.write(listed(images), tmp_path / "thesis.tex", OPTIONS)


def test_two_at_once_one_is_refused(images, tmp_path):
    work = tmp_path / "out" / shards.WORK
    work.mkdir(parents=True)
    holder = rf"--out=.*out is in use by process {os.getpid()} on .*; wait for it"
    with locks.hold(work / "lock", "out"), pytest.raises(UserError, match=holder):
        writer.write(listed(images), tmp_path / "out", OPTIONS)
    writer.write(listed(images), tmp_path / "out", OPTIONS)


def test_empty_classes_and_splits(tmp_path):
    root = tree(tmp_path / "a", {"train/x": 1, "train/y": 0, "val/x": 1})
    with pytest.raises(UserError, match="no training image for class 'y'"):
        writer.write(listed(root), tmp_path / "out", Options())
    assert not (tmp_path / "out").exists()
    (root / "train" / "y" / "1.jpg").write_bytes(b"")
    with pytest.raises(UserError, match=r"no training image for class 'y'.*see .*skipped.csv") as caught:
        writer.write(listed(root), tmp_path / "out", Options())
    assert caught.value.exit_code == 1
    assert rows(tmp_path / "out" / "skipped.csv")[1:] == [["train/y/1.jpg", "empty file"]]
    assert not (tmp_path / "out" / records.INFO_FILE).exists()
    root = tree(tmp_path / "b", {"train/x": 1, "val/x": 0})
    with pytest.raises(UserError, match="split validation: there is no image in it"):
        writer.write(listed(root), tmp_path / "out2", Options())
    (root / "val" / "x" / "1.jpg").write_bytes(b"")
    with pytest.raises(UserError, match="split validation: no usable image in it"):
        writer.write(listed(root), tmp_path / "out2", Options())


def test_strict_stops_before_the_data_set_is_finished(images, tmp_path, prepared):
    with pytest.raises(UserError, match="--strict: 1 files were skipped") as caught:
        writer.write(listed(images), tmp_path / "out", OPTIONS, strict=True)
    assert caught.value.exit_code == 1
    assert not (tmp_path / "out" / records.INFO_FILE).exists()
    writer.write(listed(images), tmp_path / "out", OPTIONS)
    assert contents(tmp_path / "out") == contents(prepared)


def test_unreadable_files_are_named(images, tmp_path, monkeypatch):
    def deny(path, *arguments):
        if path.endswith("train/ant/003.jpg"):
            raise PermissionError(13, "Permission denied", path)
        return open(path, *arguments)

    monkeypatch.setattr(source, "open", deny, raising=False)
    monkeypatch.setattr(source, "MAX_BYTES", 10_000)
    big = tree(tmp_path / "in" / "train", {"ant": 5, "bee": 1}).parent
    (big / "train" / "bee" / "huge.jpg").write_bytes(bytes(1 << 20))
    tree(big / "val", {"ant": 1})
    outcome = writer.write(listed(big), tmp_path / "out", Options())
    assert outcome.skipped == (
        ("train/ant/003.jpg", "cannot be read: Permission denied"),
        ("train/bee/huge.jpg", "file of 1 MiB"),
    )


def test_names_that_are_not_utf8_come_through(tmp_path):
    folder = os.fsencode(tmp_path) + b"/in/caf\xe9"
    os.makedirs(folder)
    for name, data in ((b"/\xff.jpg", jpeg(1)), (b"/\xfe.jpg", b"bad")):
        with open(folder + name, "wb") as file:
            file.write(data)
    writer.write(listed(tmp_path / "in"), tmp_path / "out", Options())
    assert records.read_info(tmp_path / "out").classes == ("caf\\xe9",)
    (name,) = stored(tmp_path / "out", "train")
    assert name.encode("utf-8", "surrogateescape") == b"caf\xe9/\xff.jpg"
    assert b"caf\xe9/\xfe.jpg,not an image\n" in (tmp_path / "out" / "skipped.csv").read_bytes()


def test_a_full_disk_is_one_line_and_leaves_nothing_half_written(images, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(UserError, match=r"train-00000-of-00003.tfrecord: No space left on device$") as caught:
            writer.write(listed(images), tmp_path / "out", OPTIONS)
    assert caught.value.exit_code == 1
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [shards.WORK]
    assert not list((tmp_path / "out" / shards.WORK).glob("*.tmp"))


def test_shard_counts():
    imagenet = {"train": 1_281_167, "validation": 50_000}
    assert writer.shard_counts(imagenet, None) == {"train": 1001, "validation": 40}
    assert writer.shard_counts(imagenet, 512) == {"train": 512, "validation": 20}
    assert writer.shard_counts({"train": 3, "test": 1}, 8) == {"train": 3, "test": 1}
