"""Every family learns the digits from its own command, at an image size that a processor can afford."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


def top1(folder: Path, script: str, *settings: str) -> float:
    command = [sys.executable, str(ROOT / script), "--mode", "train", "--ckpt", "run", *settings]
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    results = json.loads((folder / "run" / "results.json").read_text())
    assert (results["split"], results["images"]) == ("test", 360)
    return results["top1"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("script", "settings"),
    [
        ("alexnet.py", "--image_size 67 --batch_size 32 --epochs 6"),
        ("vgg16.py", "--image_size 32 --batch_size 32 --epochs 6"),
        ("googlenet.py", "--image_size 79 --batch_size 32 --epochs 6"),
        ("resnet34.py", "--image_size 64 --batch_size 32 --epochs 4"),
        ("resnet34.py", "--arch resnet20 --batch_size 32 --epochs 4"),
    ],
    ids=["alexnet", "vgg16", "googlenet", "resnet34", "resnet20"],
)
def test_a_few_hundred_steps_are_clearly_above_chance(tmp_path, script, settings):
    assert top1(tmp_path, script, *settings.split()) > 0.5  # guessing: 0.1
