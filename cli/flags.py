"""The command line: parsing, `--help` without TensorFlow, one clear line for a mistake. The flags: flag_tables.py."""

import difflib
import shutil
import sys
import textwrap
from dataclasses import dataclass, fields, replace
from typing import Any

from absl import flags as absl_flags

from cli import registry
from cli.flag_tables import BARE, CHOICES, GROUPS, ONLY, TAKEN
from common.architecture import Architecture
from common.errors import UserError, unknown
from common.recipe import Recipe


@dataclass(frozen=True)
class Options:
    """A parsed command line: the value of every flag, and the names of those that were given."""

    values: dict[str, Any]
    given: frozenset[str]

    def __getattr__(self, name: str) -> Any:
        try:
            return self.values[name]
        except KeyError:
            raise AttributeError(name) from None


def parse(arguments: list[str]) -> Options:
    """Parses the arguments after the program's name. Raises UserError for a flag or value that is not known."""
    values = absl_flags.FlagValues()
    for flag in (flag for group in GROUPS.values() for flag in group):
        define = {
            str: absl_flags.DEFINE_string,
            int: absl_flags.DEFINE_integer,
            float: absl_flags.DEFINE_float,
            bool: absl_flags.DEFINE_boolean,
            list: absl_flags.DEFINE_list,
        }[flag.kind]
        define(flag.name, flag.default, flag.help, flag_values=values)
    names = list(values)
    try:
        rest = values(["program", *_with_values(arguments)])[1:]
    except absl_flags.UnrecognizedFlagError as error:
        near = difflib.get_close_matches(error.flagname, names, n=1)
        raise UserError(
            f"--{error.flagname}: no such flag" + (f"; did you mean --{near[0]}?" if near else "; see --help")
        ) from error
    except absl_flags.Error as error:
        raise UserError(str(error).replace("flag --", "--")) from error
    if rest:
        raise UserError(f"{rest[0]!r} is not a flag; flags begin with --, see --help")
    found = {name: values[name].value for name in names}
    for name, allowed in CHOICES.items():
        if found[name] is not None and found[name] not in allowed:
            raise unknown(f"--{name}", found[name], allowed)
    for name in ("schedule_boundaries", "scale_range", "scales"):
        if found[name] is not None:
            try:
                found[name] = tuple(int(part) for part in found[name])
            except ValueError as error:
                raise UserError(f"--{name}: give whole numbers, comma-separated") from error
    for name, least in (
        ("log_every", 1),
        ("save_every", 0),
        ("keep", 1),
        ("ensemble", 1),
        ("virtual_devices", 0),
        ("image_size", 1),
        ("classes", 1),
    ):
        if found[name] is not None and found[name] < least:
            raise UserError(f"--{name}={found[name]}: the least is {least}")
    if found["profile"] is not None:
        found["profile"] = _steps(found["profile"])
    given = frozenset(name for name in names if values[name].present)
    if found["mode"] == "train" and found["snapshots"] not in (None, "all"):
        raise UserError(f"--snapshots={found['snapshots']}: in training it takes no value, every cycle leaves one")
    for name in sorted(given - {"mode"}):
        taken = TAKEN.get(found["mode"])
        if name not in taken if taken is not None else name in ONLY:
            raise UserError(f"--{name} means nothing in --mode={found['mode']}")
    return Options(found, given)


def _steps(text: str) -> tuple[int, int]:
    """The two step numbers of `--profile`."""
    first, _, last = text.partition(":")
    if not (first.isdecimal() and last.isdecimal() and 1 <= int(first) <= int(last)):
        raise UserError(f"--profile={text}: give the first and the last step, counted from 1, e.g. 20:40")
    return int(first), int(last)


def _with_values(arguments: list[str]) -> list[str]:
    """The arguments with a value for each flag of `BARE` that stands alone."""
    following = [*arguments[1:], "--"]
    alone = {f"{dashes}{name}": value for name, value in BARE.items() for dashes in ("-", "--")}
    return [
        f"{argument}={alone[argument]}" if argument in alone and after.startswith("-") else argument
        for argument, after in zip(arguments, following, strict=True)
    ]


def recipe(options: Options, architecture: Architecture) -> Recipe:
    """The network's recipe with what the command line overrides."""
    base = architecture.paper if options.recipe == "paper" and architecture.paper else architecture.recipe
    given = {field.name: options.values[field.name] for field in fields(Recipe) if field.name in options.given}
    return replace(base, **given)


def help_text(script: str, family: str | None) -> str:
    """What `--help` prints."""
    members = registry.FAMILIES[family] if family else tuple(registry.ARCHITECTURES.values())
    default = next((m for m in members if m.name == family), members[0]) if family else None
    width = min(shutil.get_terminal_size().columns, 120)
    lines = [
        f"usage: python {script} --mode MODE [--flag value ...]",
        "",
        f"  python {script} --mode train" + ("" if family else " --arch resnet34"),
        f"  python {script} --mode test --restore ckpt/",
        "",
        *textwrap.wrap(f"networks (--arch): {', '.join(member.name for member in members)}", width),
    ]
    for title, group in GROUPS.items():
        lines += ["", f"{title}:"]
        for flag in group:
            notes = flag.help
            if flag.name in CHOICES and flag.name not in ("warmup", "crop"):
                notes += (
                    f": {', '.join(CHOICES[flag.name])}" if ":" not in notes else f" [{', '.join(CHOICES[flag.name])}]"
                )
            value = getattr(default.recipe, flag.name, flag.default) if default else flag.default
            if value is not None and value != ():
                shown = ",".join(map(str, value)) if isinstance(value, tuple) else value
                notes += f" (default {shown})"
            head = f"  --{'[no]' if flag.kind is bool else ''}{flag.name}"
            indent = 28
            wrapped = textwrap.wrap(notes, width - indent) or [""]
            lines.append(
                head.ljust(indent) + wrapped[0] if len(head) < indent else head + "\n" + " " * indent + wrapped[0]
            )
            lines += [" " * indent + line for line in wrapped[1:]]
    return "\n".join(lines)


def wants_help(arguments: list[str]) -> bool:
    """True for --help, -h and their like."""
    return any(argument in ("--help", "-help", "-h", "--helpfull", "--helpshort", "-?") for argument in arguments)


def script_name() -> str:
    """The program as the user called it, without its folder."""
    return sys.argv[0].rsplit("/", 1)[-1] or "train.py"
