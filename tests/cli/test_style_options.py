import importlib.util
import json
from pathlib import Path

import pytest

import tiny

STYLE = ("--norm", "group", "--norm_groups", "4", "--weight_standardization", "--activation", "prelu")


@pytest.fixture(autouse=True)
def _inside(monkeypatch, tmp_path):
    tiny.register(monkeypatch, tmp_path)


def written(name: str) -> dict:
    return json.loads(Path("run", name).read_text())


@pytest.mark.slow
def test_a_run_remembers_its_normalisation_and_activation(capsys):
    tiny.start("run", *STYLE)
    trained = written("results.json")
    capsys.readouterr()

    tiny.run("--mode", "test", "--restore", "run", "--ckpt", "again")

    chosen = {"norm": "group", "norm_groups": 4, "weight_standardization": True, "activation": "prelu"}
    assert chosen.items() <= written("config.json")["options"].items()
    assert trained["top1"] > 0.5
    assert json.loads(Path("again/results.json").read_text())["top1"] == trained["top1"]
    tiny.start("run", *STYLE)  # the same run: finished
    with pytest.raises(SystemExit):
        tiny.start("run", *STYLE[:-1], "elu")
    assert "activation: prelu -> elu" in capsys.readouterr().err


@pytest.mark.slow
def test_a_run_from_before_there_were_such_options_goes_on():
    tiny.start("run")
    config = written("config.json")
    config["options"] = {"norm": "batch", "batch_norm": "replica"}
    Path("run/config.json").write_text(json.dumps(config))

    tiny.start("run")
    tiny.run("--mode", "test", "--restore", "run")


def test_a_style_that_cannot_be_is_one_line(capsys):
    with pytest.raises(SystemExit) as caught:
        tiny.start("run", "--weight_standardization", "--norm", "none", "--dry_run")
    assert caught.value.code == 2
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.slow
@pytest.mark.parametrize("style", [STYLE, ("--norm", "layer", "--activation", "maxout")])
def test_exported_files_answer_like_the_network(style, capfd):
    tiny.start("run", *style)
    formats = ["saved_model", "keras", "tflite", "tflite_int8"]
    formats += ["onnx"] if all(map(importlib.util.find_spec, ("tf2onnx", "onnxruntime"))) else []
    tiny.run("--mode", "export", "--restore", "run", "--export_format", ",".join(formats), "--out", "files", "--verify")
    assert capfd.readouterr().out.count("same most likely class") == len(formats)
