"""How fast a run is, and how long it will still take."""

import time
from collections.abc import Callable

KEPT = 0.8  # share of an interval's weight in the recent speed that it keeps when the next one is read
PAUSE = 5.0  # an interval this many times as slow as the recent ones was interrupted


class Speed:
    """Images per second, the share of time waiting for data, and the time left from the recent speed.

    Time counts in intervals: `read` ends one and begins the next, `count` adds a step to the one under way; what lies
    between `pause` and `resume`, the end of an epoch, belongs to none. The recent speed is that of all intervals of
    this process, each weighted by its steps times 0.8 for every interval since. An interval in which the process was
    stopped is left out, and the speed starts afresh with the next one.
    """

    def __init__(self, batch_size: int, clock: Callable[[], float] = time.perf_counter):
        self.batch_size, self.clock = batch_size, clock
        self._seconds = self._steps = 0.0  # weighted sums over the intervals before
        self.seconds_per_step: float | None = None
        self.pauses, self.epoch_end = 0, 0.0  # how many there were; seconds of the last one
        self.restart()

    def restart(self) -> None:
        """Begins an interval."""
        self.start, self.waited, self.counted = self.clock(), 0.0, 0

    def count(self, waited: float) -> None:
        """Counts one step and the seconds it waited for its images."""
        self.counted += 1
        self.waited += waited

    def pause(self) -> None:
        """Stops the clock at the end of an epoch."""
        self.start = self.clock()

    def resume(self) -> None:
        """Begins an interval after a pause, and remembers how long that was; the first holds the tracing."""
        self.pauses += 1
        self.epoch_end = self.clock() - self.start if self.pauses > 1 else 0.0
        self.restart()

    def read(self) -> tuple[float, float]:
        """Ends the interval and begins the next. Returns its images/s and its share of time waiting, 0..1."""
        elapsed = max(self.clock() - self.start, 1e-9)
        counted, waited = self.counted, self.waited
        self.restart()
        if counted:
            self._take(counted, elapsed)
        return counted * self.batch_size / elapsed, waited / elapsed

    def _take(self, steps: int, seconds: float) -> None:
        if self._steps and seconds / steps > PAUSE * self._seconds / self._steps:
            self._seconds = self._steps = 0.0
            return
        self._seconds = KEPT * self._seconds + seconds
        self._steps = KEPT * self._steps + steps
        self.seconds_per_step = self._seconds / self._steps

    def seconds_left(self, steps: int, epochs: int) -> float:
        """Time for `steps` more steps, and for the ends of `epochs` epochs once there was one without tracing."""
        per_step = self.seconds_per_step
        if per_step is None:  # before the first interval is over
            per_step = (self.clock() - self.start) / max(self.counted, 1)
        return steps * per_step + epochs * self.epoch_end
