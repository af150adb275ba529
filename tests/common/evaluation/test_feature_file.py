import tracemalloc

import numpy as np
import pytest

from common.evaluation import feature_file


def others():
    return {"labels": np.arange(6), "classes": np.array(["ash", "Söl"])}


def test_features_come_in_parts_and_are_loaded_as_one(tmp_path):
    path, wanted = tmp_path / "features.npz", np.random.default_rng(0).normal(size=(6, 5)).astype("float32")
    feature_file.write(path, (6, 5), iter([wanted[:4], wanted[4:4], wanted[4:]]), others)
    with np.load(path, allow_pickle=False) as found:
        assert found.files == ["features", "labels", "classes"]
        assert found["features"].dtype == np.float32
        np.testing.assert_array_equal(found["features"], wanted)
        np.testing.assert_array_equal(found["labels"], np.arange(6))
        assert list(found["classes"]) == ["ash", "Söl"]
    assert list(tmp_path.iterdir()) == [path]


def test_features_are_never_in_memory_as_a_whole(tmp_path):
    part, count = 2**18, 32  # 1 MB each
    tracemalloc.start()
    parts = (np.full((1, part), number, np.float32) for number in range(count))
    feature_file.write(tmp_path / "features.npz", (count, part), parts, others)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 6 * 2**20
    with np.load(tmp_path / "features.npz") as found:
        np.testing.assert_array_equal(found["features"][:, -1], np.arange(count))


def test_there_may_be_fewer_rows_than_were_expected(tmp_path):
    path, wanted = tmp_path / "features.npz", np.random.default_rng(0).normal(size=(6, 5)).astype("float32")
    feature_file.write(path, (10**9, 5), iter([wanted[:4], wanted[4:]]), others, fewer=True)
    with np.load(path, allow_pickle=False) as found:
        assert found.files == ["features", "labels", "classes"]
        np.testing.assert_array_equal(found["features"], wanted)
        np.testing.assert_array_equal(found["labels"], np.arange(6))
    assert list(tmp_path.iterdir()) == [path]


def test_what_is_broken_off_leaves_nothing_and_spares_the_file_before(tmp_path):
    path = tmp_path / "features.npz"
    path.write_bytes(b"before")

    def parts():
        yield np.zeros((2, 3), np.float32)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        feature_file.write(path, (6, 3), parts(), others)
    with pytest.raises(ValueError, match="2 rows of features, 6 were expected"):
        feature_file.write(path, (6, 3), iter([np.zeros((2, 3), np.float32)]), others)
    assert [file.read_bytes() for file in tmp_path.iterdir()] == [b"before"]
