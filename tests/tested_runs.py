"""Runs of tiny networks to test and predict with, made without training."""

from pathlib import Path

import numpy as np
import pytest

import images as made
import tiny
from cli import flags, plan, registry, setup
from common.runs import checkpoints
from common.runs import config as runs


def put(run, *arguments, steps=(1,)):
    """A run directory as training leaves it, but with the weights it began with, stirred at every step."""
    options = flags.parse(["--mode=train", *arguments])
    architecture = registry.find(options.arch or "tiny")
    data = setup.open_data(options.dataset, options.seed)
    config = plan.configure(options, architecture, data, options.seed)
    Path(run).mkdir(parents=True)
    runs.write(Path(run), config)
    model = setup.build_model(architecture, config)
    random = np.random.default_rng(options.seed)
    for step in steps:
        for variable in model.variables:
            if variable.path.endswith(("bias", "beta", "moving_mean", "kernel")):
                variable.assign_add(random.normal(0, 0.02, variable.shape))
        model.get_layer("fc").kernel.assign(model.get_layer("fc").kernel / 100)  # unsure: no probability is 0 or 1
        state = {"step": step, "best_step": step, "finished": True, "snapshot": bool(options.snapshots)}
        checkpoints.save(Path(run), state, {"model": model.variables})


def make_runs(root: Path) -> Path:
    """Runs: two seeds in `all`, snapshots in `cycles`, another network in `plain`; `leaves`, `other_leaves` on a tree
    of two classes of photographs, by different seeds.
    """
    with pytest.MonkeyPatch.context() as patch:
        tiny.register(patch, root)
        put("all/seed-5", "--seed=5")
        put("all/seed-6", "--seed=6")
        Path("all/ensemble.json").write_text('{"members": ["seed-5", "seed-6"]}')
        put("cycles", "--schedule=sgdr", "--snapshots", steps=(10, 19, 28, 38))
        put("plain", "--arch=tiny_plain", "--image_size=12", "--mean=none", "--seed=3")
        made.tree(root / "photos", {"oak": 30, "ash": 30})
        put("leaves", "--dataset=photos")
        put("other_leaves", "--dataset=photos", "--seed=1")
    return root


def refused(capsys, *arguments, code=2):
    """The one line in which the program refuses, with its exit code."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as caught:
        tiny.run(*arguments)
    error = capsys.readouterr().err
    assert caught.value.code == code
    assert error.count("\n") == 1
    return error
