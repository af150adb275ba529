"""`Setting`: what is known of a value that a person may set. Flag, check and line in --help come from it."""

import importlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from common.errors import UserError, unknown


@dataclass(frozen=True)
class Setting:
    """Help and range of one value: of a `Recipe` field, of an `Architecture`'s option, or of another flag.

    Attributes:
        help: what it means, without a full stop.
        choices: the names it may take; or where they stand, as "module:TABLE", which is imported when it is first
            needed. So an optimizer is declared in the table of optimizers alone.
        least, most: its range, both ends included.
        above, below: its range, the ends left out.
    """

    help: str
    choices: tuple[str, ...] | str = ()
    least: float | None = None
    most: float | None = None
    above: float | None = None
    below: float | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """The names it may take; () where it is not one of a list."""
        if isinstance(self.choices, str):
            module, _, table = self.choices.partition(":")
            return tuple(getattr(importlib.import_module(module), table))
        return self.choices

    @property
    def range(self) -> str:
        """What it may be, e.g. "above 0" or "in [0, 1)"; "" without a range."""
        lower = self.least if self.above is None else self.above
        upper = self.most if self.below is None else self.below
        if lower is not None and upper is not None:
            return f"in {'[('[self.above is not None]}{lower:,}, {upper:,}{'])'[self.below is not None]}"
        if lower is not None:
            return f"above {lower:,}" if self.above is not None else f"of at least {lower:,}"
        if upper is not None:
            return f"below {upper:,}" if self.below is not None else f"of at most {upper:,}"
        return ""

    def check(self, name: str, value: Any) -> None:
        """Raises UserError where `value` (None: not set; a tuple: each of its items) is not allowed for --`name`."""
        for item in value if isinstance(value, Sequence) and not isinstance(value, str) else (value,):
            if item is None or isinstance(item, bool):
                continue
            if isinstance(item, str):
                if self.choices and item not in self.names:
                    raise unknown(f"--{name}", item, self.names)
            elif not math.isfinite(item) or not self._inside(item):
                kind = "whole" if isinstance(item, int) else "finite"
                raise UserError(f"--{name}={item}: must be a {kind} number{self.range and f' {self.range}'}")

    def _inside(self, value: float) -> bool:
        return (
            (self.least is None or value >= self.least)
            and (self.most is None or value <= self.most)
            and (self.above is None or value > self.above)
            and (self.below is None or value < self.below)
        )
