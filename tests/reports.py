"""A run directory and a test's predictions for the tests of the pages, and a page read back."""

import json
import shutil
from html.parser import HTMLParser
from pathlib import Path

import numpy as np

NASTY = '</script><script>document.title="run"</script>"\'&<b>'
NAMES = (NASTY, "größe 猫", "plain")
FILES = ('<img src=x onerror="document.title=1">.jpg', "кот & 'пёс'.png", "")

CONFIG = {
    "arch": "tiny",
    "options": {"norm": "batch", "shortcut": "none"},
    "classes": list(NAMES),
    "image_size": 16,
    "preprocessing": {"image_size": 16, "resize": 18, "channels": "rgb"},
    "recipe": {"optimizer": "momentum", "learning_rate": 0.02, "epochs": 3, "scale_range": [256, 480]},
    "dataset": "/data/photos & <more>",
    "seed": 7,
    "precision": "float32",
    "started_from": None,
    "imported": None,
    "versions": {"python": "3.11.7", "tensorflow": "2.21.0"},
    "command": ["alexnet.py", "--mode", "train", "--ckpt", "my run"],
}
RESULTS = {
    "split": "test",
    "crops": "1",
    "scales": [18],
    "dataset": "/data/photos & <more>",
    "checkpoint": "run/checkpoints/step-00000040",
    "top1": 0.5833333333333334,
    "balanced_accuracy": 0.55,
    "loss": 0.7012345678,
    "images": 12,
    "seconds": 0.5,
    "images_per_second": 24.0,
    "calibration_error": 0.1234567,
}
COLUMNS = "step,epoch,split,learning_rate,data_loss,l2_loss,loss,top1,top5"


def chromium() -> str | None:
    """The browser on this machine."""
    return next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


def rows(steps: int = 120) -> list[tuple]:
    """Of metrics.csv: first steps, intervals of ten, a validation every forty."""
    found: list[tuple] = []
    for step in range(1, steps + 1):
        loss, top1, rate = 2.0 / step, 1 - 1 / (1 + step / 7), 0.02 if step <= 80 else 0.002
        row = (step, (step - 1) // 40 + 1)
        if step <= 50:
            found.append((*row, "step", rate, loss, 0.25, loss + 0.25, top1, 1.0))
        if step % 10 == 0:
            found.append((*row, "train", rate, loss + 0.01, 0.25, loss + 0.26, top1 - 0.01, 1.0))
        if step % 40 == 0:
            found.append((*row, "validation", rate, loss + 0.1, 0.25, loss + 0.35, top1 - 0.1, 1.0))
    return found


def run(folder: Path, steps: int = 120, **changes) -> Path:
    """A run directory: config.json, metrics.csv and the results of two tests; `changes` to the configuration."""
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(CONFIG | changes), encoding="utf-8")
    text = "\n".join([COLUMNS, *(",".join(map(str, row)) for row in rows(steps)), "121,4,tra"])  # the last one torn
    (folder / "metrics.csv").write_text(text, encoding="utf-8")
    (folder / "results.json").write_text(json.dumps(RESULTS), encoding="utf-8")
    crops = RESULTS | {"crops": "10", "top1": 0.6666666666666666, "top5": 0.9375, "loss": 0.65}
    (folder / "results-10crops.json").write_text(json.dumps(crops), encoding="utf-8")
    return folder


# (label, predicted, probability) of twelve pictures of three classes: class 2 was never predicted.
ANSWERS = (
    *((0, 0, 0.9), (0, 0, 0.8), (0, 1, 0.95), (0, 1, 0.6), (0, 0, 0.55), (0, 0, 0.7)),
    *((1, 1, 0.99), (1, 1, 0.5), (1, 0, 0.85), (1, 1, 0.65)),
    *((2, 0, 0.4), (2, 1, 0.45)),
)


def predictions(answers=ANSWERS):
    """`Predictions` of these answers, with the next class as the second."""
    from common.evaluation.prediction import Predictions

    labels, first, p = (np.array(column) for column in zip(*answers, strict=True))
    top = np.stack([first, (first + 1) % 3], 1).astype(np.int32)
    probability = np.stack([p, 1 - p], 1).astype(np.float32)
    return Predictions(labels.astype(np.int32), top, probability, np.log(probability[:, 0]))


def pictures(places, side: int = 32) -> dict[int, np.ndarray]:
    """Pictures (side, side, 3) uint8 by place, each of a colour of its own."""
    return {int(place): np.full((side, side, 3), (40 + 7 * int(place)) % 256, np.uint8) for place in places}


class Page(HTMLParser):
    """A page read back.

    Attributes:
        data: what its script reads.
        tables: rows of cells (text, data-value or None) by the table's id.
        figures: (text, data-value) by data-figure.
        sources: every src and href.
        scripts: the text of the scripts that run.
    """

    def __init__(self, text: str):
        super().__init__()
        self.tables, self.figures, self.sources, self.scripts = {}, {}, [], []
        self.data, self.table, self.cell, self.figure, self.script = None, None, None, None, None
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        found = dict(attrs)
        self.sources += [found[name] for name in ("src", "href") if name in found]
        if tag == "table" and "id" in found:
            self.table = self.tables.setdefault(found["id"], [])
        elif tag == "tr" and self.table is not None:
            self.table.append([])
        elif tag in ("td", "th") and self.table is not None:
            self.cell = ["", found.get("data-value")]
        if "data-figure" in found:
            self.figure = found["data-figure"], found["data-value"]
        if tag == "script":
            self.script = found.get("type", "")

    def handle_data(self, data):
        if self.script == "application/json":
            self.data = json.loads(data)
        elif self.script == "":
            self.scripts.append(data)
        if self.cell is not None:
            self.cell[0] += data
        if self.figure:
            name, value = self.figure
            self.figures[name], self.figure = (data, value), None

    def handle_endtag(self, tag):
        if tag in ("td", "th") and self.cell is not None:
            self.table[-1].append((self.cell[0].strip(), self.cell[1]))
            self.cell = None
        elif tag == "table":
            self.table = None
        elif tag == "script":
            self.script = None
