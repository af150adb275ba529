"""Where records lie: workers read their own and no others, in the order in which one worker reads the files through."""

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from common.input import datasets, pipeline, record_index, records, splits
from common.input.order import order
from images import jpeg


def write(path, rows):
    with tf.io.TFRecordWriter(str(path)) as writer:
        for row in rows:
            writer.write(row)
    return path


def prepared(folder, counts, index=True):
    """Training shards of so many records, each with a number in its name, and one to validate with."""
    infos, number = {}, 0
    folder.mkdir(exist_ok=True)
    for split, sizes in (("train", counts), ("validation", (3,))):
        shards, lengths = [], []
        for shard, count in enumerate(sizes):
            rows = []
            for _ in range(count):
                name = f"{split}/{number}" + "x" * (number % 5)  # of different lengths
                rows.append(records.encode_example(jpeg(number), number % 2, "c", 12, 16, name, "JPEG"))
                number += 1
            path = write(folder / records.shard_name(split, shard, len(sizes)), rows)
            lengths += map(len, rows)
            shards.append(records.Shard(path.name, count, path.stat().st_size, records.checksum(path)))
        if index:
            (folder / records.index_name(split)).write_bytes(records.index_bytes(lengths))
        infos[split] = records.SplitInfo(tuple(shards), (sum(sizes), 0))
    records.write_info(folder, records.DatasetInfo("made", ("a", "b"), infos, (1.0, 2.0, 3.0), (4.0, 5.0, 6.0)))
    return folder


def ordered(split, count, **shares):
    """[(number, file name)] of the first elements of a worker."""
    elements = order(split, batch_size=4, seed=3, **shares).take(count).map(lambda n, e: (n, split.parse(e)[2]))
    return [(int(number), name.decode()) for number, name in elements.as_numpy_iterator()]


UNEVEN = (7, 1, 12, 3, 9, 5)


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """The user's cache, empty."""
    monkeypatch.setattr(record_index, "CACHE", "here")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture(params=["whole", "held out", "joined", "buffered"])
def split(request, tmp_path, monkeypatch):
    if request.param == "buffered":
        monkeypatch.setattr(splits, "SHUFFLE_BYTES", 3000)
        monkeypatch.setattr(splits, "OPEN_SHARDS", 3)
    folder = prepared(tmp_path, UNEVEN)
    if request.param == "joined":
        return datasets.open_dataset(str(folder), validation_share=0).splits["train"]
    if request.param == "held out":
        info = records.read_info(folder)
        del info.splits["validation"]
        records.write_info(folder, info)
    return datasets.open_dataset(str(folder), seed=2).splits["train"]


