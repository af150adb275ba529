"""Progress of a long job: a live bar with ETA on a terminal, a plain line now and then elsewhere."""

import sys
import time


class Progress:
    """Counts up to `total`, of which `done` were done before.

    On a terminal a tqdm bar, else a line every `every` seconds; nothing where `quiet`.
    """

    def __init__(self, total: int, done: int = 0, every: float = 10.0, quiet: bool = False):
        self.total, self.done, self.every, self.quiet = total, done, every, quiet
        self.said = time.monotonic()
        self.start = None  # (time, done) at the first image: what comes before it says nothing about the rate
        self.bar = None
        if not quiet and sys.stderr.isatty():
            import tqdm

            self.bar = tqdm.tqdm(total=total, initial=done, unit=" images", dynamic_ncols=True, smoothing=0.05)

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
            rate = (done - self.start[1]) / (now - self.start[0])
            left = time.strftime("%H:%M:%S", time.gmtime((self.total - done) / rate))
            print(f"{done:,} of {self.total:,} images, {rate:,.0f}/s, {left} left", flush=True)

    def close(self) -> None:
        """Ends the bar's line."""
        if self.bar is not None:
            self.bar.close()
