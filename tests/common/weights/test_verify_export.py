import json
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from common.weights import verify_export

HOW = {"image_size": 4, "resize": 4, "mean": [0, 0, 0], "std": [1, 1, 1], "mean_image": None, "channels": "rgb"}


@pytest.fixture
def folders(tmp_path):
    """An export of two files that no library can load, and what they should have said of one picture."""
    out, reference = tmp_path / "out", tmp_path / "reference"
    (reference / "images").mkdir(parents=True)
    out.mkdir()
    Image.fromarray(np.zeros((4, 4, 3), np.uint8)).save(reference / "images" / "000", "png")
    for name in ("files", "crops"):
        np.save(reference / f"{name}.npy", np.float32([[0.25, 0.75]]))
    (out / "model.json").write_text(json.dumps({"preprocessing": HOW}))
    for name in (verify_export.TFLITE, verify_export.KERAS):
        (out / name).write_bytes(b"nothing of the kind")
    return out, reference


@pytest.mark.slow
def test_a_file_that_fails_does_not_keep_the_others_from_being_checked(folders, capfd):
    assert not verify_export.check(*folders)
    keras, tflite = capfd.readouterr().out.splitlines()
    assert keras.startswith(f"{folders[0]}/model.keras: FAILED: ")
    assert tflite.startswith(f"{folders[0]}/model.tflite: FAILED: ")


def test_a_file_that_ends_its_process_is_named_and_the_others_checked(folders, monkeypatch, capfd):
    asked = []

    def fake(command, **_):
        asked.append(command[5:])
        if "model.keras" in command:
            return subprocess.CompletedProcess(command, -6, "", "first\nAborted\n")
        return subprocess.CompletedProcess(command, 0, f"{folders[0]}/model.tflite: 1 images\n", "")

    monkeypatch.setattr(verify_export.subprocess, "run", fake)
    assert not verify_export.check(*folders)
    assert asked == [["model.keras", "model.tflite"], ["model.tflite"]]
    assert capfd.readouterr().out.splitlines() == [
        f"{folders[0]}/model.keras: FAILED: it ended its process (exit code -6) Aborted",
        f"{folders[0]}/model.tflite: 1 images",
    ]


@pytest.mark.parametrize(("off", "said"), [(0.0, True), (5e-5, True), (2e-4, False)])
def test_probabilities_may_differ_by_a_ten_thousandth(folders, monkeypatch, capsys, off, said):
    answer = np.float32([[0.25 + off, 0.75 - off]])
    monkeypatch.setitem(verify_export.FORMATS, Path("model.keras"), lambda *_: answer)
    assert verify_export.compare(*folders, Path("model.keras")) is said
    line = capsys.readouterr().out
    assert ("TOO FAR OFF" in line) is not said
    assert "1 images, largest difference of a probability" in line


def test_crops_made_as_model_json_says_are_held_against_those_of_testing(folders, capsys):
    (made,) = verify_export.crops(*folders)
    assert verify_export.compare_crops(folders[0], made[None], np.zeros((1, 4, 4, 3)))
    assert "differ by 0.000 grey levels" in capsys.readouterr().out
    assert not verify_export.compare_crops(folders[0], np.stack([made, made + 1.0]), np.zeros((2, 4, 4, 3)))
    assert "differ by 1.000 grey levels on average, at most: TOO FAR OFF" in capsys.readouterr().out
