import io

from PIL import Image

from benchmarks import reading
from common.input import records


def test_the_set_is_whole_and_its_picture_of_imagenets_size(tmp_path):
    size = reading.make(tmp_path, 7, files=3)
    assert records.is_whole(tmp_path)
    assert [shard.examples for shard in records.read_info(tmp_path).splits["train"].shards] == [3, 2, 2]
    assert 60_000 < size < 1.01 * reading.JPEG
    assert Image.open(io.BytesIO(reading.picture())).size == (500, 375)


def test_ratios_are_of_turns():
    one = reading.Worker(1, {}, 0.5, 1.0, 0.0, {"read": [100.0, 200.0, 400.0], "ready": [10.0]})
    many = reading.Worker(64, {}, 0.5, 1.0, 7.0, {"read": [110.0, 400.0, 420.0], "ready": [20.0]})
    lines = reading.table([one, many]).splitlines()
    assert lines[1].split() == ["1", "0.0", "200.0", "1.00", "10.0", "1.00", "0.50", "1"]
    assert lines[2].split() == ["64", "7.0", "400.0", "1.10", "20.0", "2.00", "0.50", "1"]
