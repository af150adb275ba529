import json

import tensorflow as tf

import reports
from common.report import record
from common.training import log_writers


def test_everything_is_read_and_what_is_torn_or_damaged_left_out(tmp_path):
    run = reports.run(tmp_path / "run")
    (run / "results-dense.json").write_text("{")
    (run / "results_of_mine.json").write_text("{}")
    found = record.read(run)
    assert found.config["command"][0] == "alexnet.py"
    assert [tuple(row.values()) for row in found.rows] == reports.rows()
    assert list(found.results) == ["", "10crops"]
    assert found.results[""] == json.loads((run / "results.json").read_text())
    assert found.best == found.rows[-1]


def test_the_best_validation_has_the_highest_top1_and_of_equals_the_lowest_loss(tmp_path):
    figures = [("validation", 0.5, 1.0), ("validation", 0.7, 2.0), ("validation", 0.7, 1.5), ("train", 0.9, 0.1)]
    rows = tuple({"split": split, "top1": top1, "loss": loss} for split, top1, loss in figures)
    assert record.Record(tmp_path, {}, rows, {}).best is rows[2]


def test_speed_is_what_tensorboard_was_told(tmp_path):
    board = log_writers.TensorBoard(tmp_path, "train")
    for step, speed, waited in ((10, 100.0, 0.5), (20, 200.0, 0.25)):
        board.scalars(step, {"loss": 1.0, "images_per_second": speed, "data_wait_share": waited})
    board.close()
    (file,) = (tmp_path / "tensorboard/train").glob("events.*")
    assert tf.io.gfile.exists(str(file))
    assert record.speed(tmp_path) == ((10, 100.0, 0.5), (20, 200.0, 0.25))
    file.write_bytes(file.read_bytes()[:-7])  # as a kill leaves it
    assert record.speed(tmp_path) == ((10, 100.0, 0.5),)
