"""`--config FILE`: flags in a file, YAML or JSON, or an earlier run's config.json."""

import difflib
import math
from collections.abc import Container, Mapping
from pathlib import Path
from typing import Any

import yaml

from cli.flag_tables import Flag
from common.errors import UserError

# What config.json has beside flags: what was found out when the run began, or is said of it for people.
RECORDED = ("classes", "words", "module", "preprocessing", "steps", "split_seed", "imported", "versions", "command")
_NESTED = ("recipe", "recipe_name", "options", "started_from")
DRY_RUN = "# for --config:\n", "\nexpecting "  # what stands before and after the flags that it prints
_SWITCH = dict.fromkeys(("true", "yes", "on"), True) | dict.fromkeys(("false", "no", "off"), False)  # YAML 1.1's


class _Loader(yaml.SafeLoader):
    """Values stay text, as on the command line: the flag's kind says what `off`, `20:40` and `010` mean, not YAML."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:
        """As it is there, but a key that stands twice is an error: YAML forbids it, and the first would be lost."""
        keys: set[str] = set()
        for key, _ in node.value:
            name = str(key.value)
            if name in keys:
                raise yaml.constructor.ConstructorError(None, None, f"{name} stands twice", key.start_mark)
            keys.add(name)
        return super().construct_mapping(node, deep)


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag.endswith((":null", ":merge"))]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def arguments(file: str, known: dict[str, Flag], beside: Container[str] = ()) -> list[str]:
    """The file's flags as arguments, to be put in front of the command line's, which so win.

    Args:
        file: YAML, of which JSON is a part: flag names without dashes and their values; a list for several. `null`
            leaves a flag at its default. A run's config.json, or what `--dry_run` printed, with `recipe` as a
            dictionary, stands for the flags that begin the same run anew.
        known: the flags by name.
        beside: the names of the flags on the command line. `images` replaces the file's, which it would be added to.
            Beside `recipe` the hyper-parameters of a run's config.json are left out, and the size of the images, which
            a recipe may name too; beside `learning_rate` the batch that its own rate is for.

    Raises:
        UserError: there is no such file, it is not YAML, it has a key twice, or a key or value that is none of a flag.
    """
    values, replaced = _read(file), {"images"} if "images" in beside else set()
    if values.get("imported") is not None:
        raise UserError(f"--config={file}: it is of imported weights, which nothing trained; use --restore")
    if isinstance(values.get("recipe"), dict):
        seed = values.get("split_seed")
        if seed is not None and not values.get("started_from"):  # else the run it started from gives the splits
            raise UserError(
                f"--config={file}: it is of an ensemble, whose splits were drawn by seed {seed}, which no flag gives "
                f"to a single run; begin the ensemble anew with --seed {seed} and --ensemble"
            )
        try:
            found = of_run(values)
        except (KeyError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
            raise UserError(
                f"--config={file}: is not a run's config.json; its recipe, options or started_from are not as a run "
                "writes them"
            ) from error
        replaced |= {*values["recipe"], "image_size"} if "recipe" in beside else set()
        replaced |= {"learning_rate_batch"} if "learning_rate" in beside else set()  # it is for the file's rate
        values = found
    return [
        word
        for name, value in values.items()
        if value not in (None, []) and name not in replaced
        for word in _arguments(file, name, value, known)
    ]


def _read(file: str) -> dict:
    """The file's keys and values: text, None, lists, dictionaries. Of all that `--dry_run` prints the middle counts."""
    try:
        text = Path(file).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"--config={file}: {getattr(error, 'strerror', None) or 'not a text file'}") from error
    _, printed, body = text.partition(DRY_RUN[0])
    if printed:
        text = body.partition(DRY_RUN[1])[0]
    try:
        values = yaml.load(text, _Loader)
    except (yaml.YAMLError, ValueError) as error:  # ValueError: a tag such as !!int that its value does not fit
        where = getattr(error, "problem_mark", None)
        problem = str(getattr(error, "problem", ""))
        what = problem if problem.endswith("stands twice") else "not YAML or JSON"
        raise UserError(f"--config={file}: {what}{(where and f', line {where.line + 1}') or ''}") from error
    if not isinstance(values, dict):
        raise UserError(f"--config={file}: give names of flags and their values, e.g. learning_rate: 0.01")
    return values


