"""A page from a template: one file with its style, its script and its data inside, which loads nothing from elsewhere.

Templates escape whatever they are given (Jinja2's autoescape), data stand as JSON with <, > and & escaped, and the
page's content security policy runs no script but its own, known by its digest.
"""

import base64
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from common.runs.files import write_text

_FOLDER = Path(__file__).parent / "templates"
_SCRIPTS = ("chart.js", "page.js")


def percent(value: float | None) -> str:
    """`98.33 %` of 0.98333; nothing of what is not defined."""
    return "" if value is None else f"{100 * value:.2f} %"


def decimals(value: float | None, digits: int = 4) -> str:
    """`0.0346`; nothing of what is not defined."""
    return "" if value is None else f"{value:.{digits}f}"


def count(value: float) -> str:
    """`1,257`."""
    return f"{value:,}"


def plain(value: Any) -> str:
    """A setting as people write it: a list's parts with commas, `none` for None."""
    if isinstance(value, list | tuple):
        return ", ".join(map(plain, value)) or "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        short = f"{value:g}"
        return short if float(short) == value else str(value)
    return "none" if value is None else str(value)


def render(template: str, values: Mapping[str, Any], data: Mapping[str, Any]) -> str:
    """The page of a template.

    Args:
        template: its name in templates/.
        values: what it shows.
        data: what its script reads, JSON-able.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_FOLDER),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.policies["json.dumps_kwargs"] = {"allow_nan": False, "separators": (",", ":"), "sort_keys": False}
    environment.filters |= {"percent": percent, "decimals": decimals, "count": count, "plain": plain}
    script = "\n".join((_FOLDER / name).read_text(encoding="utf-8") for name in _SCRIPTS)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"
    style = (_FOLDER / "style.css").read_text(encoding="utf-8")
    return environment.get_template(template).render(
        **values, data=data, script=Markup(script), style=Markup(style), policy=policy
    )


def write(path: Path, text: str) -> None:
    """Writes a page, whole or absent. Bytes of a file name that are no UTF-8 become \\udcNN."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, text.encode("utf-8", "backslashreplace").decode("utf-8"))
