"""Progress of a long job: a live bar with ETA on a terminal, a plain line now and then elsewhere."""

import sys
import time


class Progress:
    """Counts up to `total`. On a terminal a tqdm bar, else a line every `every` seconds; nothing where `quiet`."""

    def __init__(self, total: int, done: int = 0, unit: str = "images", every: float = 10.0, quiet: bool = False):
        self.total, self.done, self.first, self.unit, self.every = total, done, done, unit, every
        self.quiet = quiet
        self.began = self.said = time.monotonic()
        self.bar = None
        if not quiet and sys.stderr.isatty():
            import tqdm

            self.bar = tqdm.tqdm(total=total, initial=done, unit=f" {unit}", dynamic_ncols=True, smoothing=0.05)

    def update(self, done: int) -> None:
        """Says that `done` of the total are done now."""
        if self.bar is not None:
            self.bar.update(done - self.done)
        self.done = done
        now = time.monotonic()
        if not self.quiet and self.bar is None and now - self.said >= self.every:
            self.said = now
            rate = (done - self.first) / (now - self.began)
            left = time.strftime("%H:%M:%S", time.gmtime((self.total - done) / rate)) if rate else "unknown"
            print(f"{done:,} of {self.total:,} {self.unit}, {rate:,.0f}/s, {left} left", flush=True)

    def close(self) -> None:
        """Ends the bar's line."""
        if self.bar is not None:
            self.bar.close()
