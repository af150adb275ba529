"""One process at a time: a lock on a file (filelock), which the system lets go when its holder dies."""

import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from common.errors import UserError


def _lock(path: Path, timeout: float) -> FileLock:
    """A file system without locks is an error: filelock's stand-in, a marker file, would outlive a killed holder."""
    return FileLock(path, timeout, fallback_to_soft=False)


@contextmanager
def hold(path: Path, what: str, say: Callable[[str], None] = print) -> Iterator[None]:
    """Holds an exclusive lock on `path` as long as the block runs. The file stays, empty, afterwards.

    The file names its holder. A killed holder leaves its name but not the lock; the lock is then taken over, with a
    line that says so.

    Args:
        path: of the lock file; made where it does not exist.
        what: what is locked, for messages.
        say: takes the line about a stale lock.

    Raises:
        UserError: another process holds it; names its pid and host.
        OSError: the file cannot be made, or the file system has no locks.
    """
    lock = _lock(path, 0)
    try:
        lock.acquire()
    except Timeout:
        holder = path.read_text(encoding="utf-8") or "another process"
        raise UserError(f"{what} is in use by {holder}; wait for it, stop it, or use another", 1) from None
    try:
        before = path.read_text(encoding="utf-8")
        if before:
            say(f"{what}: the lock of {before} is stale, that process is gone")
        path.write_text(f"process {os.getpid()} on {socket.gethostname()}", encoding="utf-8")
        try:
            yield
        finally:
            path.write_text("", encoding="utf-8")
    finally:
        lock.release()


@contextmanager
def wait(path: Path) -> Iterator[None]:
    """The same, but waits for the lock as long as it takes: for work that several processes begin at once."""
    with _lock(path, -1):
        yield