def of_run(values: Mapping[str, Any]) -> dict[str, Any]:
    """The flags that begin the run of a config.json, or of what `--dry_run` prints, anew, and their values."""
    recipe = dict(values["recipe"])
    batch = int(recipe.get("learning_rate_batch") or 0)
    if batch:  # the rate there is that of the run's own batch
        recipe["learning_rate"] = _unscaled(float(recipe["learning_rate"]), int(recipe["batch_size"]) / batch)
    return {"mode": "train"} | _beside_recipe(values) | recipe | {"recipe": values.get("recipe_name")}


def _beside_recipe(values: Mapping[str, Any]) -> dict[str, Any]:
    """The flags of a config.json that are no hyper-parameters."""
    flags = {name: value for name, value in values.items() if name not in (*RECORDED, *_NESTED)}
    start = values.get("started_from") or {}
    return flags | {**(values.get("options") or {})} | ({"restore": start["path"]} if start else {})


def of_command(config: Mapping[str, Any], values: Mapping[str, Any], given: Container[str]) -> dict[str, Any]:
    """A training command with nothing left open, as `--dry_run` prints it: like config.json, and the other flags.

    Args:
        config: what config.json would hold.
        values: of every flag.
        given: the names of those that were given.
    """
    resolved = _beside_recipe(config)
    elsewhere = {*resolved, *config["recipe"], "recipe", "config", "dry_run"}
    flags = {name: value for name, value in values.items() if name in given and name not in elsewhere}
    if "profile" in flags:
        flags["profile"] = "{}:{}".format(*flags["profile"])
    return flags | resolved | {"recipe_name": config["recipe_name"], "recipe": config["recipe"]}


def _unscaled(rate: float, scale: float) -> float:
    """The learning rate that times `scale` is `rate` to the last bit: of several the one with the fewest digits.

    The quotient is rounded, so its neighbours are tried too. Where none of them is exact, `rate` is no such product.
    """
    quotient = rate / scale
    near = (quotient, math.nextafter(quotient, 0.0), math.nextafter(quotient, math.inf))
    return min((one for one in near if one * scale == rate), key=lambda one: len(repr(one)), default=quotient)


def _arguments(file: str, name: Any, value: Any, known: dict[str, Flag]) -> list[str]:
    """One flag with its value, as on the command line."""
    if name not in known or name == "config":
        near = difflib.get_close_matches(str(name), known.keys() - {"config"}, n=1)
        hint = f"did you mean {near[0]}?" if near else "--help lists the flags"
        raise UserError(f"--config={file}: key: {str(name)!r} is not known; {hint}")
    flag, items = known[name], value if isinstance(value, list) else [value]
    if any(item is None or isinstance(item, list | dict) for item in items):
        raise UserError(f"--config={file}: {name}: give a value or a list")
    word = ",".join(map(str, items))
    switch = _SWITCH.get(word.lower())
    if flag.kind is bool and switch is None:
        raise UserError(f"--config={file}: {name}: {word}: give true or false")
    if flag.kind is bool:
        return [f"--{name}" if switch else f"--no{name}"]
    if name == "images":  # a name may have a comma in it
        return [f"--images={item}" for item in items]
    if flag.alone and switch is not None:
        return [f"--{name}={flag.alone}"] if switch else []
    return [f"--{name}={word}"]


def text(values: Mapping[str, Any]) -> str:
    """Flags and their values as a file that `--config` reads."""
    return yaml.safe_dump(_plain(values), sort_keys=False, allow_unicode=True, default_flow_style=None, width=120)


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """Without what is not set, and with lists for tuples."""
    nested = {name: _plain(value) if isinstance(value, dict) else value for name, value in values.items()}
    lists = {name: list(value) if isinstance(value, tuple) else value for name, value in nested.items()}
    return {name: value for name, value in lists.items() if value not in (None, [])}
