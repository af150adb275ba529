import io
import os

import pytest

from common import progress


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0s"), (59.4, "59s"), (59.6, "1m00s"), (185, "3m05s"), (7620, "2h07m")]
)
def test_duration(seconds, text):
    assert progress.duration(seconds) == text


class Terminal(io.StringIO):
    """Stands for a terminal of 31 columns, of which the last stays free."""

    def isatty(self):
        return True

    def fileno(self):
        return 1


@pytest.fixture
def terminal(monkeypatch):
    monkeypatch.setattr(os, "get_terminal_size", lambda _: os.terminal_size((31, 10)))
    return Terminal()


def test_plain_lines_without_a_terminal():
    stream = io.StringIO()
    line = progress.ProgressLine(10, stream=stream)
    line.live(1, "unseen")
    line.show(2, "plain")
    line.say("said")
    line.close()
    assert stream.getvalue() == "plain\nsaid\n"


def test_a_terminal_without_a_size_gets_plain_lines(monkeypatch):
    monkeypatch.setattr(os, "get_terminal_size", lambda _: os.terminal_size((0, 0)))
    stream = Terminal()
    progress.ProgressLine(10, stream=stream).show(2, "plain")
    assert stream.getvalue() == "plain\n"


def test_one_live_line_on_a_terminal(terminal):
    line = progress.ProgressLine(10, stream=terminal)
    line.show(5, "x" * 50)
    shown = terminal.getvalue().rpartition("\r")[2]
    assert shown.endswith(" " + "x" * 24)  # a bar of five, and the text up to the edge
    assert len(shown) <= 30
    line.say("said")
    line.close()
    written = terminal.getvalue()
    assert written.count("\n") == 1  # the line that stays
    assert "\rsaid\n" in written
    assert written.rpartition("\n")[2].rstrip("\r").rpartition("\r")[2].strip() == ""  # and nothing after it


@pytest.mark.parametrize(
    ("values", "drawn"),
    [
        (range(8), "▁▂▃▄▅▆▇█"),
        ([3.0, 1.0, 2.0], "█▁▅"),  # half way: 3.5 of 7 levels, to the even one
        ([0, 2, 10, 12, 20, 22, 30, 32, 40, 42, 50, 52, 60, 62, 70, 72], "▁▂▃▄▅▆▇█"),  # means of two
        ([2.5] * 20, "▄" * 8),
        ([7], "▄"),
        ([], ""),
    ],
)
def test_a_sparkline_goes_from_the_lowest_to_the_highest(values, drawn):
    assert progress.sparkline(values) == drawn


@pytest.mark.parametrize(
    ("columns", "encoding", "draws"),
    [(110, "UTF-8", True), (110, "utf8", True), (109, "UTF-8", False), (200, "latin-1", False), (200, None, False)],
)
def test_sparklines_want_a_wide_terminal_that_takes_utf_8(monkeypatch, columns, encoding, draws):
    monkeypatch.setattr(os, "get_terminal_size", lambda _: os.terminal_size((columns, 10)))
    monkeypatch.setattr(Terminal, "encoding", encoding, raising=False)
    line = progress.ProgressLine(10, stream=Terminal())
    assert line.draws is draws
    line.close()


def test_a_file_gets_no_sparkline():
    assert progress.ProgressLine(10, stream=io.StringIO()).draws is False
