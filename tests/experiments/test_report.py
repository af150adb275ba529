"""RESULTS.md says what results.csv has, to the digit, and how much of a comparison that is."""

import dataclasses
import statistics
from pathlib import Path

import numpy as np
import pytest

import comparisons
from experiments import catalogue, report, results, tables, version, work
from experiments.design import Budget, Picture, Run, Table, Test
from made_comparison import COMPARISON, TOP1, curve_points, jobs, rows

ROOT = Path(__file__).parents[2]


def test_the_page_is_what_the_table_says():
    """RESULTS.md made again is the same to the letter: an altered figure is found."""
    assert report.main(["--check"]) == 0


@pytest.fixture
def own(tmp_path, monkeypatch) -> Path:
    """A page of the comparison above alone, made from its rows. Its text, its results.csv and its curves lie there."""
    monkeypatch.setattr(catalogue, "NAMES", ("made",))
    monkeypatch.setattr(catalogue, "find", lambda name: COMPARISON)
    for job, row in zip(jobs(COMPARISON), rows(), strict=True):
        results.add(COMPARISON, job, row, [], tmp_path / "results.csv", tmp_path / "curves")
    page = tmp_path / "RESULTS.md"
    page.write_text("# Results\n<!-- experiments:made begin -->\n<!-- experiments:made end -->\n", encoding="utf-8")
    assert report.main(words(tmp_path)) == 0
    return tmp_path


def words(folder: Path, *more: str) -> list[str]:
    return ["--page", str(folder / "RESULTS.md"), "--results", str(folder / "results.csv"), *more]


def test_an_altered_figure_is_found(own, capsys):
    assert report.main(words(own, "--check")) == 0
    page = own / "RESULTS.md"
    text = page.read_text(encoding="utf-8")
    assert text.count("| c | 12.50 %;") == 1
    page.write_text(text.replace("| c | 12.50 %;", "| c | 12.60 %;"), encoding="utf-8")
    assert report.main(words(own, "--check")) == 1
    assert "differs from" in capsys.readouterr().err
    assert "12.60 %" in page.read_text(encoding="utf-8")  # nothing was written


def test_a_picture_that_is_missing_or_of_other_figures_is_found(own, capsys):
    picture = own / report.PICTURES / "made.png"
    drawn = picture.read_bytes()
    table = own / "results.csv"
    before = table.read_text(encoding="utf-8")
    table.write_text(before.replace(",0.75,", ",0.77,"), encoding="utf-8")
    assert report.main(words(own)) == 0
    newer = picture.read_bytes()
    assert report.main(words(own, "--check")) == 0
    picture.write_bytes(drawn)  # of the table before
    capsys.readouterr()
    assert report.main(words(own, "--check")) == 1
    told = "is not drawn of the present figures; run experiments/report.py\n"
    assert capsys.readouterr().err == f"report.py: {picture} {told}"
    assert picture.read_bytes() == drawn
    picture.unlink()
    assert report.main(words(own, "--check")) == 1
    assert "made.png: there is no such picture" in capsys.readouterr().err
    picture.write_bytes(newer)
    assert report.main(words(own, "--check")) == 0


@pytest.mark.parametrize("left", [0.5, 60])  # of a file, in parts or in bytes: cut in the pixels, before the digest
def test_a_picture_that_is_cut_is_found(own, capsys, left):
    picture = own / report.PICTURES / "made.png"
    whole = picture.read_bytes()
    picture.write_bytes(whole[: int(left * len(whole)) if left < 1 else left])
    assert report.main(words(own, "--check")) == 1
    assert "made.png is not drawn of the present figures" in capsys.readouterr().err


def test_what_belongs_to_no_comparison_is_found(own, capsys):
    other = own / report.PICTURES / "gone.png"
    other.write_bytes((own / report.PICTURES / "made.png").read_bytes())
    assert report.main(words(own, "--check")) == 1
    assert capsys.readouterr().err == f"report.py: {other} is not in the page; run experiments/report.py\n"
    assert report.main(words(own)) == 0
    assert not other.exists()
    with open(own / "RESULTS.md", "a", encoding="utf-8") as page:
        page.write("<!-- experiments:gone begin -->\n99.99 %\n<!-- experiments:gone end -->\n")
    with pytest.raises(
        report.UserError, match=r"^RESULTS\.md: there is no comparison gone; remove what stands between"
    ):
        report.main(words(own, "--check"))


