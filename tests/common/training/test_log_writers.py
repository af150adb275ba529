import re

import keras
import numpy as np
import tensorflow as tf

from common.training import log_writers, metrics_file

ROW = {"epoch": 1, "split": "train", "learning_rate": 0.01, "data_loss": 2.25, "l2_loss": 0.5, "loss": 2.75}
ROW |= {"top1": 0.125, "top5": 0.5}


def test_metrics_file_rewinds_to_a_step_and_drops_a_torn_row(tmp_path):
    metrics = metrics_file.MetricsFile(tmp_path)
    for step in (10, 20, 30):
        metrics.add({"step": step, **ROW})
    whole = metrics.path.read_text()
    assert whole.splitlines()[1] == "10,1,train,0.01,2.25,0.5,2.75,0.125,0.5"
    metrics.path.write_text(whole + "40,1,tra")
    metrics.rewind(20)
    assert metrics.path.read_text() == "".join(whole.splitlines(keepends=True)[:3])
    metrics.add({"step": 30, **ROW})
    assert metrics.path.read_text() == whole


def test_a_validation_that_no_checkpoint_knows_of_is_dropped_and_the_rest_of_its_step_stays(tmp_path):
    metrics = metrics_file.MetricsFile(tmp_path)
    metrics.add({"step": 20, **ROW, "split": "step"}, {"step": 20, **ROW})
    before = metrics.path.read_text()
    metrics.add({"step": 20, **ROW, "split": "validation"})
    metrics.rewind(20)
    assert metrics.path.read_text().count("validation") == 1
    metrics.rewind(20, validated=False)
    assert metrics.path.read_text() == before


def age(path) -> list[int]:
    """Of an event file, from the numbers in its name: seconds, process, how many that process wrote before (9, 10)."""
    return [int(number) for number in re.findall(r"\d+", path.name)]


def scalar_steps(folder, tag="loss") -> list[int]:
    steps = []
    for path in sorted(folder.glob("events.*"), key=age):
        for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator():
            event = tf.compat.v1.Event.FromString(record)
            steps += [event.step for value in event.summary.value if value.tag == tag]
    return steps


def write(run, folder, *steps):
    board = log_writers.TensorBoard(run, folder)
    for step in steps:
        board.scalars(step, {"loss": 1.0})
    board.close()


def test_tensorboard_points_after_a_step_are_removed_once_rewound(tmp_path):
    write(tmp_path, "train", 10, 20, 30)
    folder = tmp_path / log_writers.EVENTS_FOLDER / "train"
    event_file = next(folder.glob("events.*"))
    event_file.write_bytes(event_file.read_bytes() + b"torn by a kill")
    log_writers.rewind(tmp_path, 20)
    assert scalar_steps(folder) == [10, 20]
    write(tmp_path, "train", 30)
    assert scalar_steps(folder) == [10, 20, 30]
    log_writers.rewind(tmp_path, -1)
    assert list(folder.iterdir()) == []


def test_rewinding_to_before_a_validation_leaves_the_training_of_that_step(tmp_path):
    for folder in ("train", "validation", ""):
        write(tmp_path, folder, 10, 20, 30)
    log_writers.rewind(tmp_path, 20, validated=False)
    board = tmp_path / log_writers.EVENTS_FOLDER
    assert scalar_steps(board / "train") == [10, 20]
    assert scalar_steps(board / "validation") == scalar_steps(board) == [10]


def test_the_graph_has_a_node_a_layer_and_an_edge_for_each_input(tmp_path):
    image = keras.Input((4, 4, 3), name="image")
    left = keras.layers.Conv2D(2, 1, name="left")(image)
    right = keras.layers.Conv2D(2, 1, name="right")(image)
    board = log_writers.TensorBoard(tmp_path)
    board.graph(keras.Model(image, keras.layers.Add(name="sum")([left, right])))
    board.close()
    (path,) = (tmp_path / log_writers.EVENTS_FOLDER).glob("events.*")
    events = map(tf.compat.v1.Event.FromString, tf.data.TFRecordDataset(str(path)).as_numpy_iterator())
    (graph,) = [tf.compat.v1.GraphDef.FromString(event.graph_def) for event in events if event.graph_def]
    assert {node.name: list(node.input) for node in graph.node} == {
        "image": [],
        "left": ["image"],
        "right": ["image"],
        "sum": ["left", "right"],
    }
    assert [d.size for d in graph.node[1].attr["_output_shapes"].list.shape[0].dim] == [-1, 4, 4, 2]


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
