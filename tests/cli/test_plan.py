"""A training command resolved: which network, which splits, what it starts from, and what does not go together."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

import images as made
import resnet34
import tiny
from cli import flags, plan, setup
from cli import trained as trained_networks
from common import distribution
from common.errors import UserError
from common.runs import checkpoints
from common.runs import config as runs
from common.training import trainer


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """`first`, a run of `tiny` with a moving average; `leaves`, one on class folders without splits."""
    root = tmp_path_factory.mktemp("plan")
    with pytest.MonkeyPatch.context() as patch:
        tiny.register(patch, root)
        tiny.start("first", "--epochs", "1", "--ema", "0.98")
        made.tree(root / "photos", {"oak": 30, "ash": 30})
        tiny.start("leaves", "--epochs", "1", "--dataset", "photos", "--batch_size", "16")
    return root


@pytest.fixture(autouse=True)
def _here(folder, monkeypatch):
    tiny.register(monkeypatch, folder)


def planned(*arguments: str, family: str | None = "alexnet") -> plan.Plan:
    return plan.make(flags.parse(["--mode=train", *arguments]), family)


def refused(capsys, *arguments: str, code: int = 2) -> str:
    capsys.readouterr()
    with pytest.raises(SystemExit) as caught:
        tiny.run("--mode", "train", *arguments)
    error = capsys.readouterr().err
    assert caught.value.code == code
    assert error.count("\n") == 1
    return error


def test_training_takes_the_network_from_the_weights():
    assert planned("--restore=first").architecture.name == "tiny"
    assert planned("--restore=first", family=None).architecture.name == "tiny"
    assert planned("--restore=first", "--arch=tiny").run == Path("ckpt/tiny")
    assert planned().architecture.name == "alexnet"


def test_a_recipe_may_name_the_image_size_which_a_flag_overrides():
    small = planned("--arch=resnet18", "--recipe=small", family="resnet34").config
    size = resnet34.SMALL["image_size"]
    assert (small.image_size, small.preprocessing["image_size"], small.recipe_name) == (size, size, "small")
    assert planned("--arch=resnet18", "--recipe=small", "--image_size=64", family="resnet34").config.image_size == 64
    assert planned("--arch=resnet18", "--recipe=modern", family="resnet34").config.image_size == 224
    assert planned("--arch=resnet18", family="resnet34").config.recipe_name == "lab"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--restore=first", "--arch=alexnet"), "first holds tiny, which alexnet cannot start from; leave --arch out"),
        (("--restore=first,leaves",), "--restore=first,leaves: 2 networks; training starts from one"),
        (("--restore=nowhere",), "--restore=nowhere: no such directory"),
    ],
)
def test_a_start_that_is_refused_leaves_nothing(capsys, arguments, message):
    assert message in refused(capsys, *arguments, "--ckpt=new/run")
    assert not Path("new").exists()


def test_weights_of_another_script_are_named_with_it(capsys):
    with pytest.raises(UserError, match=r"--restore=first: tiny is not in vgg16\.py, .*; use alexnet\.py"):
        planned("--restore=first", family="vgg16")


def test_the_source_stands_in_config_json_and_is_compared_on_resume(capsys):
    tiny.start("second", "--restore", "first", "--epochs", "1")
    source = runs.read(Path("second")).started_from
    assert source == {"path": str(Path("first").resolve()), "checkpoint": "step-00000019"}
    where = ("--arch", "tiny", "--ckpt", "second", "--epochs", "1", "--batch_size", "64", "--ema", "0")
    assert f"restore: {source['path']} -> nothing" in refused(capsys, *where)
    exact = "first/checkpoints/step-00000019"
    assert f"-> {Path(exact).resolve()}" in refused(capsys, *where, "--restore", exact)
    assert "restore: nothing ->" in refused(
        capsys, "--arch", "tiny", "--ckpt", "first", "--epochs", "1", "--batch_size", "64", "--ema", "0.98",
        "--restore", "second",
    )  # fmt: skip


def weights(folder: Path, group: str) -> dict[str, np.ndarray]:
    reader = tf.train.load_checkpoint(str(folder / "variables"))
    names = [name for name in reader.get_variable_to_shape_map() if name.startswith(f"{group}/")]
    return {
        name.removeprefix(f"{group}/").split("/.ATTR")[0].replace(".S", "/"): reader.get_tensor(name) for name in names
    }


def test_what_was_tested_is_what_training_and_every_other_mode_restore():
    """The moving averages, which are far from the weights after one epoch."""
    folder = checkpoints.best(Path("first")).folder
    averages, raw = weights(folder, "average"), weights(folder, "model")
    assert np.abs(averages["conv1/kernel"] - raw["conv1/kernel"]).max() > 1e-3
    command = planned("--restore=first")
    model = setup.build_model(command.architecture, command.config)
    trained_networks.transfer(command.start, command.architecture, model, command.config.classes)
    options = flags.parse(["--mode=features", "--restore=first", "--arch=tiny"])
    for one in (model, trained_networks.build(trained_networks.one(options, "alexnet"))):
        for variable in one.variables:
            if variable.path in averages:
                np.testing.assert_array_equal(variable.numpy(), averages[variable.path])


def test_training_on_keeps_the_splits_of_the_run_it_starts_from():
    """A tree without splits: another seed would draw images that the old run was trained on for the new test."""
    old = planned("--dataset=photos", "--arch=tiny", "--batch_size=16")
    new = planned("--dataset=./photos", "--restore=leaves", "--seed=1", "--batch_size=16")
    fresh = planned("--dataset=photos", "--arch=tiny", "--seed=1", "--batch_size=16")
    assert (new.config.seed, new.config.data_seed) == (1, 0)
    for name in ("train", "validation", "test"):
        assert [os.path.normpath(file) for file in new.data.splits[name].files] == [*old.data.splits[name].files]
    assert set(fresh.data.splits["test"].files) & set(old.data.splits["train"].files)
    member = new.member(2)
    assert (member.config.seed, member.config.data_seed, member.run.name) == (2, 0, "seed-2")
    assert new.member(0).config.split_seed is None


def test_every_split_that_training_needs_must_be_there(capsys):
    made.tree(Path("few"), {"oak": 3, "ash": 3})
    for name, dataset in (("validation", "few"), ("train", "test_only")):
        if name == "train":
            shutil.copytree(setup.DATASETS / "digits", dataset)
            info = json.loads(Path(dataset, "dataset.json").read_text())
            info["splits"] = {"test": info["splits"]["test"]}
            Path(dataset, "dataset.json").write_text(json.dumps(info))
        error = refused(capsys, "--arch=tiny", f"--dataset={dataset}", "--batch_size=2", "--ckpt=new", code=1)
        assert f"--dataset={dataset}: " in error
        assert f"has no {name} split" in error
        assert not Path("new").exists()


def test_a_mean_image_comes_along_with_the_run(monkeypatch, tmp_path, capsys):
    shutil.copytree("datasets/digits", tmp_path / "digits")
    picture = np.full((16, 16, 3), 50, np.float32)
    np.save(tmp_path / "digits/mean.npy", picture)
    info = json.loads((tmp_path / "digits/dataset.json").read_text())
    (tmp_path / "digits/dataset.json").write_text(json.dumps(info | {"mean_image": "mean.npy"}))
    run = tmp_path / "run"
    data = ("--dataset", str(tmp_path / "digits"))
    tiny.start(str(run), *data, "--epochs", "1", "--mean", "image")
    (tmp_path / "digits/mean.npy").unlink()
    monkeypatch.chdir("/")
    capsys.readouterr()
    tiny.run("--mode", "test", "--arch", "tiny", "--restore", str(run), *data)
    tested = capsys.readouterr().out.splitlines()[-1]
    assert tested.startswith(f"test top1 {json.loads((run / 'results.json').read_text())['top1']:.4f}")


def test_a_dry_run_counts_an_ensembles_runs_and_names_the_data_set_it_prepared(monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    lines = []
    for _ in range(2):
        tiny.start("all", "--dry_run", "--ensemble", "3")
        lines.append(capsys.readouterr().out.splitlines()[-1])
    assert all(" for 3 runs: " in line and " for 38 steps (" in line for line in lines)
    assert lines[0].endswith("nothing was written but the data set, datasets/digits")
    assert lines[1].endswith("nothing was written")
    assert not Path("all").exists()


def test_a_batch_in_parts_must_divide_and_has_no_global_statistics(monkeypatch, capsys):
    with pytest.raises(UserError, match="--accumulate=5 does not divide a replica's 64 images of --batch_size"):
        planned("--arch=tiny", "--accumulate=5")
    assert planned("--arch=tiny", "--accumulate=4", "--batch_norm=global").config.recipe.accumulate == 4
    two = distribution.Devices(None, 0, 1, 2, "")
    monkeypatch.setattr(distribution, "choose", lambda *_: two)
    with pytest.raises(UserError, match="--accumulate: --batch_norm=global takes a whole batch's statistics"):
        planned("--arch=tiny", "--accumulate=4", "--batch_norm=global")


def test_op_determinism_is_asked_for_and_recorded(monkeypatch, capsys):
    asked = []
    monkeypatch.setattr(tf.config.experimental, "enable_op_determinism", lambda: asked.append(True))
    assert planned("--arch=tiny").config.deterministic is False
    assert not asked
    assert planned("--arch=tiny", "--deterministic").config.deterministic is True
    assert asked == [True]


def test_training_on_all_images_tests_the_last_checkpoint(capsys):
    command = ("--arch", "tiny", "--ckpt", "whole", "--validation_share", "0", "--batch_size", "64", "--epochs", "2")
    assert "--schedule=plateau needs validations" in refused(capsys, *command)
    command += ("--schedule", "cosine", "--ema", "0")
    assert "--histograms needs validations" in refused(capsys, *command, "--histograms")
    assert not Path("whole").exists()
    tiny.run("--mode", "train", *command)
    printed = capsys.readouterr().out
    assert "1,437 train, 360 test" in printed  # 1,257 and the 180 of the validation split
    assert "no validation, so the last checkpoint is tested: whole/checkpoints/step-00000044" in printed
    found = json.loads(Path("whole/results.json").read_text())
    assert found["checkpoint"] == "whole/checkpoints/step-00000044"  # 1,437 images make 22 batches of 64
    assert "validation" not in Path("whole/metrics.csv").read_text()
    assert runs.read(Path("whole")).validation_share == 0
    assert checkpoints.newest(Path("whole")).state["finished"] is True
    assert "validation_share: 0.0 -> None" in refused(capsys, *command[:4], *command[6:])
    # What it was trained on is no split to test it on.
    tested = ("--arch", "tiny", "--restore", "whole", "--split", "validation")
    with pytest.raises(SystemExit):
        tiny.run("--mode", "test", *tested)
    assert "--split=validation: digits has no such split, only train, test" in capsys.readouterr().err


@pytest.mark.slow
def test_a_stopped_run_without_validation_goes_on_to_the_same_end(monkeypatch, capsys):
    settings = ("--validation_share", "0", "--schedule", "constant", "--save_every", "10")
    tiny.start("undisturbed", *settings)
    real, saved = trainer.save, []

    def save_and_die(job, state):
        folder = real(job, state)
        saved.append(state.step)
        if state.step in (22, 30):
            raise KeyboardInterrupt
        return folder

    with monkeypatch.context() as patch:
        patch.setattr(trainer, "save", save_and_die)
        for _ in range(2):
            with pytest.raises(SystemExit):
                tiny.start("killed", *settings)
    tiny.start("killed", *settings)
    assert saved == [10, 20, 22, 30]
    assert Path("killed/metrics.csv").read_bytes() == Path("undisturbed/metrics.csv").read_bytes()


def test_runs_that_held_out_other_images_are_not_validated_together(capsys):
    tiny.start("third", "--dataset", "photos", "--batch_size", "16", "--epochs", "1", "--validation_share", "0.3")
    assert runs.read(Path("third")).validation_share == 0.3
    capsys.readouterr()
    with pytest.raises(SystemExit):
        tiny.run("--mode", "test", "--restore", "leaves,third", "--split", "validation")
    assert "held out other validation images (--validation_share None and 0.3)" in capsys.readouterr().err