def test_a_page_that_is_not_text_is_one_line(own):
    (own / "RESULTS.md").write_bytes(b"\xff")
    with pytest.raises(report.UserError, match=r"^--page=.*RESULTS\.md: it is not text in UTF-8"):
        report.main(words(own))


def test_a_conclusion_with_a_figure_that_no_run_backs_is_left_out(own, monkeypatch, capsys):
    before = (own / "RESULTS.md").read_text(encoding="utf-8")
    wrong = dataclasses.replace(COMPARISON, conclusion="The first has 55.00 %, the second 51.00 %.")
    monkeypatch.setattr(catalogue, "find", lambda name: wrong)
    told = "report.py: made: the conclusion says 51.00 %, which its tables and claims do not; "
    assert report.main(words(own, "--check")) == 1
    assert capsys.readouterr().err.startswith(told)
    assert (own / "RESULTS.md").read_text(encoding="utf-8") == before
    assert report.main(words(own)) == 1
    assert capsys.readouterr().err.startswith(told)
    after = (own / "RESULTS.md").read_text(encoding="utf-8")
    assert after == before.replace("\nSo it is.\n", "")
    assert report.main(words(own, "--check")) == 1  # the tables are right, the conclusion is not


@pytest.mark.parametrize("name", ["RESULTS.md", "results.csv"])
def test_a_mistyped_file_changes_nothing(own, name):
    other = "--page" if name == "RESULTS.md" else "--results"
    before = {path: path.read_bytes() for path in own.rglob("*") if path.is_file()}
    with pytest.raises(report.UserError, match=rf"^{other}=.*nope: there is no such file$"):
        report.main(words(own, other, str(own / "nope")))
    assert {path: path.read_bytes() for path in own.rglob("*") if path.is_file()} == before


def test_every_row_says_where_it_is_from():
    needed = (
        "comparison",
        "run",
        "seed",
        "budget",
        "outcome",
        "commit",
        "processor",
        "precision",
        "minutes",
        "command",
    )
    for row in results.read():
        assert all(row[name] for name in needed), row
        assert row["outcome"] in ("finished", "diverged", "stopped")
        assert row["outcome"] == "stopped" or row["date"]
        assert version.CHANGED not in row["commit"], f"{row['run']} was run by code that is in no commit"


def test_pictures_are_small():
    for path in (ROOT / report.PICTURES).glob("*.png"):
        assert path.stat().st_size < 100_000, path


def test_figures_of_a_finished_comparison():
    text = report.part(COMPARISON, rows())
    spread = {name: statistics.stdev(top1) for name, top1 in TOP1.items() if None not in top1}
    assert "| network | test top-1 | test loss | parameters | n | the paper |" in text
    assert f"| the first | 55.00 ± {100 * spread['a']:.2f} % | 1.500 ± 0.707 | 1,234 | 2 | 91 % |" in text
    assert f"| b | 50.00 ± {100 * np.std([0.25, 0.75], ddof=1):.2f} % | 1.500 ± 0.707 | 1,234 | 2 | – |" in text
    assert "| c | 12.50 %; diverged (1 of 2) | 1.000 | 1,234 | 1 | – |" in text  # a mean of one
    assert "| network (test top-1) | x | y |\n" in text
    assert "| first | 55.00 ± 7.07 % (n = 2); the paper 91 % | – |\n" in text
    assert "| second | 50.00 ± 35.36 % (n = 2) | 12.50 % (n = 1); diverged (1 of 2) |\n" in text
    assert "± is the standard deviation over n seeds.\n" in text
    assert "a processor, float32; 12 minutes in all; commit abc1234." in text
    assert text.endswith("![Points](docs/images/experiments/made.png)\n\n*Points.*\n\nSo it is.\n")
    assert "so far" not in text


def test_runs_that_all_diverged_have_no_figure_and_count_none():
    lost = [row | {"outcome": "diverged", "top1": "", "loss": ""} for row in rows()]
    text = report.part(COMPARISON, lost)
    assert "| the first | diverged (2 of 2) | – | – | 0 | 91 % |" in text
    assert "| first | diverged (2 of 2); the paper 91 % | – |" in text


