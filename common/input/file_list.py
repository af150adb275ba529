"""The paths of very many files, in one string and two arrays: 1.28 million of them as `str` take 200 MB."""

import os
from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import overload

import numpy as np


@dataclass(frozen=True, eq=False)
class FileList(Sequence[str]):
    """Paths that begin alike. Comparing two compares what they are, not what they hold.

    Attributes:
        base: what all begin with.
        content: what follows, as the file system has it, of these and perhaps of other files, one after another.
        begins: (files,) int64, where each file's part of `content` begins.
        lengths: (files,) int32, bytes.
    """

    base: str
    content: bytes
    begins: np.ndarray
    lengths: np.ndarray

    def __len__(self) -> int:
        return len(self.begins)

    @overload
    def __getitem__(self, place: int) -> str: ...
    @overload
    def __getitem__(self, place: slice) -> "FileList": ...

    def __getitem__(self, place):
        if isinstance(place, slice):
            return self.chosen(place)
        begin = self.begins[place]
        return self.base + os.fsdecode(self.content[begin : begin + self.lengths[place]])

    def __add__(self, other: "FileList") -> "FileList":
        """These and then others of the same base and content."""
        if self.base != other.base or self.content is not other.content:
            raise ValueError("file lists of different trees")
        begins, lengths = ((getattr(self, name), getattr(other, name)) for name in ("begins", "lengths"))
        return replace(self, begins=np.concatenate(begins), lengths=np.concatenate(lengths))

    def chosen(self, places: np.ndarray | slice) -> "FileList":
        """The files at these places, or where an array of bool is true."""
        return replace(self, begins=self.begins[places], lengths=self.lengths[places])

    @cached_property
    def names(self) -> "FileList":
        """The same without what all begin with."""
        return replace(self, base="")

    def end_in(self, endings: Sequence[str]) -> np.ndarray:
        """(files,) bool: whether a name ends in one of these lower-case ASCII endings, whatever its own case."""
        letters, ends = np.frombuffer(self.content, np.uint8), self.begins + self.lengths
        found = np.zeros(len(self), bool)
        for ending in endings:
            alike = self.lengths >= len(ending)
            for back, letter in enumerate(reversed(ending.encode()), start=1):
                there = letters[np.maximum(ends - back, 0)]
                alike &= (there == letter) | (there == ord(chr(letter).upper()))
            found |= alike
        return found


@dataclass
class Collector:
    """Takes paths that begin with `base`, one after another."""

    base: str
    content: bytearray = field(default_factory=bytearray)
    lengths: array = field(default_factory=lambda: array("i"))

    def __post_init__(self):
        self._skipped = len(os.fsencode(self.base))

    def add(self, path: str) -> None:
        """Takes one path."""
        name = os.fsencode(path)[self._skipped :]
        self.content += name
        self.lengths.append(len(name))

    def collected(self) -> FileList:
        """All of them, in their order."""
        lengths = np.array(self.lengths, np.int32)
        ends = np.cumsum(lengths, dtype=np.int64)
        return FileList(self.base, bytes(self.content), ends - lengths, lengths)
