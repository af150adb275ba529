import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from common import recipe as recipes
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


def test_options_differ_one_by_one():
    old = dataclasses.replace(CONFIG, options={"lrn": "paper", "norm": "none"})
    new = dataclasses.replace(CONFIG, options={"lrn": "caffe", "norm": "none"})
    assert runs.differences(old, new) == ["lrn: paper -> caffe"]


OPEN = ("piecewise", "constant")


def resumed(run, *given, **changes):
    """What a run of CONFIG in `run` goes on with where the command line asks for CONFIG with changes."""
    return runs.resumed(run, dataclasses.replace(CONFIG, **changes), given, {}, OPEN)


def test_on_resume_what_was_measured_holds_and_the_precision_unless_it_is_given(tmp_path):
    run = put(tmp_path / "run")
    moved = {"image_size": 227, "mean": (1.5, 2.0, 3.0)}  # as after the removal of a damaged image
    assert resumed(run, preprocessing=moved, precision="mixed_bfloat16") == CONFIG
    assert resumed(run, recipe_name="modern") == CONFIG  # which the fields of the recipe must agree with
    with pytest.raises(UserError, match="precision: float32 -> mixed_bfloat16"):
        resumed(run, "precision", precision="mixed_bfloat16")
    with pytest.raises(UserError, match=r"holds a run of other settings \(epochs: 3 -> 4; seed: 1 -> 2\)"):
        resumed(run, "epochs", recipe=dataclasses.replace(CONFIG.recipe, epochs=4), seed=2)


def test_a_run_may_be_made_longer_where_its_schedule_does_not_look_at_the_length(tmp_path):
    run = put(tmp_path / "run")
    longer = dataclasses.replace(CONFIG.recipe, epochs=7)
    assert resumed(run, "epochs", recipe=longer).recipe.epochs == 7
    assert resumed(run, recipe=longer) == CONFIG  # the recipe's own length, which nobody asked for
    with pytest.raises(UserError, match=r"\(epochs: 3 -> 2\)"):
        resumed(run, "epochs", recipe=dataclasses.replace(CONFIG.recipe, epochs=2))
    cosine = dataclasses.replace(CONFIG.recipe, schedule="cosine")
    run = put(tmp_path / "cosine", recipe=cosine)
    with pytest.raises(UserError, match=r"--epochs=7: the learning rate of cosine .* with --restore "):
        resumed(run, "epochs", recipe=dataclasses.replace(cosine, epochs=7))


@pytest.mark.parametrize("schedule", ["constant", "cosine"])
def test_a_run_that_was_fitted_into_a_time_keeps_its_steps_whatever_its_schedule(tmp_path, schedule):
    recipe = dataclasses.replace(CONFIG.recipe, schedule=schedule)
    run = put(tmp_path / "run", recipe=recipe, minutes=5.0, steps=1234)
    with pytest.raises(UserError) as caught:
        resumed(run, "epochs", recipe=dataclasses.replace(recipe, epochs=7), minutes=5.0)
    assert str(caught.value) == (
        f"--epochs=7: {run} was fitted into 5 minutes, 1,234 steps, and keeps them; train on from it with "
        f"--restore {run} and another --ckpt"
    )


def test_on_resume_the_source_of_the_weights_is_compared(tmp_path):
    file, other = {"path": "/w.npz", "sha256": "12345678aa"}, {"path": "/w.npz", "sha256": "abcdefabaa"}
    run = put(tmp_path / "run", started_from=file)
    assert resumed(run, started_from=file).started_from == file
    for asked, message in ((None, "/w.npz (12345678) -> nothing"), (other, "/w.npz (12345678) -> /w.npz (abcdefab)")):
        with pytest.raises(UserError) as caught:
            resumed(run, started_from=asked)
        assert f"restore: {message}" in str(caught.value)
    # The best checkpoint of a run that trains on is another one by now: still the same run.
    run = put(tmp_path / "second", started_from={"path": "/run", "checkpoint": "step-00000010"})
    found = resumed(run, started_from={"path": "/run", "checkpoint": "step-00000020"})
    assert found.started_from["checkpoint"] == "step-00000010"


DEFAULTS = {"shortcut": "A", "norm": "batch", "batch_norm": "replica"}


def earlier(folder):
    """A run directory as an earlier version left it, and what this version asks for by the same command."""
    folder.mkdir()
    shutil.copyfile(Path(__file__).with_name("earlier_config.json"), folder / "config.json")
    recipe = recipes.from_dict(json.loads((folder / "config.json").read_text())["recipe"])
    now = dataclasses.replace(
        runs.read(folder),
        options=DEFAULTS,
        recipe=dataclasses.replace(recipe, classifier_initializer="gaussian"),  # the network's recipe has it by now
    )
    return folder, now


def test_what_an_earlier_version_did_not_write_means_what_it_did(tmp_path):
    run, now = earlier(tmp_path / "run")
    read = runs.read(run)
    assert (read.recipe.classifier_initializer, read.started_from, read.deterministic) == (None, None, False)
    assert (read.recipe.schedule_boundaries, read.recipe.ema, read.options["shortcut"]) == ((32000, 48000), 0.98, "A")
    found = runs.resumed(run, now, {"arch", "ckpt", "image_size"}, DEFAULTS, OPEN)
    assert found.recipe.classifier_initializer is None
    assert found.options == DEFAULTS
    started = dataclasses.replace(now, started_from={"path": "/old", "checkpoint": "step-00000001"})
    assert runs.resumed(run, started, {"restore"}, DEFAULTS, OPEN).started_from is None


@pytest.mark.parametrize(
    ("given", "changes", "message"),
    [
        ("classifier_initializer", {}, "classifier_initializer: None -> gaussian"),
        ("norm", {"options": DEFAULTS | {"norm": "none"}}, "norm: batch -> none"),
        ("shortcut", {"options": DEFAULTS | {"shortcut": "B"}}, "shortcut: A -> B"),
        ("deterministic", {"deterministic": True}, "deterministic: False -> True"),
    ],
)
def test_what_is_asked_for_is_a_difference_to_an_earlier_version_too(tmp_path, given, changes, message):
    run, now = earlier(tmp_path / "run")
    with pytest.raises(UserError) as caught:
        runs.resumed(run, dataclasses.replace(now, **changes), {given}, DEFAULTS, OPEN)
    assert message in str(caught.value)


def test_a_mean_image_is_copied_into_the_run(tmp_path, monkeypatch):
    picture = np.random.default_rng(0).normal(size=(4, 4, 3)).astype(np.float32)
    np.save(tmp_path / "mean.npy", picture)
    monkeypatch.chdir(tmp_path)
    put(tmp_path / "run", preprocessing={"image_size": 4, "mean_image": "mean.npy"})
    (tmp_path / "mean.npy").unlink()
    (tmp_path / "run").rename(tmp_path / "moved")
    monkeypatch.chdir("/")
    found = runs.read(tmp_path / "moved").preprocessing
    np.testing.assert_array_equal(np.load(found["mean_image"]), picture)


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