def test_what_the_figures_are_is_said_where_it_is_not_plain():
    text = " ".join(report.part(COMPARISON, rows()).split())
    assert "Training figures" not in text
    assert "The best of a group" not in text
    trained = dataclasses.replace(COMPARISON, tables=(Table(figures=("top1", "train_loss")),))
    assert "Training figures are means over the last epoch" in " ".join(report.part(trained, rows()).split())
    grouped = dataclasses.replace(COMPARISON, runs=tuple(dataclasses.replace(r, group="g") for r in COMPARISON.runs))
    assert "The best of a group is that with the best validation" in " ".join(report.part(grouped, rows()).split())


def test_an_unfinished_comparison_shows_what_has_been_run():
    text = report.part(COMPARISON, rows()[:3])
    assert "commit abc1234. 3 of 6 runs so far." in text
    assert "| b | 25.00 % | 1.000 | 1,234 | 1 | – |\n| c | not run | – | – | 0 | – |" in text
    assert "| network (test top-1) | x | y |" in text  # the cells have unequal n, and each says its own
    assert "| first | 55.00 ± 7.07 % (n = 2); the paper 91 % | – |\n| second | 25.00 % (n = 1) | not run |" in text
    assert "![Points]" in text
    assert "So it is." in text
    assert "`python experiments/run.py made`: some" in text
    assert "`python experiments/run.py made --again` repeats it." in text
    assert "- nobody: None." in text


def test_a_comparison_that_has_not_been_run_shows_no_figure():
    text = report.part(COMPARISON, [])
    assert text.endswith("It has not been run yet.\n")
    assert "|" not in text
    assert "So it is" not in text


def test_choices_of_seeds_that_overlap_are_called_so_and_have_what_the_paper_has():
    test = Test("two", ("a",), 2, label="two together", paper="93 %")
    comparison = dataclasses.replace(COMPARISON, tests=(test,), budgets={"small": Budget("some", {}, 3)})
    pairs = [
        comparisons.row(work.testing(comparison, "small", test, group), top1=top1)
        for group, top1 in zip(test.groups(3), (0.6, 0.7, 0.8), strict=True)
    ]
    text = " ".join(report.part(comparison, [*rows(), *pairs]).split())
    assert "over n seeds; where a line is several seeds together, over n choices of seeds that overlap." in text
    assert "| two together | 70.00 ± 10.00 % | – | – | 3 | 93 % |" in text


def test_every_choice_of_seeds_counts_however_many_seeds_another_line_has():
    test = Test("three", ("a",), 3, label="three together")
    comparison = dataclasses.replace(COMPARISON, tests=(test,), budgets={"small": Budget("some", {}, 4)})
    assert test.groups(4) == [(0, 1, 2), (1, 2, 3), (2, 3, 0), (3, 0, 1)]
    made = [comparisons.row(work.testing(comparison, "small", test, group), top1=0.5) for group in test.groups(4)]
    seventh = comparisons.row(work.training(comparison, "small", comparison.runs[0], 6), top1=0.5)
    text = report.part(comparison, [*made, seventh])
    assert "| three together | 50.00 ± 0.00 % | – | – | 4 | – |" in text
    assert "| the first | 50.00 % | – | – | 1 | 91 % |" in text
    stale = {**made[0], "command": "python train.py --mode test --crops 10"}
    assert "| three together | 50.00 ± 0.00 % | – | – | 3 | – |" in report.part(comparison, [stale, *made[1:], seventh])


def test_curves_that_are_not_there_are_not_shown():
    comparison = dataclasses.replace(COMPARISON, pictures=(Picture("curves", "Curves", ("train_loss",)),))
    assert "![Curves]" not in report.part(comparison, rows())
    assert "![Curves]" in report.part(comparison, rows(), curve_points())
    of_b = [point for point in curve_points() if point["run"] == "b"]
    assert "![Curves]" not in report.part(comparison, rows()[:2], of_b)  # of another command: b has no row


def test_what_is_left_out_says_why_and_is_not_missing():
    late = Run("d", label="the last", left_out="it takes a day")
    after = Run("e", {"epochs": 2}, start="d")
    comparison = dataclasses.replace(COMPARISON, runs=(*COMPARISON.runs, late, after))
    text = report.part(comparison, rows())
    assert "so far" not in text
    assert "| the last | left out | – | – | 0 | – |\n| e | left out | – | – | 0 | – |" in text
    assert "\nLeft out because it takes a day: the last; e.\n" in text
    text = report.part(dataclasses.replace(COMPARISON, left_out="it takes a week"), [])
    assert text.endswith("\nLeft out because it takes a week.\n")
    assert "yet" not in text


