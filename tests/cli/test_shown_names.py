"""Classes have their words wherever people read them, and the synset where programs do."""

import csv
import dataclasses
import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

import images as made
import tiny
from cli import flags, import_weights, registry, trained, visualize
from cli.foreign import Foreign
from common.errors import UserError
from common.input import records
from common.runs import config as runs
from tested_runs import put


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """`run` on a tree of two synsets; `worded` on records whose data set, which is gone, had words of its own."""
    root = tmp_path_factory.mktemp("words")
    with pytest.MonkeyPatch.context() as patch:
        tiny.register(patch, root, error_analysis=True)
        made.tree(root / "photos", {"n01440764": 10, "n03445777": 10})
        put("run", "--dataset=photos")
        made.run_prepare("--source", "photos", "--out", "records", "--resize", "16")
        info = records.read_info(Path("records"))
        records.write_info(Path("records"), dataclasses.replace(info, extra={"words": ["Schleie, Tinca", "Golfball"]}))
        put("worded", "--dataset=records")
        shutil.rmtree("records")
    return root


@pytest.fixture(autouse=True)
def _here(folder, monkeypatch):
    tiny.register(monkeypatch, folder, error_analysis=True)


@pytest.mark.parametrize(("run", "words"), [("run", ("tench", "golf ball")), ("worded", ("Schleie", "Golfball"))])
def test_predictions_are_in_words_without_the_data_set(capsys, run, words):
    capsys.readouterr()
    tiny.run("--mode", "predict", "--restore", run, "--images", "photos", "--predict_format", "json")
    named = dict(zip(("n01440764", "n03445777"), words, strict=True))
    for answer in json.loads(capsys.readouterr().out):
        assert {one["synset"]: one["class"] for one in answer["predictions"]} == named
    tiny.run("--mode", "predict", "--restore", run, "--images", "photos/n01440764/000.jpg")
    line = capsys.readouterr().out
    assert all(word in line for word in words)
    assert "n03445777" not in line


def test_words_survive_config_json_and_are_no_reason_to_refuse_a_run(tmp_path):
    config = runs.read(Path("worded"))
    assert config.words == ("Schleie, Tinca", "Golfball")
    assert (config.names, config.synsets) == (("Schleie", "Golfball"), ("n01440764", "n03445777"))
    shutil.copy("worded/config.json", tmp_path)
    other = dataclasses.replace(config, words=())
    assert runs.resumed(tmp_path, other, (), config.options, ()).words == config.words


def test_the_error_analysis_and_the_page_are_in_words():
    tiny.run("--mode", "test", "--restore", "run")
    with open("run/test/per_class.csv", newline="") as file:
        assert [(row["class"], row["synset"]) for row in csv.DictReader(file)] == [
            ("tench", "n01440764"),
            ("golf ball", "n03445777"),
        ]
    with open("run/test/predictions.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row[name] for row in rows for name in ("label", "predicted", "class_2")} == {"tench", "golf ball"}
    assert Path("run/test/confusion.csv").read_text().startswith("label,tench,golf ball\n")
    page = Path("run/report.html").read_text()
    assert "golf ball" in page
    assert '"n03445777"' not in page


@pytest.mark.parametrize("name", ["golf ball", "n03445777"])
def test_a_target_is_named_either_way(name):
    assert visualize._target(name, runs.read(Path("run"))) == 1


def test_a_target_that_is_not_known_is_answered_in_words():
    with pytest.raises(UserError, match="--target: 'golfball' is not known; did you mean golf ball"):
        visualize._target("golfball", runs.read(Path("run")))


def test_a_thousand_imported_classes_are_imagenets():
    found = Foreign("made", ("resnet18",), SimpleNamespace(channels_first=True, epsilon=1e-5), str, 1000, {})
    config = import_weights._configuration(found, registry.find("resnet18"), {"file": "made"})
    assert (config.names[0], config.classes[999]) == ("tench", "n15075141")
    few = import_weights._configuration(dataclasses.replace(found, classes=3), registry.find("resnet18"), {})
    assert (few.names, few.synsets) == (("0", "1", "2"), ())


def test_runs_with_words_and_without_are_an_ensemble():
    found = trained.restored(flags.parse(["--mode=predict", "--restore=run,worded", "--images=photos"]), None)
    assert [one.config.names[0] for one in found] == ["tench", "Schleie"]
