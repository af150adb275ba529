"""How far a long job is: a live line on a terminal (tqdm), plain lines elsewhere."""

import codecs
import os
import sys
import time
from collections.abc import Sequence
from itertools import pairwise
from typing import TextIO

BLOCKS = "▁▂▃▄▅▆▇█"
WIDE = 110  # columns from which two sparklines have room behind the other figures


def duration(seconds: float) -> str:
    """Seconds as people say them: 42s, 3m05s, 2h07m."""
    seconds = round(seconds)
    if seconds < 60:
        return f"{seconds}s"
    minutes, seconds = divmod(seconds, 60)
    return f"{minutes}m{seconds:02d}s" if minutes < 60 else f"{minutes // 60}h{minutes % 60:02d}m"


def sparkline(values: Sequence[float], width: int = 8) -> str:
    """How finite values went, from the first to the last, as at most `width` blocks from the lowest to the highest.

    Of more values a block stands for the mean of an equal part of them.
    """
    parts = min(width, len(values))
    cuts = [part * len(values) // max(parts, 1) for part in range(parts + 1)]
    means = [sum(values[start:end]) / (end - start) for start, end in pairwise(cuts)]
    low, span = min(means, default=0.0), max(means, default=0.0) - min(means, default=0.0)
    top = len(BLOCKS) - 1
    return "".join(BLOCKS[round(top * (mean - low) / span) if span else top // 2] for mean in means)


def say(text: str) -> None:
    """A line on stdout that stays, above live lines of this process; from any thread."""
    tqdm = sys.modules.get("tqdm")
    if tqdm is None:
        print(text, flush=True)
    else:
        tqdm.tqdm.write(text)


class Progress:
    """Counts up to `total` `unit`s, of which `done` were done before.

    On a terminal a bar on stderr, else a line to `stream` (None: stdout) every `every` seconds; nothing where `quiet`.
    """

    def __init__(
        self,
        total: int,
        done: int = 0,
        every: float = 10.0,
        quiet: bool = False,
        unit: str = "images",
        stream: TextIO | None = None,
    ):
        self.total, self.done, self.every, self.quiet = total, done, every, quiet
        self.unit, self.stream = unit, stream
        self.printed = time.monotonic()
        # (time, done) at the first update: what comes before it says nothing about the rate
        self.start: tuple[float, int] | None = None
        self.bar = None
        if not quiet and sys.stderr.isatty():
            import tqdm

            self.bar = tqdm.tqdm(total=total, initial=done, unit=f" {unit}", dynamic_ncols=True, smoothing=0.05)

    def update(self, done: int) -> None:
        """Says that `done` of the total are done now."""
        step, self.done = done - self.done, done
        if self.quiet or not step:
            return
        if self.bar is not None:
            self.bar.update(step)
            return
        now = time.monotonic()
        if self.start is None:
            self.start = now, done
        elif now - self.printed >= self.every and done > self.start[1]:
            self.printed = now
            rate = (done - self.start[1]) / max(now - self.start[0], 1e-9)
            left = time.strftime("%H:%M:%S", time.gmtime(max(self.total - done, 0) / rate))
            text = f"{done:,} of {self.total:,} {self.unit}, {rate:,.0f}/s, {left} left"
            print(text, file=self.stream, flush=True)

    def close(self) -> None:
        """Ends the bar's line."""
        if self.bar is not None:
            self.bar.close()


class ProgressLine:
    """The progress line of a job of `total` parts, of which `done` were done before.

    On a terminal a tqdm bar with a text behind it, cut off at the right edge; elsewhere, also on a terminal that does
    not say how large it is, each text is a line of its own.
    """

    def __init__(self, total: int, done: int = 0, stream: TextIO | None = None):
        self.stream, self.bar = stream or sys.stdout, None
        if self.stream.isatty() and all(os.get_terminal_size(self.stream.fileno())):
            import tqdm

            layout = "{bar:5} {desc}"
            self.bar = tqdm.tqdm(
                total=total, initial=done, file=self.stream, bar_format=layout, dynamic_ncols=True, leave=False
            )

    @property
    def draws(self) -> bool:
        """Whether sparklines can be shown: a terminal of at least `WIDE` columns that takes UTF-8."""
        if self.bar is None or os.get_terminal_size(self.stream.fileno()).columns < WIDE:
            return False
        encoding = getattr(self.stream, "encoding", None) or "ascii"
        return codecs.lookup(encoding).name == "utf-8"

    def live(self, done: int, text: str) -> None:
        """Redraws the live line, at most ten times a second; nothing where there is no terminal."""
        if self.bar is not None:
            self.bar.set_description_str(text, refresh=False)
            self.bar.update(done - self.bar.n)

    def show(self, done: int, text: str) -> None:
        """Redraws the live line on a terminal, prints a plain one elsewhere."""
        if self.bar is None:
            print(text, file=self.stream, flush=True)
            return
        self.live(done, text)
        self.bar.refresh()

    def say(self, text: str) -> None:
        """A line that stays, on either."""
        if self.bar is None:
            print(text, file=self.stream, flush=True)
        else:
            self.bar.write(text, file=self.stream)

    def close(self) -> None:
        """Removes the live line."""
        if self.bar is not None:
            self.bar.close()
