"""SIGINT and SIGTERM as requests to stop in good order."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def noted() -> Iterator[list[signal.Signals]]:
    """Yields a list that fills when SIGINT or SIGTERM arrives; a second one ends the process at once."""
    arrived: list[signal.Signals] = []

    def note(number, _):
        arrived.append(signal.Signals(number))
        signal.signal(number, signal.SIG_DFL)

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield arrived
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
