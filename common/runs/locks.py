"""One process at a time: a lock on a file, which the system lets go when its holder dies."""

import fcntl
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from common.errors import UserError


@contextmanager
def hold(path: Path, what: str, say: Callable[[str], None] = print) -> Iterator[None]:
    """Holds an exclusive lock on `path` as long as the block runs. The file stays, empty, afterwards.

    It names its holder. A holder that was killed has left its name behind but not the lock: that is taken over, and
    said.

    Args:
        path: of the lock file; made where it does not exist.
        what: what is locked, for messages.
        say: takes the line about a stale lock.

    Raises:
        UserError: another process holds it; names its pid and host.
    """
    with open(path, "a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(f"{what} is in use by {_holder(file)}; wait for it, stop it, or use another", 1) from None
        before = _holder(file)
        if before:
            say(f"{what}: the lock of {before} is stale, that process is gone")
        file.truncate(0)
        file.write(f"process {os.getpid()} on {socket.gethostname()}")
        file.flush()
        try:
            yield
        finally:
            file.truncate(0)


@contextmanager
def wait(path: Path) -> Iterator[None]:
    """The same, but waits for the lock as long as it takes: for work that several processes begin at once."""
    with open(path, "a+", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _holder(file) -> str:
    file.seek(0)
    return file.read().strip()
