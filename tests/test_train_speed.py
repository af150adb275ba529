"""`--jit` and `--profile`: a step compiled by XLA is the same step, and a profile holds the steps it names."""

import json

import numpy as np
import pytest
import tensorflow as tf

import tiny
from cli import registry
from common import distribution
from common.errors import UserError
from common.training import validation


@pytest.fixture
def here(monkeypatch, tmp_path):
    tiny.register(monkeypatch, tmp_path)
    return tmp_path


def losses(run):
    rows = [line.split(",") for line in (run / "metrics.csv").read_text().splitlines()[1:]]
    return np.array([[float(value) for value in row[4:7]] for row in rows])


@pytest.mark.slow
def test_a_compiled_run_trains_as_the_other_and_resumes_only_as_itself(here, capsys):
    same = ("--epochs=1", "--log_every=1", "--dropout=0")  # XLA draws other masks from the same seeds
    tiny.start("plain", *same)
    tiny.start("compiled", *same, "--jit")
    assert ", XLA\n" in capsys.readouterr().out
    np.testing.assert_allclose(losses(here / "compiled")[:5], losses(here / "plain")[:5], rtol=1e-4)
    assert json.loads((here / "compiled/config.json").read_text())["jit"] is True
    with pytest.raises(SystemExit):
        tiny.start("compiled", *same)
    assert "jit: True -> False" in capsys.readouterr().err


@pytest.mark.parametrize("arch", ["alexnet_two_towers", pytest.param("googlenet", marks=pytest.mark.slow)])
def test_every_layer_compiles(arch):
    """Groups, LRN, dropout, ceil pools, auxiliary heads, concatenation; tiny has batch norm."""
    architecture = registry.find(arch)
    model = architecture.build(classes=3, image_size=79, initializer="he")
    random = np.random.default_rng(0)
    images = tf.constant(random.normal(0, 1, (2, 79, 79, 3)), tf.float32)
    batch = (images, tf.constant([0, 1]), tf.constant([True, True]), tf.constant([0, 1]))
    plain, compiled = (
        validation.make_eval_step(model, distribution.choose("one"), jit)(*batch) for jit in (False, True)
    )
    np.testing.assert_allclose(compiled, plain, rtol=1e-4)


def test_jit_is_for_one_device(here, capsys, monkeypatch):
    two = distribution.Devices(tf.distribute.get_strategy(), 0, 1, 2, "2 x CPU")
    monkeypatch.setattr(distribution, "choose", lambda *_: two)
    with pytest.raises(SystemExit):
        tiny.start("run", "--jit", "--batch_size=64")
    assert "--jit compiles the step of one device" in capsys.readouterr().err
    assert not (here / "run").exists()


@pytest.mark.slow
def test_the_profile_has_the_steps_it_names(here, monkeypatch):
    profiler, done = tf.profiler.experimental, []
    start, stop, trace = profiler.start, profiler.stop, profiler.Trace
    monkeypatch.setattr(profiler, "start", lambda folder: (done.append("start"), start(folder)))
    monkeypatch.setattr(profiler, "stop", lambda: (done.append("stop"), stop()))
    monkeypatch.setattr(
        profiler, "Trace", lambda *names, **more: (done.append(more["step_num"]), trace(*names, **more))[1]
    )
    tiny.start("run", "--epochs=1", "--profile=4:6")
    assert done == ["start", 4, 5, 6, "stop"]
    (profile,) = (here / "run/tensorboard/plugins/profile").glob("*/*.xplane.pb")
    assert b"step_num" in profile.read_bytes()


@pytest.mark.slow
def test_a_profile_that_its_run_cuts_short_is_written(here):
    tiny.start("cut", "--epochs=1", "--profile=15:1000")
    assert list((here / "cut/tensorboard/plugins/profile").glob("*/*.xplane.pb"))


@pytest.mark.parametrize("text", ["5", "5:3", "0:3", "a:b", "3:", "-1:4"])
def test_a_profile_needs_two_steps(text):
    from cli import flags

    with pytest.raises(UserError, match="give the first and the last step"):
        flags.parse(["--mode=train", f"--profile={text}"])
