"""What a start leaves behind: a run, or nothing."""

import dataclasses
import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

import tiny
from cli import run_directory
from common.errors import UserError
from common.recipe import Recipe
from common.runs import checkpoints
from common.runs import config as runs
from common.training import trainer

CONFIG = runs.RunConfig("tiny", {}, ("a", "b"), 16, {"image_size": 16}, Recipe(epochs=1), "digits", 0, "float32")


@pytest.fixture(autouse=True)
def _here(monkeypatch, tmp_path):
    tiny.register(monkeypatch, tmp_path)


def opened(run: str):
    return run_directory.opened(Path(run), CONFIG, (), {}, True)


def fail(error: BaseException, within: AbstractContextManager, act: Callable[[], object] = bool) -> None:
    """Enters `within`, does something there, and fails."""
    with within:
        act()
        raise error


def test_a_start_that_fails_leaves_nothing_behind():
    def act():
        assert Path("new/run/config.json").exists()
        Path("new/run/tensorboard").mkdir()

    with pytest.raises(UserError, match="no layer fits"):
        fail(UserError("no layer fits"), opened("new/run"), act)
    assert not Path("new").exists()


def test_a_range_test_of_the_learning_rate_is_no_part_of_a_run():
    table = Path("run/lr_range_test/lr_range_test.csv")
    table.parent.mkdir(parents=True)
    table.write_text("step")
    with pytest.raises(UserError, match="no layer fits"):
        fail(UserError("no layer fits"), opened("run"))
    assert [path.name for path in Path("run").iterdir()] == ["lr_range_test"]
    with run_directory.ensemble(Path("run"), ["seed-0"], True):
        Path("run/seed-0").mkdir()
    assert table.read_text() == "step"


def test_what_was_in_the_folder_before_stays():
    Path("ckpt/run").mkdir(parents=True)
    Path("ckpt/run/.gitignore").write_text("*")
    with pytest.raises(KeyboardInterrupt):
        fail(KeyboardInterrupt(), opened("ckpt/run"))
    assert [path.name for path in Path("ckpt/run").iterdir()] == [".gitignore"]


def add_row():
    with open("run/metrics.csv", "a") as file:
        file.write("1,1,step,0.1,2,0,2,0.5,0.9\n")


@pytest.mark.parametrize("act", [add_row, lambda: checkpoints.save(Path("run"), {"step": 1}, {})])
def test_a_run_that_trained_stays(act):
    with pytest.raises(UserError):
        fail(UserError("the loss became nan"), opened("run"), act)
    assert runs.read(Path("run")) == CONFIG


def test_a_start_that_was_killed_before_its_first_step_binds_nobody():
    """It leaves config.json; the next command may ask for something else."""
    with opened("run"):
        pass
    other = dataclasses.replace(CONFIG, recipe=Recipe(epochs=7, learning_rate=0.5))
    with run_directory.opened(Path("run"), other, (), {}, True) as (config, checkpoint):
        assert (config, checkpoint) == (other, None)
    assert runs.read(Path("run")) == other
    add_row()
    with pytest.raises(UserError, match="run holds a run of other settings"):
        fail(KeyError(), opened("run"))
    with run_directory.opened(Path("run"), other, (), {}, True) as (config, _):
        assert config == other


def test_another_runs_failing_start_does_not_touch_it():
    with opened("run"):
        pass
    add_row()
    with pytest.raises(UserError):
        fail(UserError("no memory"), opened("run"))
    assert runs.read(Path("run")) == CONFIG


def test_running_out_of_memory_at_once_is_one_line_and_leaves_nothing(monkeypatch, capsys):
    monkeypatch.setattr(trainer, "fit", lambda *_: (_ for _ in ()).throw(MemoryError()))
    with pytest.raises(SystemExit) as caught:
        tiny.start("run", "--batch_size", "32")
    assert caught.value.code == 1
    assert "out of memory; give a smaller --batch_size" in capsys.readouterr().err
    assert not Path("run").exists()


def members() -> list[str]:
    return json.loads(Path("all/ensemble.json").read_text())["members"]


def test_an_ensemble_names_the_members_that_were_begun():
    def ensemble(*names):
        return run_directory.ensemble(Path("all"), [*names], True)

    with pytest.raises(UserError):
        fail(UserError("nothing was begun"), ensemble("seed-0", "seed-1"))
    assert not Path("all").exists()
    with pytest.raises(SystemExit):
        fail(SystemExit(143), ensemble("seed-0", "seed-1"), lambda: Path("all/seed-0").mkdir())
    assert members() == ["seed-0"]
    with ensemble("seed-1", "seed-2"):
        assert members() == ["seed-0", "seed-1", "seed-2"]
    assert members() == ["seed-0", "seed-1", "seed-2"]
