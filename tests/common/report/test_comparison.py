import pytest

import reports
from common.report import comparison, comparison_page, record

LABELS = ("cat", "cat", "dog", "dog", "fox")
SAID = {
    "a": (("cat", 0.9), ("dog", 0.6), ("dog", 0.8), ("cat", 0.7), ("dog", 0.5)),
    "b": (("cat", 0.8), ("cat", 0.9), ("dog", 0.7), ("dog", 0.95), ("cat", 0.99)),
}


def answered(run, said, labels=LABELS):
    """Writes the predictions of a plain test."""
    (run / "test").mkdir()
    lines = [f"{i},{i}.png,{label},{one},{p}" for i, (label, (one, p)) in enumerate(zip(labels, said, strict=True))]
    text = "\n".join(["index,file,label,predicted,probability", *lines])
    (run / "test/predictions.csv").write_text(text, encoding="utf-8")
    return run


@pytest.fixture
def runs(tmp_path):
    reports.run(tmp_path / "a")
    recipe = reports.CONFIG["recipe"] | {"learning_rate": 0.1, "epochs": 3, "momentum": 0.95}
    reports.run(tmp_path / "b", steps=80, recipe=recipe, options={"norm": "group", "shortcut": "none"})
    for name, said in SAID.items():
        answered(tmp_path / name, said)
    return [(name, record.read(tmp_path / name)) for name in ("a", "b")]


def test_only_settings_that_differ_are_listed(runs):
    assert comparison.settings(runs) == [
        ("norm", ["batch", "group"]),
        ("learning_rate", ["0.02", "0.1"]),
        ("momentum", ["", "0.95"]),
    ]


def test_results_are_those_of_the_files_the_best_marked(runs):
    rows = {(row["test"], row["figure"]): row for row in comparison.results(runs)}
    assert rows["test", "top-1"]["values"] == [reports.RESULTS["top1"]] * 2
    assert rows["test", "top-1"]["best"] == []  # equal
    assert rows["test", "balanced accuracy"]["texts"] == ["55.00 %", "55.00 %"]
    assert rows["test 10crops", "top-5"]["texts"] == ["93.75 %", "93.75 %"]
    loss = [2 / 120 + 0.1, 2 / 80 + 0.1]  # of the validation with the highest top-1, the last one
    assert rows["validation", "loss"]["values"] == loss
    assert rows["validation", "loss"]["best"] == [0]
    assert rows["training", "steps"]["texts"] == ["120", "80"]
    assert ("training", "images/s, median") not in rows


def test_who_is_right_and_on_what_they_disagree(runs):
    said = [comparison.answers(one) for _, one in runs]
    assert comparison.comparable(runs, said) is None
    assert comparison.pairs(["a", "b"], said) == [
        {"first": "a", "second": "b", "images": 5, "same": 2}
        | {"both": 2, "only_first": 0, "only_second": 2, "neither": 1}
    ]
    # Of 1 and 3 one run is right; it is as sure as the less sure of both: 0.6 and 0.7. Of 4 nobody is right.
    assert comparison.disagreements(said).tolist() == [3, 1, 4]


def test_the_text_has_all_of_it(runs):
    text = comparison_page.to_text(comparison_page.make(runs)).splitlines()
    words = [line.split() for line in text]
    assert ["learning_rate", "0.02", "0.1"] in words
    assert ["validation", "loss", "0.1167", "*", "0.1250"] in words
    assert "  a and b: the same class for 2 of 5; right: both 2, only the first 0, only the second 2, neither 1" in text
    assert [line[0] for line in words[-3:]] == ["3.png", "1.png", "4.png"]
    assert words[-1] == ["4.png", "fox", "dog", "50.0", "%", "cat", "99.0", "%"]


def test_the_page_has_the_same_figures(runs, tmp_path):
    path = comparison_page.write(comparison_page.make(runs), tmp_path, reports.pictures([1]))
    read = reports.Page(path.read_text(encoding="utf-8"))
    assert path.name == "compare.html"
    assert [text for text, _ in read.tables["pairs"][1]] == ["a", "b", "2", "2", "0", "2", "1"]
    loss = next(chart for chart in read.data["charts"] if chart["id"] == "loss")
    assert [one["name"] for one in loss["series"]] == ["a, validation", "a, training", "b, validation", "b, training"]
    assert sum(source.startswith("data:image/jpeg") for source in read.sources) == 1


def test_why_pictures_cannot_be_compared(runs, tmp_path):
    found = comparison_page.make([runs[0], ("c", record.read(reports.run(tmp_path / "c")))])
    assert found.obstacle == f"c has no plain test yet (--mode test --restore {tmp_path / 'c'})"
    assert len(found.places) == 0
    assert f"not compared: {found.obstacle}" in comparison_page.to_text(found)
    answered(reports.run(tmp_path / "d"), SAID["a"], ("cat", "cat", "dog", "dog", "cow"))
    found = comparison_page.make([runs[0], ("d", record.read(tmp_path / "d"))])
    assert found.obstacle is not None
    assert found.obstacle.startswith("a and d were tested on other pictures")
    assert "not compared" in comparison_page.write(found, tmp_path, {}).read_text(encoding="utf-8").lower()
