"""What stands in RESULTS.md of a comparison: tables, how much has been run, what is left out."""

import dataclasses
import statistics

import numpy as np

import comparisons
from experiments import report, tables, work
from experiments.design import Budget, Picture, Run, Table, Test
from made_comparison import COMPARISON, TOP1, curve_points, rows


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
