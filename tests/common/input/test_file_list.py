"""Very many paths in little memory."""

import os

import numpy as np
import pytest

from common.input.file_list import Collector

PATHS = ["/tree/a/1.jpg", "/tree/a/z\udcff.JPG", "/tree/b/é.tif", "/tree/c/3.TIFF", "/tree/c/tiff"]


@pytest.fixture
def files():
    collector = Collector("/tree/")
    for path in PATHS:
        collector.add(path)
    return collector.collected()


def test_paths_come_back_as_they_were(files):
    assert list(files) == PATHS
    assert files[-1] == PATHS[-1]
    assert list(files[1:3]) == PATHS[1:3]
    assert list(files.names) == [path[6:] for path in PATHS]
    assert list(files.chosen(np.array([3, 0]))) == [PATHS[3], PATHS[0]]
    assert list(files[3:] + files[:1]) == [PATHS[3], PATHS[4], PATHS[0]]
    with pytest.raises(IndexError):
        files[5]


def test_endings_whatever_their_case(files):
    assert files.end_in((".tif", ".tiff")).tolist() == [False, False, True, True, False]
    assert files.end_in((".jpg",)).tolist() == [True, True, False, False, False]


def test_a_file_takes_its_name_and_twelve_bytes():
    collector = Collector("/data/imagenet/train/")
    for number in range(1000):
        collector.add(f"/data/imagenet/train/n01440764/n01440764_{number:05d}.JPEG")
    files = collector.collected()
    assert len(files.content) == 1000 * len("n01440764/n01440764_00000.JPEG")
    assert files.begins.nbytes + files.lengths.nbytes == 12 * 1000
    assert files.names.content is files.content is files[::2].content
    assert os.fsencode(files[7]).endswith(b"_00007.JPEG")
