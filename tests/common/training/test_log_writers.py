import io
import re

import numpy as np
import pytest
import tensorflow as tf

from common.training import log_writers

ROW = {"epoch": 1, "split": "train", "learning_rate": 0.01, "data_loss": 2.25, "l2_loss": 0.5, "loss": 2.75}
ROW |= {"top1": 0.125, "top5": 0.5}


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0s"), (59.4, "59s"), (59.6, "1m00s"), (185, "3m05s"), (7620, "2h07m")]
)
def test_duration(seconds, text):
    assert log_writers.duration(seconds) == text


def test_metrics_file_rewinds_to_a_step_and_drops_a_torn_row(tmp_path):
    metrics = log_writers.MetricsFile(tmp_path)
    for step in (10, 20, 30):
        metrics.add({"step": step, **ROW})
    whole = metrics.path.read_text()
    assert whole.splitlines()[1] == "10,1,train,0.01,2.25,0.5,2.75,0.125,0.5"
    metrics.path.write_text(whole + "40,1,tra")
    metrics.rewind(20)
    assert metrics.path.read_text() == "".join(whole.splitlines(keepends=True)[:3])
    metrics.add({"step": 30, **ROW})
    assert metrics.path.read_text() == whole


def age(path) -> list[int]:
    """Of an event file, from the numbers in its name: seconds, process, how many that process wrote before (9, 10)."""
    return [int(number) for number in re.findall(r"\d+", path.name)]


def scalar_steps(folder) -> list[int]:
    steps = []
    for path in sorted(folder.glob("events.*"), key=age):
        for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator():
            event = tf.compat.v1.Event.FromString(record)
            steps += [event.step for value in event.summary.value if value.tag == "train/loss"]
    return steps


def test_tensorboard_points_after_a_step_are_removed_once_rewound(tmp_path):
    board = log_writers.TensorBoard(tmp_path)
    for step in (10, 20, 30):
        board.scalars(step, "train", {"loss": 1.0})
    board.close()
    folder = tmp_path / log_writers.EVENTS_FOLDER
    event_file = next(folder.glob("events.*"))
    event_file.write_bytes(event_file.read_bytes() + b"torn by a kill")
    log_writers.rewind(tmp_path, 20)
    assert scalar_steps(folder) == [10, 20]
    board = log_writers.TensorBoard(tmp_path)
    board.scalars(30, "train", {"loss": 2.0})
    board.close()
    assert scalar_steps(folder) == [10, 20, 30]
    log_writers.rewind(tmp_path, -1)
    assert list(folder.iterdir()) == []


def test_tile_places_pictures_row_by_row_with_white_between():
    pictures = np.stack([np.full((2, 3, 3), value, np.uint8) for value in (1, 2, 3)])
    sheet = log_writers.tile(pictures, gap=1)
    assert sheet.shape == (5, 7, 3)
    assert sheet[:, :, 0].tolist() == [
        [1, 1, 1, 255, 2, 2, 2],
        [1, 1, 1, 255, 2, 2, 2],
        [255] * 7,
        [3, 3, 3, 255, 255, 255, 255],
        [3, 3, 3, 255, 255, 255, 255],
    ]


def test_input_sheet_adds_the_mean_back_and_clips():
    images = np.zeros((1, 1, 2, 3), np.float32)
    images[0, 0, 1] = [-200, 0, 200]
    sheet = log_writers.input_sheet(images, np.array([100.4, 100.6, 100.0], np.float32))
    assert sheet.tolist() == [[[100, 101, 100], [0, 101, 255]]]


def test_filter_sheet_stretches_each_filter_to_the_whole_range():
    kernel = np.zeros((2, 2, 3, 2), np.float32)
    kernel[0, 0, :, 0] = 0.01
    kernel[1, 1, 0, 1] = -5
    sheet = log_writers.filter_sheet(kernel)
    assert sheet.shape == (32, 66, 3)  # 16 pixels a weight, two pixels between
    assert sheet[0, 0].tolist() == [255, 255, 255]
    assert sheet[31, 31].tolist() == [0, 0, 0]
    assert sheet[31, 65].tolist() == [0, 255, 255]


class Terminal(io.StringIO):
    def isatty(self):
        return True

    def fileno(self):
        return 1


def test_plain_lines_without_a_terminal():
    stream = io.StringIO()
    progress = log_writers.Progress(stream)
    progress.show("plain")
    progress.say("said")
    assert stream.getvalue() == "plain\nsaid\n"


def test_one_live_line_on_a_terminal(monkeypatch):
    monkeypatch.setattr(log_writers.os, "get_terminal_size", lambda _: log_writers.os.terminal_size((30, 10)))
    stream = Terminal()
    progress = log_writers.Progress(stream)
    progress.show("x" * 50)
    progress.show("short")
    progress.say("said")
    assert stream.getvalue() == "\r" + "x" * 29 + "\r" + "short".ljust(29) + "\r     \rsaid\n"


def test_progress_text_names_everything():
    text = log_writers.progress_text({"step": 27, **ROW}, 144, 16, 12.94, 0.014, 905)
    assert text == (
        "epoch 1/16  step 27/144  loss 2.7500 (data 2.2500 + l2 0.5000)  top1 0.1250  12.9 images/s  data wait 1%  "
        "lr 0.01  ETA 15m05s"
    )
