import dataclasses
import json

import pytest

from common.errors import UserError
from common.recipe import Recipe
from common.runs import checkpoints
from common.runs import config as runs

CONFIG = runs.RunConfig(
    arch="alexnet",
    options={},
    classes=("a", "b"),
    image_size=227,
    preprocessing={"image_size": 227, "mean": (1.0, 2.0, 3.0)},
    recipe=Recipe(epochs=3, schedule="piecewise", schedule_boundaries=(5, 9)),
    dataset="digits",
    seed=1,
    precision="float32",
)


def put(folder, **changes):
    folder.mkdir(parents=True)
    runs.write(folder, dataclasses.replace(CONFIG, **changes))
    return folder


def test_config_comes_back_equal(tmp_path):
    put(tmp_path / "run")
    assert runs.read(tmp_path / "run") == CONFIG
    saved = json.loads((tmp_path / "run" / "config.json").read_text())
    assert {"tensorflow", "keras", "python"} == set(saved["versions"])
    assert saved["recipe"]["schedule_boundaries"] == [5, 9]


def test_differences_are_named():
    other = dataclasses.replace(CONFIG, seed=2, classes=("a", "c"), recipe=Recipe(epochs=4))
    assert runs.differences(CONFIG, CONFIG) == []
    assert set(runs.differences(CONFIG, other)) == {
        "epochs: 3 -> 4",
        "schedule: piecewise -> plateau",
        "schedule_boundaries: (5, 9) -> ()",
        "seed: 1 -> 2",
        "classes differ",
    }


def test_find_takes_a_run_a_parent_or_a_checkpoint(tmp_path):
    run = put(tmp_path / "ckpt" / "mine")
    step = run / "checkpoints" / "step-00000001"
    step.mkdir(parents=True)
    (step / checkpoints.STATE_FILE).write_text("{}")
    members = ("alexnet", "alexnet_two_towers")
    assert runs.find(str(run), "alexnet", members) == (run, None)
    assert runs.find(str(tmp_path / "ckpt"), "alexnet", members) == (run, None)
    assert runs.find(str(step), "alexnet", members) == (run, step)


def test_find_among_several_takes_the_one_of_the_network(tmp_path):
    put(tmp_path / "one")
    two = put(tmp_path / "two", arch="alexnet_two_towers")
    members = ("alexnet", "alexnet_two_towers")
    assert runs.find(str(tmp_path), "alexnet_two_towers", members) == (two, None)
    put(tmp_path / "three")
    with pytest.raises(UserError, match="several runs could be meant"):
        runs.find(str(tmp_path), "alexnet", members)


def test_find_names_what_is_there_instead(tmp_path):
    put(tmp_path / "one", arch="vgg16")
    with pytest.raises(UserError, match="no run of alexnet here, only vgg16"):
        runs.find(str(tmp_path), "alexnet", ("alexnet",))
    with pytest.raises(UserError, match="no such directory"):
        runs.find(str(tmp_path / "nowhere"), "alexnet", ("alexnet",))


@pytest.mark.parametrize("text", ["", "{", '{"arch": "alexnet"}', "[]"])
def test_a_damaged_config_is_one_clear_error(tmp_path, text):
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(UserError, match=r"config\.json"):
        runs.read(tmp_path)
