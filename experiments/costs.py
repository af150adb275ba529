"""Multiply-adds of a run's network, as `--mode summary` counts them."""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def multiply_adds(run: Path) -> int:
    """Of one image of the run's size and classes, forward."""
    config = json.loads((run / "config.json").read_text(encoding="utf-8"))
    words = ["--mode", "summary", "--arch", config["arch"], "--summary_format", "json"]
    words += ["--image_size", str(config["image_size"]), "--classes", str(len(config["classes"]))]
    command = [sys.executable, "train.py", *words]
    printed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    return int(json.loads(printed)["totals"]["multiply_adds"])
