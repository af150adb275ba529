"""Errors that the user can correct: one line, no traceback, an exit code."""

import difflib
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

LISTED = 200  # names in an error, e.g. not all of a thousand classes


class UserError(Exception):
    """An error in the user's input or in a file, not in the program.

    The message is one line that names the file or flag and says what to do. The program prints it and exits with
    `exit_code`: 2 for a wrong command line, 1 for a fault in data or environment, 3 for a run that diverged.
    """

    def __init__(self, message: str, exit_code: int = 2):
        super().__init__(message)
        self.exit_code = exit_code


@contextmanager
def ending_in_a_line(script: str, stopped: str = "stopped") -> Iterator[None]:
    """A UserError inside it ends the program: its line on stderr, behind the script's name, and its exit code.

    So does a closed standard output, in silence, and Ctrl-C, with what `stopped` says, where nothing inside has saved
    and ended before.
    """
    try:
        try:
            yield
        except SystemExit:  # argparse's --help
            _flush()
            raise
        _flush()
    except UserError as error:
        print(f"{script}: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        print(f"{script}: {stopped}", file=sys.stderr)
        sys.exit(130)
    except BrokenPipeError:  # what stands behind the pipe, say head, has read enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)


def _flush() -> None:
    if sys.stdout:  # None where the program was started with it closed
        sys.stdout.flush()


def unknown(what: str, given: str, allowed: Iterable[str]) -> UserError:
    """The error for a name outside a fixed list: says the nearest name where one is near, and what there is."""
    allowed = sorted(allowed)
    near = difflib.get_close_matches(given, allowed, n=1)
    hint = f"did you mean {near[0]}? " if near else ""
    more = f" and {len(allowed) - LISTED:,} more" if len(allowed) > LISTED else ""
    return UserError(f"{what}: {given!r} is not known; {hint}choose one of: {', '.join(allowed[:LISTED])}{more}")


def row_of(table: Mapping[Any, Any], what: str, key: Any) -> Any:
    """A row of a network's table. Raises UserError that says which there are where it has no such row."""
    if key not in table:
        raise UserError(f"{what}: {key!r} is not known; choose one of: {', '.join(map(str, table))}")
    return table[key]


def printable(name: str | bytes) -> str:
    """A file's name as text that can be printed: bytes that are not UTF-8 become \\xNN."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")
