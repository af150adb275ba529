"""A tiny data set made with TFDS' own tools, offline."""

import io
import sys

import pytest

from common.errors import UserError
from data import tfds, writer
from data.source import Shares
from tests.images import contents, jpeg, stored

ROWS = {
    split: [(number % 2, jpeg(seed + number)) for number in range(count)]
    for split, count, seed in (("train", 20, 0), ("test", 4, 50))
}


def make(folder, name, features, splits, keys=None):
    """Stores a data set as TFDS does, for `tfds.builder(name)` to find."""
    library = pytest.importorskip("tensorflow_datasets")
    title = name

    class Builder(library.core.GeneratorBasedBuilder, skip_registration=True):
        VERSION = library.core.Version("1.0.0")
        name = title
        pkg_dir_path = folder

        def _info(self):
            made = library.features.FeaturesDict(features(library))
            return library.core.DatasetInfo(builder=self, features=made, supervised_keys=keys)

        def _split_generators(self, manager):
            return {split: enumerate(rows) for split, rows in splits.items()}

        def _generate_examples(self):
            raise NotImplementedError

    Builder(data_dir=str(folder)).download_and_prepare()


def images_and_labels(library):
    return {
        "image": library.features.Image(shape=(None, None, 3), encoding_format="jpeg"),
        "label": library.features.ClassLabel(names=["x", "y"]),
    }


@pytest.fixture(params=[("image", "label"), None], ids=["supervised", "by-feature"])
def tiny(tmp_path, monkeypatch, request):
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "tfds"))
    splits = {
        split: [{"image": io.BytesIO(data), "label": label} for label, data in rows] for split, rows in ROWS.items()
    }
    make(tmp_path / "tfds", "tiny", images_and_labels, splits, request.param)


def test_images_are_copied_and_missing_splits_cut_off(tiny, tmp_path):
    source = tfds.open_source("tfds:tiny", Shares(validation=0.2))
    assert source.classes == ("x", "y")
    assert {split: len(items) for split, items in source.splits.items()} == {"train": 16, "validation": 4, "test": 4}
    outcome = writer.write(source, tmp_path / "out", writer.Options(shards=3))
    assert outcome.skipped == ()
    found = {split: list(stored(tmp_path / "out", split).values()) for split in source.splits}
    assert sorted(found["train"] + found["validation"]) == sorted(ROWS["train"])
    assert sorted(found["test"]) == sorted(ROWS["test"])


@pytest.mark.parametrize("tiny", [None], indirect=True)
@pytest.mark.slow
def test_workers_read_the_same(tiny, tmp_path):
    source = tfds.open_source("tfds:tiny")
    writer.write(source, tmp_path / "here", writer.Options(shards=2))
    writer.write(source, tmp_path / "there", writer.Options(shards=2), workers=1)
    assert contents(tmp_path / "there") == contents(tmp_path / "here")


def test_prepare_does_its_work_once(tiny, tmp_path, monkeypatch):
    tfds.prepare("tfds:tiny", tmp_path / "out")
    assert len(stored(tmp_path / "out", "train")) == 18
    monkeypatch.setattr(tfds, "open_source", None)
    tfds.prepare("tfds:tiny", tmp_path / "out")


def test_sets_that_are_not_there_or_have_no_images(tmp_path, monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    make(tmp_path, "texts", lambda library: {"text": library.features.Text()}, {"train": [{"text": "a"}]})
    with pytest.raises(UserError, match="tfds:texts: not a set of images with one class each"):
        tfds.open_source("tfds:texts")
    make(tmp_path, "no_train", images_and_labels, {"test": [{"image": io.BytesIO(jpeg(0)), "label": 0}]})
    with pytest.raises(UserError, match="tfds:no_train: it has no split train, only test"):
        tfds.open_source("tfds:no_train")
    with pytest.raises(UserError, match="tfds:no_such_set: TFDS has no such data set"):
        tfds.open_source("tfds:no_such_set")


def test_without_tfds_the_package_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow_datasets", None)
    with pytest.raises(UserError, match=r"pip install tensorflow-datasets==4\.9\.10") as caught:
        tfds.open_source("tfds:mnist")
    assert caught.value.exit_code == 1
