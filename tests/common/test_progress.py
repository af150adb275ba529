import sys

from common import progress


def test_plain_lines_give_rate_and_time_left(monkeypatch, capsys):
    now = 100.0
    monkeypatch.setattr(progress.time, "monotonic", lambda: now)
    bar = progress.Progress(5000, done=1000)
    now = 108.0  # start-up is no part of the rate
    bar.update(1000)
    bar.update(1200)
    now = 118.0
    bar.update(2200)
    now = 119.0
    bar.update(2300)
    bar.close()
    assert capsys.readouterr().out == "2,200 of 5,000 images, 100/s, 00:00:28 left\n"


def test_quiet_says_nothing(capsys):
    bar = progress.Progress(10, every=0.0, quiet=True)
    for done in range(11):
        bar.update(done)
    assert capsys.readouterr().out == ""


def test_units_and_stream_are_chosen(capsys):
    bar = progress.Progress(3, every=0.0, unit="records", stream=sys.stderr)
    for done in (1, 2, 3):
        bar.update(done)
    said = capsys.readouterr()
    assert said.out == ""
    assert [line.split(",")[0] for line in said.err.splitlines()] == ["2 of 3 records", "3 of 3 records"]
