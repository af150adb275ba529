import re
from pathlib import Path

import pytest

import tiny
from cli import range_test
from common.recipe import Recipe
from common.training import lr_range


@pytest.mark.parametrize(
    ("command", "given", "wanted"),
    [
        (
            ["alexnet.py", "--mode", "train", "--lr_range_test", "200", "--ckpt", "a b"],
            {"lr_range_test"},
            "python alexnet.py --mode train --ckpt 'a b' --learning_rate=0.03",
        ),
        (
            ["vgg16.py", "--lr_range_test=99", "--learning_rate=1", "--mode=train", "--learning_rate_batch", "256"],
            {"lr_range_test", "learning_rate", "learning_rate_batch"},
            "python vgg16.py --mode=train --learning_rate=0.03",
        ),
        (
            ["train.py", "--config", "run.yaml"],
            {"lr_range_test", "learning_rate_batch"},
            "python train.py --config run.yaml --lr_range_test=0 --learning_rate_batch=0 --learning_rate=0.03",
        ),
    ],
)
def test_the_command_that_trains_at_the_rate(command, given, wanted):
    assert range_test.training_command(command, given, 0.03) == wanted


def test_beside_a_run_the_command_names_another_directory(tmp_path):
    command = ["alexnet.py", "--ckpt", "ckpt/a", "--lr_range_test=9"]
    told = range_test.report(
        lr_range.Advice(0.5, 1.25, 0.1, 0.05), Path("ckpt/a/lr_range_test"), command, (), None, True
    )
    assert "train with it: python alexnet.py --ckpt=ckpt/a-0.05 --learning_rate=0.05\n" in told


def test_a_folder_of_something_else_is_refused_before_the_sweep(monkeypatch, tmp_path, capsys):
    tiny.register(monkeypatch, tmp_path)
    Path("pictures").mkdir()
    Path("pictures/a.jpg").write_bytes(b"")
    for name, said in (("pictures", "is not empty and holds no run"), ("pictures/a.jpg", "Not a directory")):
        with pytest.raises(SystemExit):
            tiny.start(name, "--lr_range_test", "40")
        printed = capsys.readouterr()
        assert said in printed.err
        assert "sweeping" not in printed.out
    assert [path.name for path in Path("pictures").iterdir()] == ["a.jpg"]


def test_the_classifiers_rate_keeps_its_proportion_to_the_suggested_one():
    """The sweep had it at 0.5 / 0.02 = 25 times the rate; at 0.03 that is 0.75."""
    head = range_test.head_share(Recipe(learning_rate=0.02, head_learning_rate=0.5))
    command = [
        "alexnet.py",
        "--restore=run",
        "--head_learning_rate",
        "0.5",
        "--learning_rate=0.02",
        "--lr_range_test=99",
    ]
    assert range_test.training_command(command, {"head_learning_rate"}, 0.03, head) == (
        "python alexnet.py --restore=run --learning_rate=0.03 --head_learning_rate=0.75"
    )
    assert range_test.head_share(Recipe(learning_rate=0.02, layer_decay=0.9)) is None


def test_what_is_said(tmp_path):
    told = range_test.report(lr_range.Advice(0.5, 1.25, 0.1, 0.05), tmp_path, ["alexnet.py"], ())
    assert told.splitlines()[0] == (
        "suggestion: learning rate 0.05, a tenth of 0.5, where the smoothed loss was lowest (1.2500); it fell fastest "
        "at 0.1"
    )
    edge = range_test.report(lr_range.Advice(10.0, 1.25, 0.1, 1.0), tmp_path, ["alexnet.py"], ())
    assert "a tenth of 10, the highest rate tried, where" in edge
    assert range_test.report(None, tmp_path, [], ()).startswith("no suggestion: the loss fell by less than 1%")


@pytest.fixture
def swept(monkeypatch, tmp_path, capsys):
    """A sweep into `run`: what it printed, its table."""
    tiny.register(monkeypatch, tmp_path)
    tiny.start("run", "--lr_range_test", "40")
    return capsys.readouterr().out, Path("run/lr_range_test/lr_range_test.csv").read_bytes()


def test_a_sweep_leaves_table_and_picture_and_the_command_to_train(swept):
    printed, table = swept
    left = sorted(path.name for path in Path("run").rglob("*"))
    assert left == ["lr_range_test", "lr_range_test.csv", "lr_range_test.png"]
    rate = re.search(r"suggestion: learning rate ([\d.e-]+), a tenth of", printed).group(1)
    assert re.search(rf"train with it: python .*--learning_rate={re.escape(rate)}\n", printed)
    assert 1e-4 < float(rate) < 1.0
    assert 20 < len(table.splitlines()) <= 41


@pytest.mark.slow
def test_a_sweep_is_a_function_of_the_seed_and_its_directory_is_free_for_the_training(swept):
    tiny.start("run", "--lr_range_test", "40")
    table = Path("run/lr_range_test/lr_range_test.csv")
    assert table.read_bytes() == swept[1]
    tiny.start("run", "--epochs", "1", "--learning_rate", "0.05")
    assert Path("run/results.json").exists()
    assert table.read_bytes() == swept[1]


def test_too_few_steps_are_refused(monkeypatch, tmp_path, capsys):
    tiny.register(monkeypatch, tmp_path)
    with pytest.raises(SystemExit):
        tiny.start("run", "--lr_range_test", "19")
    assert "--lr_range_test=19: too few steps; give at least 20, e.g. 200" in capsys.readouterr().err
    assert not Path("run").exists()
