from common.training import logger

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
    silent.interval(ROW)
    silent.epoch_ends()
    silent.epoch_begins()
    silent.validation(ROW, 0.0, ["line"])
    silent.flush()
    silent.stopped()
    silent.close()
    assert capsys.readouterr() == ("", "")
    assert {name for name in vars(logger.ChiefLogger) if not name.startswith("_")} == {
        name for name in vars(logger.Logger) if not name.startswith("_")
    }
