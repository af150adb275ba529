"""Multiply-adds of a run's network, as `--mode summary` counts them."""

import json
import subprocess
import sys
from pathlib import Path

from common.errors import UserError
from experiments.work import arguments

ROOT = Path(__file__).resolve().parents[1]


def multiply_adds(run: Path) -> int:
    """Of one image of the run's size, forward, by the network with the run's classes and options.

    Raises UserError where they cannot be counted.
    """
    config = json.loads((run / "config.json").read_text(encoding="utf-8"))
    words = ["--mode", "summary", "--arch", config["arch"], "--summary_format", "json"]
    words += ["--image_size", str(config["image_size"]), "--classes", str(len(config["classes"]))]
    words += arguments(config["options"])
    command = [sys.executable, "train.py", *words]
    # In a process group of its own: Ctrl-C reaches the caller alone, which ends after this.
    done = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True, process_group=0)
    if done.returncode:
        last = done.stderr.strip().rpartition("\n")[2]
        raise UserError(f"{run}: its multiply-adds cannot be counted: {last}", 1)
    return int(json.loads(done.stdout)["totals"]["multiply_adds"])
