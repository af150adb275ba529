"""`--config FILE`: flags in a file, YAML or JSON, or an earlier run's config.json."""

from pathlib import Path
from typing import Any

import yaml

from cli.flag_tables import Flag
from common.errors import UserError, unknown


def arguments(file: str, known: dict[str, Flag], other_recipe: bool = False) -> list[str]:
    """The file's flags as arguments, to be put in front of the command line's, which so win.

    Args:
        file: YAML, of which JSON is a part: flag names without dashes and their values; a list for several. `null`
            leaves a flag at its default. A run's config.json stands for the flags that begin the same run anew.
        known: the flags by name.
        other_recipe: a recipe is named beside the file; of a run's config.json the hyper-parameters are left out then.

    Raises:
        UserError: there is no such file, it is not YAML, or it has a key that is no flag.
    """
    try:
        text = Path(file).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"--config={file}: {getattr(error, 'strerror', None) or 'not a text file'}") from error
    try:
        values = yaml.safe_load(text)
    except yaml.YAMLError as error:
        where = getattr(error, "problem_mark", None)
        raise UserError(f"--config={file}: not YAML or JSON{(where and f', line {where.line + 1}') or ''}") from error
    if not isinstance(values, dict):
        raise UserError(f"--config={file}: give names of flags and their values, e.g. learning_rate: 0.01")
    if values.get("imported") is not None:
        raise UserError(f"--config={file}: it is of imported weights, which nothing trained; use --restore")
    if isinstance(values.get("recipe"), dict):
        recipe = set(values["recipe"]) if other_recipe else set()
        values = {name: value for name, value in of_run(values).items() if name not in recipe}
    return [_argument(file, name, value, known) for name, value in values.items() if value not in (None, [])]


def of_run(values: dict) -> dict[str, Any]:
    """The flags that begin the run of a config.json anew, and their values."""
    recipe = dict(values["recipe"])
    batch = recipe.get("learning_rate_batch")
    if batch:  # the rate there is that of the run's own batch
        recipe["learning_rate"] *= batch / recipe["batch_size"]
    same = ["arch", "dataset", "image_size", "seed", "precision", "device_normalise", "jit", "deterministic"]
    same += ["validation_share"]
    flags = {name: values[name] for name in same if name in values}
    start = values.get("started_from") or {}
    named = {"recipe": values.get("recipe_name"), "restore": start.get("path")}
    return flags | dict(values.get("options", {})) | recipe | named


def _argument(file: str, name: Any, value: Any, known: dict[str, Flag]) -> str:
    """One flag with its value, as on the command line."""
    if name not in known or name == "config":
        raise unknown(f"--config={file}: key", str(name), known.keys() - {"config"})
    if isinstance(value, bool):
        return f"--{name}" if value else f"--no{name}"
    if isinstance(value, list):
        return f"--{name}={','.join(map(str, value))}"
    if isinstance(value, dict):
        raise UserError(f"--config={file}: {name}: give a value or a list")
    return f"--{name}={value}"


def text(values: dict[str, Any]) -> str:
    """Flags and their values as a file that `--config` reads."""
    plain = {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}
    plain = {name: value for name, value in plain.items() if value not in (None, [])}
    return yaml.safe_dump(plain, sort_keys=False, allow_unicode=True, default_flow_style=None, width=120)
