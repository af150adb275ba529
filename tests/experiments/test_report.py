"""RESULTS.md says what results.csv has, to the digit, and how much of a comparison that is."""

import dataclasses
from pathlib import Path

import pytest

from experiments import catalogue, report, results, tables, version
from made_comparison import COMPARISON, jobs, rows

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