@pytest.mark.slow
def test_workers_and_resumed_runs_have_the_order_in_which_the_files_are_read_through(split):
    steps = split.examples // 4
    alone = ordered(split, 4 * 2 * steps)
    assert [number for number, _ in alone] == list(range(8 * steps))
    for epoch in (alone[: 4 * steps], alone[4 * steps :]):
        assert len({name for _, name in epoch}) == 4 * steps
    for worker in range(2):
        own = [one for one in alone if one[0] % 4 // 2 == worker]
        assert ordered(split, 4 * steps, worker=worker, workers=2) == own
    for start in (1, steps - 1, steps + 2):
        assert ordered(split, 8, start_step=start) == alone[4 * start :][:8] + ordered(split, 0)


def test_a_worker_reads_its_own_records_alone(tmp_path):
    """All records of the others are damaged: it would be noticed by the checksum."""
    folder = prepared(tmp_path, UNEVEN)
    train = datasets.open_dataset(str(folder)).splits["train"]
    steps = train.examples // 4
    mine = ordered(train, 2 * steps, worker=1, workers=2)
    names = {name for _, name in mine}
    numbered = [row for path in train.files for row in tf.data.TFRecordDataset(path).as_numpy_iterator()]
    all_names = [records.parse_example(tf.constant(row))[2].numpy().decode() for row in numbered]
    place = 0
    for path in train.files:
        content = bytearray(Path(path).read_bytes())
        begin = 0
        while begin < len(content):
            length = int.from_bytes(content[begin : begin + 8], "little")
            if all_names[place] not in names:
                content[begin + 12 + length // 2] ^= 1
            begin, place = begin + length + 16, place + 1
        Path(path).write_bytes(content)
    assert ordered(train, 2 * steps, worker=1, workers=2) == mine
    with pytest.raises(tf.errors.DataLossError):
        ordered(train, 2 * steps, worker=0, workers=2)


def test_in_one_pass_every_worker_reads_its_part_of_every_batch(tmp_path):
    data = datasets.open_dataset(str(prepared(tmp_path, (5, 6))))
    split = data.splits["train"]
    found = []
    for worker in range(2):
        made = pipeline.one_pass(split, lambda e: (tf.strings.length(e),), batch_size=4, worker=worker, workers=2)
        found.append([row for *_, index in made.as_numpy_iterator() for row in index.tolist()])
    assert found == [[0, 1, 4, 5, 8, 9], [2, 3, 6, 7, 10, -1]]


def test_an_index_is_made_once_and_kept(cache, tmp_path, monkeypatch):
    folder = prepared(tmp_path / "data", UNEVEN, index=False)
    before = sorted(path.name for path in folder.iterdir())
    first = datasets.open_dataset(str(folder)).splits["train"].record_files
    begins, sizes = (part.numpy() for part in first.places)
    assert len(begins) == sum(UNEVEN)
    place = 0
    for path, count in zip(first.files, UNEVEN, strict=True):
        content = Path(path).read_bytes()
        at = 0
        for _ in range(count):
            length = int.from_bytes(content[at : at + 8], "little")
            assert (begins[place], sizes[place]) == (at, length + 16)
            at, place = at + length + 16, place + 1
    assert len(list((cache / "here").glob("index-*.npy"))) == 1
    assert sorted(path.name for path in folder.iterdir()) == before  # nothing beside others' files
    monkeypatch.setattr(records, "record_lengths", lambda path: 1 / 0)
    again = datasets.open_dataset(str(folder)).splits["train"].record_files
    np.testing.assert_array_equal(again.places[0], begins)


def test_where_the_cache_cannot_be_written_it_is_made_anew(cache, tmp_path):
    cache.write_bytes(b"")  # a file
    folder = prepared(tmp_path / "data", UNEVEN, index=False)
    files = datasets.open_dataset(str(folder)).splits["train"].record_files
    assert len(files.places[0]) == sum(UNEVEN)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cache", "data"]


def test_one_worker_that_begins_needs_none(tmp_path, monkeypatch):
    monkeypatch.setattr(record_index.RecordFiles, "_lengths", lambda self: 1 / 0)
    train = datasets.open_dataset(str(prepared(tmp_path, UNEVEN, index=False))).splits["train"]
    assert len(ordered(train, 8)) == 8
    assert len(ordered(train, 8, start_step=train.examples // 4)) == 8  # at an epoch's begin


def test_an_index_of_other_records_that_fill_the_same_bytes_is_not_used(tmp_path):
    """As of a data set that was made in another order and copied over this one."""
    folder = prepared(tmp_path, (20, 17))
    want = datasets.open_dataset(str(folder)).splits["train"].record_files.places[1].numpy()
    lengths = np.load(folder / records.index_name("train"))
    mixed = np.concatenate([lengths[:20][::-1], lengths[20:]])
    assert (mixed != lengths).any()
    (folder / records.index_name("train")).write_bytes(records.index_bytes(mixed))
    np.testing.assert_array_equal(datasets.open_dataset(str(folder)).splits["train"].record_files.places[1], want)


@pytest.mark.parametrize(
    "content", [b"", b"\x93NUMPY damaged", records.index_bytes([4, 5]), records.index_bytes([9] * 37)]
)
def test_an_index_that_does_not_fit_the_files_is_not_used(tmp_path, content):
    folder = prepared(tmp_path, UNEVEN)
    want = datasets.open_dataset(str(folder)).splits["train"].record_files.places[1].numpy()
    (folder / records.index_name("train")).write_bytes(content)
    np.testing.assert_array_equal(datasets.open_dataset(str(folder)).splits["train"].record_files.places[1], want)


def test_the_order_of_a_million_records_is_small():
    """ImageNet's numbers: the shuffle buffer and the places, in bytes."""
    files = record_index.RecordFiles([str(i) for i in range(1001)], [1280] * 1000 + [1167])
    files._lengths = lambda: np.full(1_281_167, 110_000, np.uint32)
    begins, sizes = files.places
    assert begins.dtype.size * len(begins) + sizes.dtype.size * len(sizes) < 16e6
    assert (int(begins[1280]), int(begins[1281])) == (0, 110_016)
