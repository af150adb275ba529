"""Progress of a long job: a live bar with ETA on a terminal (tqdm), a plain line now and then elsewhere."""

import sys
import time
from typing import TextIO


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
        self.said = time.monotonic()
        self.start = None  # (time, done) at the first update: what comes before it says nothing about the rate
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
        elif now - self.said >= self.every and done > self.start[1]:
            self.said = now
            rate = (done - self.start[1]) / max(now - self.start[0], 1e-9)
            left = time.strftime("%H:%M:%S", time.gmtime(max(self.total - done, 0) / rate))
            text = f"{done:,} of {self.total:,} {self.unit}, {rate:,.0f}/s, {left} left"
            print(text, file=self.stream, flush=True)

    def close(self) -> None:
        """Ends the bar's line."""
        if self.bar is not None:
            self.bar.close()
