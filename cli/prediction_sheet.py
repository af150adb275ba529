"""`--sheet FILE.png`: the pictures that `--mode predict` answers, with their most likely classes."""

from collections.abc import Sequence
from pathlib import Path

from cli import image_files, thumbnails
from cli.answers import Answer
from common.errors import UserError, printable
from common.visualization import sheets

COLUMNS, ROWS = 8, 6
PAGE = COLUMNS * ROWS  # pictures
PAGES = 10  # at most
CLASSES = 3  # of a picture


class Sheet:
    """Takes answers in the order of their files; writes each page as soon as it is full, and the last at the end.

    The pages are FILE.png, FILE-2.png ... FILE-10.png; a file that cannot be used is not on them.

    Args:
        path: of the first page; its folder is made.
        files: that the answers are of; may grow, and holds each by the time it is answered.
        heading: of every page.

    Raises:
        UserError: it is no .png, or cannot be written.
    """

    def __init__(self, path: str, files: Sequence[str], heading: str):
        self._path, self._files, self._heading = Path(path), files, heading
        self._waiting: list[tuple[str, Answer]] = []
        self._answered = self._pages = self._left_out = 0
        if self._path.suffix.lower() != ".png":
            raise UserError(f"--sheet={path}: name a .png file")
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise self._unwritten(error) from error

    def add(self, answers: list[Answer]) -> None:
        """Takes the next answers."""
        for answer in answers:
            file = self._files[self._answered]
            self._answered += 1
            if "error" in answer:
                continue
            if self._pages == PAGES:
                self._left_out += 1
                continue
            self._waiting.append((file, answer))
            if len(self._waiting) == PAGE:
                self._write()

    def close(self) -> list[str]:
        """Writes the last page; returns what there is to say of all."""
        if self._waiting:
            self._write()
        if not self._pages:
            return ["no sheet: none of the pictures can be read"]
        said = f"{self._page(1)}" + (f" to {self._page(self._pages)}" if self._pages > 1 else "")
        more = f"; {self._left_out:,} further ones are not shown" if self._left_out else ""
        return [f"sheet of the pictures and their classes: {said}{more}"]

    def _page(self, number: int) -> Path:
        return self._path if number == 1 else self._path.with_stem(f"{self._path.stem}-{number}")

    def _write(self) -> None:
        """Draws the pictures that wait."""
        shrink = thumbnails.maker()
        cells = []
        for file, answer in self._waiting:
            encoded = image_files.usable(file, {})
            if encoded is None:  # it was removed meanwhile
                continue
            best = [
                f"{sheets.short(one['class'], 17)} {one['probability']:.0%}" for one in answer["predictions"][:CLASSES]
            ]
            cells.append(sheets.Cell(shrink(encoded), "\n".join([_end(file), *best])))
        self._waiting.clear()
        if cells:
            self._pages += 1
            first = (self._pages - 1) * PAGE + 1
            heading = f"{self._heading}: pictures {first:,} to {first + len(cells) - 1:,}"
            try:
                draw(self._page(self._pages), cells, heading)
            except OSError as error:
                raise self._unwritten(error) from error

    def _unwritten(self, error: OSError) -> UserError:
        return UserError(f"--sheet={printable(str(self._path))}: cannot be written ({error.strerror})", 1)


def _end(file: str, most: int = 20) -> str:
    """A file's name without its folder, its end where it is long, for a title."""
    name = Path(printable(file)).name
    return (name if len(name) <= most else "…" + name[1 - most :]).replace("$", r"\$")


def draw(path: Path, cells: Sequence[sheets.Cell], heading: str) -> None:
    """Writes one page."""
    sheets.grid(path, cells, min(COLUMNS, len(cells)), heading)
