"""`--mode predict` with names from standard input."""

import io
import json
import os
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest

import images as made
import tiny
from cli import answers, image_files
from common.errors import UserError
from tested_runs import make_runs


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make_runs(tmp_path_factory.mktemp("testing"))


@pytest.fixture(autouse=True)
def _here(folder, monkeypatch):
    tiny.register(monkeypatch, folder)


def say(monkeypatch, content: bytes) -> None:
    """Standard input with this in it."""
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(content)))


def predicted(capsys, *arguments):
    capsys.readouterr()
    tiny.run("--mode", "predict", "--restore", "leaves", "--predict_format", "json", *arguments)
    return json.loads(capsys.readouterr().out)


@pytest.mark.parametrize("crops", ["1", "dense"])
@pytest.mark.parametrize("count", [1, 4, 6])  # less than a batch, one, and one and a half
def test_names_from_standard_input_give_what_the_same_names_give(monkeypatch, capsys, count, crops):
    files = sorted(map(str, Path("photos").rglob("*.jpg")))[:count]
    view = ("--batch_size", "4", "--crops", crops)
    wanted = predicted(capsys, *view, "--images", *files)
    say(monkeypatch, "\n".join(files).encode())
    found = predicted(capsys, *view, "--images", "-")
    assert [answer["file"] for answer in found] == files
    for one, other in zip(found, wanted, strict=True):
        assert [(p["label"], pytest.approx(p["probability"], abs=1e-6)) for p in one["predictions"]] == [
            (p["label"], p["probability"]) for p in other["predictions"]
        ]


def test_lines_are_names_whatever_they_end_in(monkeypatch):
    say(monkeypatch, b"a b.jpg\r\n\n  c.jpg\nd\xff.jpg")
    names = image_files.named(["-"])
    assert (names.files, names.complete) == ([], False)
    found = list(names)
    assert found == ["a b.jpg", "  c.jpg", os.fsdecode(b"d\xff.jpg")]
    assert (names.files, names.complete) == (found, True)


def test_what_is_no_image_among_the_names_is_said_and_the_others_are_predicted(monkeypatch, capsys):
    Path("good.jpg").write_bytes(made.jpeg(1))
    say(monkeypatch, b"photos\nnowhere.jpg\ngood.jpg\n")
    capsys.readouterr()
    with pytest.raises(SystemExit) as caught:
        tiny.run("--mode", "predict", "--restore", "leaves", "--images", "-")
    out, error = capsys.readouterr()
    assert caught.value.code == 1
    lines = out.splitlines()
    assert lines[0].split(maxsplit=1) == ["photos", "a folder, not an image (find -type f names files alone)"]
    assert lines[1].split(maxsplit=1) == ["nowhere.jpg", "No such file or directory"]
    assert lines[2].split()[0] == "good.jpg"
    assert error.count("\n") == 1
    assert "2 of 3 images cannot be read: photos: a folder, not an image" in error


@pytest.mark.parametrize(
    ("content", "images", "message"),
    [
        (b"", ["-"], "--images=-: standard input is empty"),
        (b"\n\r\n", ["-"], "--images=-: standard input is empty"),
        (b"a.jpg", ["-", "b.jpg"], "--images=-: names come from standard input alone"),
    ],
)
def test_no_names_and_names_beside_them_are_refused(monkeypatch, content, images, message):
    say(monkeypatch, content)
    with pytest.raises(UserError, match=message):
        image_files.named(images)


def test_answers_come_while_names_still_come(monkeypatch):
    """The third name is given when the answer to the first is there."""
    files = sorted(map(str, Path("photos").rglob("*.jpg")))[:3]
    begun = threading.Event()
    out: list[str] = []

    def lines():
        for file in files[:2]:
            yield f"{file}\n".encode()
        assert begun.wait(60)
        yield f"{files[2]}\n".encode()

    def show(said):
        out.extend(answer["file"] for answer in said)
        begun.set()

    monkeypatch.setattr(answers, "table", lambda _: show)
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=lines(), isatty=lambda: False))
    tiny.run("--mode", "predict", "--restore", "leaves", "--images", "-", "--batch_size", "1")
    assert out == files
