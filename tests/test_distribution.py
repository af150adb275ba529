import csv
import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from common import checkpoints, distribution
from common.errors import UserError

TESTS = Path(__file__).parent
PROGRAM = """
import sys
import pytest
import tiny
arguments = sys.argv[1:]
with pytest.MonkeyPatch.context() as patch:
    tiny.register(patch, ".")
    tiny.run(*arguments)
"""
# No randomness that depends on the number of replicas: masks of dropout are drawn by each replica for itself.
SETTINGS = ["--mode=train", "--arch=tiny", "--dropout=0", "--epochs=1", "--log_every=1", "--batch_norm=global"]


def train(folder: Path, ckpt: str, *more: str) -> None:
    environment = os.environ | {"PYTHONPATH": f"{TESTS}:{TESTS.parent}"}
    command = [sys.executable, "-c", PROGRAM, *SETTINGS, "--ckpt", ckpt, *more]
    result = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr


def losses(run: Path) -> np.ndarray:
    with open(run / "metrics.csv", newline="") as file:
        return np.array([float(row["loss"]) for row in csv.DictReader(file)])


def variables(run: Path) -> dict[str, np.ndarray]:
    reader = tf.train.load_checkpoint(str(checkpoints.newest(run).folder / "variables"))
    names = [name for name in reader.get_variable_to_shape_map() if name.startswith("model/") and "seed" not in name]
    return {name: reader.get_tensor(name) for name in names}


def test_two_replicas_do_what_one_does(tmp_path):
    train(tmp_path, "one")
    train(tmp_path, "two", "--virtual_devices", "2")
    one, two = losses(tmp_path / "one"), losses(tmp_path / "two")
    assert len(one) == 20  # 19 steps and a validation
    np.testing.assert_allclose(two, one, rtol=1e-5)
    mine, theirs = variables(tmp_path / "one"), variables(tmp_path / "two")
    assert mine.keys() == theirs.keys()
    for name, value in mine.items():
        np.testing.assert_allclose(theirs[name], value, rtol=1e-5, atol=1e-4, err_msg=name)


def test_a_batch_that_does_not_divide_is_refused():
    devices = distribution.Devices(None, 0, 1, 4, "")
    distribution.check_batch(8, devices)
    with pytest.raises(UserError, match="--batch_size=6 does not divide among 4 replicas"):
        distribution.check_batch(6, devices)


def test_mirrored_needs_two_devices_and_multiworker_its_cluster(monkeypatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    with pytest.raises(UserError, match="two devices or more"):
        distribution.choose("mirrored")
    with pytest.raises(UserError, match="TF_CONFIG"):
        distribution.choose("multiworker")
    assert distribution.choose("one").replicas == 1


def test_precision_holds_inside_only():
    before = keras.config.dtype_policy().name
    with distribution.precision("mixed_bfloat16"):
        layer = keras.layers.Dense(2)
    assert layer.compute_dtype == "bfloat16"
    assert layer.variable_dtype == "float32"
    assert keras.config.dtype_policy().name == before


def test_auto_precision_wants_amx_on_a_cpu(monkeypatch, tmp_path):
    monkeypatch.setattr(distribution.tf.config, "list_physical_devices", lambda kind: [])
    for flags, wanted in (("fma avx2 amx_bf16 amx_tile", "mixed_bfloat16"), ("fma avx2", "float32")):
        (tmp_path / "cpuinfo").write_text(f"flags : {flags}\n")
        monkeypatch.setattr(distribution, "CPUINFO", tmp_path / "cpuinfo")
        assert distribution.resolve_precision("auto") == wanted
    assert distribution.resolve_precision("mixed_float16") == "mixed_float16"
