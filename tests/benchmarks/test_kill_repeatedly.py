import random
import subprocess
import sys
from pathlib import Path

import pytest

import tiny
from benchmarks import kill_repeatedly as faults
from common.runs import checkpoints

ROOT = Path(__file__).parents[2]


@pytest.fixture
def run(monkeypatch, tmp_path):
    tiny.register(monkeypatch, tmp_path)
    tiny.start("run", "--keep", "3", "--save_every", "10", "--epochs", "1")
    return tmp_path / "run"


@pytest.mark.slow
def test_a_run_is_like_itself_and_every_difference_is_found(run, monkeypatch, tmp_path):
    assert faults.differences(run, run) == []
    tiny.start("other", "--keep", "3", "--save_every", "10", "--epochs", "1", "--seed", "1")
    found = faults.differences(run, tmp_path / "other")
    assert "metrics.csv differs" in found
    assert any(line.startswith("variable model/") for line in found)
    (tmp_path / "other/tensorboard").rename(tmp_path / "gone")
    assert "TensorBoard's curves have other steps" in faults.differences(run, tmp_path / "other")


@pytest.mark.slow
def test_no_damage_loads_and_the_checkpoint_stays_as_it_was(run):
    before = {path: path.read_bytes() for path in checkpoints.folders(run)[0].iterdir()}
    tried, loaded = faults.damage(run)
    assert (tried, loaded) == (30, [])  # three files, five places, two ways
    assert {path: path.read_bytes() for path in before} == before


@pytest.mark.slow
def test_damage_that_is_not_noticed_is_told(run, monkeypatch):
    monkeypatch.setattr(checkpoints, "digest", lambda path: "same")
    for folder in checkpoints.folders(run):
        state = checkpoints.read_json(folder / "state.json")
        state.pop("checksum")
        state["files"] = dict.fromkeys(state["files"], "same")
        checkpoints.write_json(folder / "state.json", state | {"checksum": checkpoints._json_digest(state)})
    _, loaded = faults.damage(run)
    assert any(line.startswith("variables.data") for line in loaded)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.slow
def test_damage_between_kills_spares_the_last_sound_checkpoint(run, seed):
    draws = random.Random(seed)
    before = faults.sound_step(run)
    assert faults.damage_newest(run, draws)
    assert 0 < faults.sound_step(run) < before
    while faults.damage_newest(run, draws):
        pass
    assert faults.sound_step(run) > 0


@pytest.mark.slow
def test_kills_of_each_kind_leave_nothing_behind():
    command = [sys.executable, "benchmarks/kill_repeatedly.py", "--kills", "4", "--stops", "4", "--damages", "1"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    for run in ("sigkill-1", "sigterm-1", "sigkill-2", "sigterm-2"):
        (line,) = [line for line in result.stdout.splitlines() if line.startswith(f"{run}: ")]
        assert line.endswith("; same weights, metrics and curves")
        for moment in ("any 1", "saving 1", "validation 1", "the final test 1"):
            assert moment in line
