import types
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from common.input import pipeline
from common.training import log_writers, logger, run_state

ROW = {"epoch": 1, "split": "train", "learning_rate": 0.01, "data_loss": 2.25, "l2_loss": 0.5, "loss": 2.75}
ROW |= {"top1": 0.125, "top5": 0.5}


def test_figures_name_everything_the_most_wanted_first():
    assert logger.figures(ROW, 12.94, 0.014) == (
        "  loss 2.7500  top1 0.1250  12.9 images/s  data wait 1%  lr 0.01  (data 2.2500 + l2 0.5000)"
    )
    assert logger.figures(ROW, 12.94, 0.014, 32768.0, 2).endswith("  loss scale 32768, 2 steps skipped")
    drawn = {"loss": "█▄▁", "top1": "▁▄█"}
    assert logger.figures(ROW, 12.94, 0.014, drawn=drawn).startswith(
        "  loss 2.7500 █▄▁  top1 0.1250 ▁▄█  12.9 images/s"
    )


def test_other_workers_can_be_told_everything_and_say_nothing(capsys):
    silent = logger.Logger()
    silent.begin()
    silent.inputs(None)
    silent.step(1, 0.0)
    silent.steps([ROW])
    silent.interval(ROW, {})
    silent.epoch_ends()
    silent.epoch_begins()
    silent.validation(ROW, {}, ["line"])
    silent.flush()
    silent.stopped()
    silent.close()
    assert capsys.readouterr() == ("", "")
    assert {name for name in vars(logger.ChiefLogger) if not name.startswith("_")} == {
        name for name in vars(logger.Logger) if not name.startswith("_")
    }


@pytest.mark.parametrize("channels", ["rgb", "bgr"])
def test_the_sheet_of_inputs_shows_the_pictures_as_they_looked(channels):
    pixels = np.random.default_rng(0).integers(0, 256, (16, 8, 8, 3)).astype(np.float32)
    mean, std = (120.0, 110.0, 100.0), (50.0, 60.0, 70.0)
    preprocessing = pipeline.Preprocessing(8, 8, mean=mean, std=std, channels=channels)
    seen = pipeline.normaliser(preprocessing)(tf.constant(pixels))
    shown = {}

    class Board:
        def picture(self, name, sheet, step):
            shown[name] = sheet

    one = types.SimpleNamespace(experimental_local_results=lambda images: (images,))
    job = types.SimpleNamespace(
        run=Path(),
        mean=np.float32(mean),
        std=std,
        channels=channels,
        devices=types.SimpleNamespace(strategy=one),
        finish=run_state.as_they_are,
    )
    told = logger.ChiefLogger.__new__(logger.ChiefLogger)
    told.job, told.train = job, Board()
    told.inputs(seen)
    np.testing.assert_array_equal(shown["augmented_inputs"], log_writers.tile(pixels.astype(np.uint8), gap=4))