def test_rows_of_other_commands_do_not_count():
    changed = dataclasses.replace(COMPARISON, base={"arch": "lenet5", "epochs": 4, "ema": 0.5})
    assert "It has not been run yet." in report.part(changed, rows())


def test_a_row_of_an_earlier_version_stands_beside_the_others():
    earlier = Run("before", label="an earlier version", earlier="python train.py --long-ago")
    comparison = dataclasses.replace(COMPARISON, runs=(*COMPARISON.runs, earlier))
    mine = rows(COMPARISON)
    old = {**mine[0], "run": "before", "command": earlier.earlier, "top1": "0.4"}
    assert "| an earlier version | 40.00 % |" in report.part(comparison, [*mine, old])
    assert "| an earlier version | 40.00 % |" in report.part(comparison, [*mine, {**old, "outcome": "stopped"}])
    assert "40.00 %" not in report.part(comparison, [*mine, {**old, "command": "another"}])
    assert "| the first | 60.00 % |" in report.part(comparison, [{**mine[0], "outcome": "stopped"}, *mine[1:]])
    text = report.part(comparison, [old])
    assert "| an earlier version | 40.00 % |" in text
    assert " 0 of 6 runs so far." in text


def test_the_best_of_each_group():
    group = tuple(
        Run(f"{name}-{rate}", {"optimizer": name, "learning_rate": rate}, f"{name}, rate {rate}", group=name)
        for name in ("sgd", "adam")
        for rate in (0.1, 0.2)
    )
    comparison = dataclasses.replace(COMPARISON, runs=group, tables=(Table("best", ("top1",), "optimizer"),))
    scores = {"sgd-0.1": 0.3, "sgd-0.2": 0.4, "adam-0.1": 0.6, "adam-0.2": 0.5}
    made = [
        comparisons.row(work.training(comparison, "small", run, 0), best_validation=scores[run.name], top1=0.5)
        for run in group
    ]
    text = tables.draw(comparison.tables[0], comparison, "small", made)
    assert text.splitlines()[2:] == ["| sgd | 0.2 | 50.00 % | 1 |", "| adam | 0.1 | 50.00 % | 1 |"]
    published = dataclasses.replace(comparison, runs=(*group[:3], dataclasses.replace(group[3], paper="60 %")))
    made[3]["best_validation"] = "0.7"
    text = tables.draw(comparison.tables[0], published, "small", made)
    assert text.splitlines()[2:] == ["| sgd | 0.2 | 50.00 % | 1 | – |", "| adam | 0.2 | 50.00 % | 1 | 60 % |"]
    text = tables.draw(comparison.tables[0], comparison, "small", made[:1])
    assert "the paper" not in text
    assert text.splitlines()[2:] == ["| sgd | not all run | not run | 0 |", "| adam | – | not run | 0 |"]


def test_a_difference_in_points_and_standard_errors():
    table = dataclasses.replace(COMPARISON.tables[0], rows=("a", "b"), against="a")
    text = tables.draw(table, COMPARISON, "small", rows())
    assert text.splitlines()[0].endswith("| n | against the first | the paper |")
    assert text.splitlines()[2].endswith("| 2 | – | 91 % |")
    # b has 0.25 and 0.75, a 0.5 and 0.6: -5 points, and sqrt((0.125 + 0.005) / 2) = 0.255
    assert text.splitlines()[3].endswith("| 2 | -5.00 points, 0.2 standard errors | – |")
    assert tables.against([0.5], [0.4, 0.6]) == tables.NOTHING  # one alone has no spread
    assert tables.against([0.5, 0.5], [0.25, 0.25]) == "+25.00 points"


def test_all_markers_are_needed(tmp_path, capsys):
    page = tmp_path / "RESULTS.md"
    page.write_text(report.PAGE.read_text(encoding="utf-8").replace("<!-- experiments:lrn end -->", ""))
    with pytest.raises(report.UserError, match="experiments:lrn begin"):
        report.main(["--page", str(page)])
    assert len(catalogue.NAMES) == len(set(catalogue.NAMES))
