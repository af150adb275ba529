"""Keeps the links of docs/*.md to lines of code true: `[alexnet.py, build](../alexnet.py#L33)` points to `build`.

python docs/link_lines.py            sets the line numbers
python docs/link_lines.py --check    exits 1 where one is wrong
"""

import re
import sys
from pathlib import Path

DOCS = Path(__file__).resolve().parent
LINK = re.compile(r"\[(?P<text>[^\]]*, `?(?P<name>\w+)`?)\]\((?P<path>\.\./[^)#]+)#L(?P<line>\d+)\)")


def line_of(file: Path, name: str) -> int:
    """The line, from 1, where a function, class, table or field of this name begins. Raises LookupError for none."""
    lines = file.read_text(encoding="utf-8").splitlines()
    for kind in (r"\s*(?:def |class )", "", r'\s*(?:_flag\()?"?'):  # a definition, a table, a field or flag
        wanted = re.compile(rf'{kind}{re.escape(name)}"?\s*[(:=,]')
        for number, line in enumerate(lines, start=1):
            if wanted.match(line):
                return number
    raise LookupError(f"{file}: nothing called {name} begins here")


def relinked(page: Path) -> str:
    """The text of a page with every line number set."""

    def set_line(link: re.Match) -> str:
        number = line_of((DOCS / link["path"]).resolve(), link["name"])
        return f"[{link['text']}]({link['path']}#L{number})"

    return LINK.sub(set_line, page.read_text(encoding="utf-8"))


def main() -> None:
    """Sets or checks the numbers of all pages."""
    wrong = []
    for page in sorted(DOCS.glob("*.md")):
        text = relinked(page)
        if text != page.read_text(encoding="utf-8"):
            wrong.append(page.name)
            if "--check" not in sys.argv:
                page.write_text(text, encoding="utf-8")
    if "--check" in sys.argv and wrong:
        sys.exit(f"links to lines are out of date in {', '.join(wrong)}; run python docs/link_lines.py")


if __name__ == "__main__":
    main()
