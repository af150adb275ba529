"""What `--mode predict` takes and how it prints; what it says of a picture is in test_predict_answers.py."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import images as made
import tiny
from cli import predict
from common.errors import UserError
from common.evaluation import prediction
from common.evaluation.prediction import Predictions

JSON = ("--predict_format", "json")
MORE = ("more/a,b.jpg", "more/d.tif", "more/e.TIFF")


def photos(folder, *names):
    folder.mkdir(exist_ok=True)
    for number, name in enumerate(names):
        form = Image.registered_extensions()[Path(name).suffix.lower()]
        (folder / name).write_bytes(made.jpeg(number, form=form))
    return folder


@pytest.fixture
def run(tmp_path, monkeypatch):
    tiny.register(monkeypatch, tmp_path)
    tiny.start("run", "--epochs", "1")
    photos(tmp_path / "photos", *(f"{number}.png" for number in range(5)))


def test_images_are_files_folders_and_patterns(run, capsys):
    photos(Path("more"), "d.tif", "e.TIFF", "a,b.jpg")
    assert predict.list_images(["photos/1.png", "more"]) == ["photos/1.png", *MORE]
    for given in (["photos/1.png", "more"], ["photos/1.png,more/"], ["photos/[1].p*", *MORE]):
        capsys.readouterr()
        tiny.run("--mode", "predict", "--restore", "run", *JSON, "--images", *given)
        names = [answer["file"] for answer in json.loads(capsys.readouterr().out)]
        assert names == ["photos/1.png", *MORE]


def test_an_image_that_is_not_there_is_refused():
    with pytest.raises(UserError, match=r"--images=nowhere\.jpg: no such file or folder"):
        predict.list_images(["nowhere.jpg"])


def test_files_of_a_folder_that_are_passed_over_are_named(tmp_path, capsys):
    folder = photos(tmp_path / "photos", "a.jpg")
    (folder / "notes.txt").write_text("no picture")
    (folder / "inside").mkdir()
    (folder / "inside" / "data.bin").write_bytes(b"nor this")
    assert predict.list_images([str(folder)]) == [f"{folder}/a.jpg"]
    assert capsys.readouterr().err == (
        f"{folder}: passed over inside/data.bin (not an image), notes.txt (not an image)\n"
    )
    for number in range(20):
        (folder / f"{number:02d}.csv").write_text("")
    predict.list_images([str(folder)])
    error = capsys.readouterr().err
    assert error.count("(not an image)") == predict.NAMED
    assert error.endswith("and 12 more\n")


def said(*labels):
    """Predictions of so many pictures over three classes, each sure of its label."""
    top = np.array([[label, (label + 1) % 3] for label in labels], np.int32)
    probability = np.tile(np.float32([0.75, 0.25]), (len(labels), 1))
    return Predictions(np.zeros(len(labels), np.int32), top, probability, np.zeros(len(labels), np.float32))


def test_answers_come_in_the_order_of_the_files():
    answers = predict.Answers(["a", "b", "c", "d"], {"c": "empty file"}, ("ash", "elm", "oak"))
    assert answers.of_batch(np.array([1, 2]), said(1, 0)) == []
    first, second, third = answers.of_batch(np.array([0]), said(2))
    assert first == {
        "file": "a",
        "predictions": [
            {"class": "oak", "label": 2, "probability": 0.75},
            {"class": "ash", "label": 0, "probability": 0.25},
        ],
    }
    assert (second["file"], second["predictions"][0]["class"]) == ("b", "elm")
    assert third == {"file": "c", "error": "empty file"}
    assert [answer["file"] for answer in answers.of_batch(np.array([3]), said(0))] == ["d"]


def test_a_table_keeps_its_columns_from_batch_to_batch(capsys):
    answers = predict.Answers(["a", "long", "c", "d"], {"c": "empty file"}, ("ash", "hornbeam", "oak"))
    show = predict.table(["a", "long", "c", "d"])
    show(answers.of_batch(np.array([0, 1]), said(0, 1)))
    assert capsys.readouterr().out.splitlines() == [
        "a     ash 0.7500       hornbeam 0.2500",
        "long  hornbeam 0.7500  oak 0.2500",
    ]
    show(answers.of_batch(np.array([2, 3]), said(0, 2)))
    assert capsys.readouterr().out.splitlines() == ["c     empty file", "d     oak 0.7500       ash 0.2500"]


def test_answers_are_printed_batch_by_batch(run, monkeypatch, capsys):
    monkeypatch.setattr(prediction, "NEWS_EVERY", -1.0)  # progress lines, if there were any, after every batch
    whole, shown = predict.table, []

    def watched(files):
        show = whole(files)
        return lambda answers: (shown.append(len(answers)), show(answers))

    monkeypatch.setattr(predict, "table", watched)
    capsys.readouterr()
    tiny.run("--mode", "predict", "--restore", "run", "--images", "photos", "--batch_size", "2")
    assert shown == [2, 2, 1]
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == [f"photos/{n}.png" for n in range(5)]
    tiny.run("--mode", "predict", "--restore", "run", "--images", "photos", "--batch_size", "2", *JSON)
    assert [answer["file"] for answer in json.loads(capsys.readouterr().out)] == [f"photos/{n}.png" for n in range(5)]


def test_json_that_was_broken_off_can_be_read(capsys):
    answers = predict.Answers(["a", "b"], {}, ("ash", "elm", "oak"))

    def broken_off():
        with predict.json_array() as show:
            show(answers.of_batch(np.array([0]), said(0)))
            raise UserError("no more")

    with pytest.raises(UserError):
        broken_off()
    assert [answer["file"] for answer in json.loads(capsys.readouterr().out)] == ["a"]
    with pytest.raises(UserError), predict.json_array():
        raise UserError("nothing at all")
    assert capsys.readouterr().out == ""
