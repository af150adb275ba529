"""What `--mode predict` takes and how it prints; what it says of a picture is in test_predict_answers.py."""

import csv
import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import images as made
import tiny
from cli import answers as said_of
from cli import image_files, prediction_sheet
from common.errors import UserError
from common.evaluation import prediction
from common.evaluation.prediction import Predictions
from tested_runs import put

JSON = ("--predict_format", "json")
MORE = ("more/a,b.jpg", "more/d.tif", "more/e.TIFF")


def photos(folder, *names):
    folder.mkdir(exist_ok=True)
    for number, name in enumerate(names):
        form = Image.registered_extensions()[Path(name).suffix.lower()]
        (folder / name).write_bytes(made.jpeg(number, form=form))
    return folder


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder with a run in it."""
    root = tmp_path_factory.mktemp("trained")
    with pytest.MonkeyPatch.context() as patch:
        tiny.register(patch, root)
        put("run")
    return root


@pytest.fixture
def run(trained, tmp_path, monkeypatch):
    """The run, and five photographs, in the folder in which the test works."""
    tiny.register(monkeypatch, tmp_path)
    Path("run").symlink_to(trained / "run")
    photos(tmp_path / "photos", *(f"{number}.png" for number in range(5)))


def test_images_are_files_folders_and_patterns(run, capsys):
    photos(Path("more"), "d.tif", "e.TIFF", "a,b.jpg")
    assert image_files.list_images(["photos/1.png", "more"]) == ["photos/1.png", *MORE]
    for given in (["photos/1.png", "more"], ["photos/1.png,more/"], ["photos/[1].p*", *MORE]):
        capsys.readouterr()
        tiny.run("--mode", "predict", "--restore", "run", *JSON, "--images", *given)
        names = [answer["file"] for answer in json.loads(capsys.readouterr().out)]
        assert names == ["photos/1.png", *MORE]


def test_an_image_that_is_not_there_is_refused():
    with pytest.raises(UserError, match=r"--images=nowhere\.jpg: no such file or folder"):
        image_files.list_images(["nowhere.jpg"])


def test_files_of_a_folder_that_are_passed_over_are_named(tmp_path, capsys):
    folder = photos(tmp_path / "photos", "a.jpg")
    (folder / "notes.txt").write_text("no picture")
    (folder / "inside").mkdir()
    (folder / "inside" / "data.bin").write_bytes(b"nor this")
    assert image_files.list_images([str(folder)]) == [f"{folder}/a.jpg"]
    assert capsys.readouterr().err == (
        f"{folder}: passed over inside/data.bin (not an image), notes.txt (not an image)\n"
    )
    for number in range(20):
        (folder / f"{number:02d}.csv").write_text("")
    image_files.list_images([str(folder)])
    error = capsys.readouterr().err
    assert error.count("(not an image)") == image_files.NAMED
    assert error.endswith("and 12 more\n")


def said(*labels):
    """Predictions of so many pictures over three classes, each sure of its label."""
    top = np.array([[label, (label + 1) % 3] for label in labels], np.int32)
    probability = np.tile(np.float32([0.75, 0.25]), (len(labels), 1))
    return Predictions(np.zeros(len(labels), np.int32), top, probability, np.zeros(len(labels), np.float32))


def test_answers_come_in_the_order_of_the_files():
    answers = said_of.Answers(["a", "b", "c", "d"], {"c": "empty file"}, ("ash", "elm", "oak"))
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
    answers = said_of.Answers(["a", "long", "c", "d"], {"c": "empty file"}, ("ash", "hornbeam", "oak"))
    show = said_of.table(["a", "long", "c", "d"])
    show(answers.of_batch(np.array([0, 1]), said(0, 1)))
    assert capsys.readouterr().out.splitlines() == [
        "a     ash 0.7500       hornbeam 0.2500",
        "long  hornbeam 0.7500  oak 0.2500",
    ]
    show(answers.of_batch(np.array([2, 3]), said(0, 2)))
    assert capsys.readouterr().out.splitlines() == ["c     empty file", "d     oak 0.7500       ash 0.2500"]


def test_answers_are_printed_batch_by_batch(run, monkeypatch, capsys):
    monkeypatch.setattr(prediction, "NEWS_EVERY", -1.0)  # progress lines, if there were any, after every batch
    whole, shown = said_of.table, []

    def watched(files):
        show = whole(files)
        return lambda answers: (shown.append(len(answers)), show(answers))

    monkeypatch.setattr(said_of, "table", watched)
    capsys.readouterr()
    tiny.run("--mode", "predict", "--restore", "run", "--images", "photos", "--batch_size", "2")
    assert shown == [2, 2, 1]
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == [f"photos/{n}.png" for n in range(5)]
    tiny.run("--mode", "predict", "--restore", "run", "--images", "photos", "--batch_size", "2", *JSON)
    assert [answer["file"] for answer in json.loads(capsys.readouterr().out)] == [f"photos/{n}.png" for n in range(5)]


def test_json_that_was_broken_off_can_be_read(capsys):
    answers = said_of.Answers(["a", "b"], {}, ("ash", "elm", "oak"))

    def broken_off():
        with said_of.json_array() as show:
            show(answers.of_batch(np.array([0]), said(0)))
            raise UserError("no more")

    with pytest.raises(UserError):
        broken_off()
    assert [answer["file"] for answer in json.loads(capsys.readouterr().out)] == ["a"]
    with pytest.raises(UserError), said_of.json_array():
        raise UserError("nothing at all")
    assert capsys.readouterr().out == ""


def test_where_words_name_the_classes_the_synset_stands_beside_them(capsys):
    synsets, names = ("n01440764", "n02012849", "n03126707"), ("tench", "crane (n02012849)", "crane (n03126707)")
    answers = said_of.Answers(["a"], {}, names, synsets)
    (answer,) = answers.of_batch(np.array([0]), said(1))
    assert answer["predictions"] == [
        {"class": "crane (n02012849)", "synset": "n02012849", "label": 1, "probability": 0.75},
        {"class": "crane (n03126707)", "synset": "n03126707", "label": 2, "probability": 0.25},
    ]
    said_of.comma_separated(2, True)([answer])
    assert capsys.readouterr().out.splitlines() == [
        "file,class_1,synset_1,label_1,probability_1,class_2,synset_2,label_2,probability_2,error",
        "a,crane (n02012849),n02012849,1,0.75,crane (n03126707),n03126707,2,0.25,",
    ]


def test_csv_has_a_row_a_file_and_quotes_what_needs_it(capsys):
    files = ["a,b.jpg", 'say "cheese".jpg', "c\nd.jpg"]
    answers = said_of.Answers(files, {"c\nd.jpg": "truncated, half of it"}, ("ash", "elm, hedge", "oak"))
    show = said_of.comma_separated(2, False)
    assert capsys.readouterr().out == "file,class_1,label_1,probability_1,class_2,label_2,probability_2,error\n"
    show(answers.of_batch(np.array([0, 1]), said(0, 2)))
    first = capsys.readouterr().out
    assert first == '"a,b.jpg",ash,0,0.75,"elm, hedge",1,0.25,\n"say ""cheese"".jpg",oak,2,0.75,ash,0,0.25,\n'
    show(answers.of_batch(np.array([2]), said(1)))
    (row,) = csv.reader(io.StringIO(capsys.readouterr().out))
    assert row == ["c\nd.jpg", "", "", "", "", "", "", "truncated, half of it"]


def test_csv_of_the_program_says_what_json_does(run, capsys):
    given = ("--mode", "predict", "--restore", "run", "--images", "photos", "--batch_size", "2")
    capsys.readouterr()
    tiny.run(*given, "--predict_format", "csv")
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    tiny.run(*given, *JSON)
    found = json.loads(capsys.readouterr().out)
    assert [row["file"] for row in rows] == [answer["file"] for answer in found]
    for row, answer in zip(rows, found, strict=True):
        for place, one in enumerate(answer["predictions"], start=1):
            assert (row[f"class_{place}"], int(row[f"label_{place}"])) == (one["class"], one["label"])
            assert float(row[f"probability_{place}"]) == pytest.approx(one["probability"], rel=1e-5)
        assert row["error"] == ""


def test_the_sheet_shows_each_picture_with_its_classes(run, monkeypatch, capsys):
    """Pages are bounded: five pictures on pages of two, at most two pages; one is no picture and on none."""
    drawn = []
    monkeypatch.setattr(prediction_sheet, "PAGE", 2)
    monkeypatch.setattr(prediction_sheet, "PAGES", 2)
    whole = prediction_sheet.draw
    monkeypatch.setattr(
        prediction_sheet, "draw", lambda path, cells, *more: (drawn.append(cells), whole(path, cells, *more))
    )
    Path("photos/1.png").write_bytes(b"no picture")
    capsys.readouterr()
    given = ("--mode", "predict", "--restore", "run", "--images", "photos", "photos/0.png", *JSON)
    with pytest.raises(SystemExit):
        tiny.run(*given, "--sheet", "new/sheet.png")
    out, error = capsys.readouterr()
    assert (
        "sheet of the pictures and their classes: new/sheet.png to new/sheet-2.png; 1 further ones are not shown"
        in error
    )
    assert sorted(path.name for path in Path("new").iterdir()) == ["sheet-2.png", "sheet.png"]
    answers = [answer for answer in json.loads(out) if "error" not in answer]
    assert [len(cells) for cells in drawn] == [2, 2]
    for answer, cell in zip(answers, [cell for cells in drawn for cell in cells], strict=False):
        best = [f"{one['class']} {one['probability']:.0%}" for one in answer["predictions"][:3]]
        assert cell.title.split("\n") == [Path(answer["file"]).name, *best]
        picture = np.asarray(Image.open(answer["file"]).convert("RGB"))
        middle = picture[:, 2:14] if picture.shape[1] == 16 else picture
        assert np.abs(cell.picture.mean((0, 1)) - middle.mean((0, 1))).max() < 12
    assert Image.open("new/sheet.png").size[1] > 150


@pytest.mark.parametrize(
    ("sheet", "message"),
    [
        ("sheet.jpg", "--sheet=sheet.jpg: name a .png file"),
        ("photos/1.png/a.png", "--sheet=photos/1.png/a.png: cannot be"),
    ],
)
def test_a_sheet_that_cannot_be_written_is_refused_before_anything_is_computed(run, capsys, sheet, message):
    capsys.readouterr()
    with pytest.raises(SystemExit):
        tiny.run("--mode", "predict", "--restore", "run", "--images", "photos", "--sheet", sheet)
    out, error = capsys.readouterr()
    assert (out, error.count("\n")) == ("", 1)
    assert message in error
