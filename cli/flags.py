"""The command line: parsing, `--help` without TensorFlow, one line for each error. The flags: flag_tables.py."""

import difflib
import glob
import os
import re
import shutil
import sys
import textwrap
import time
from collections.abc import Callable
from dataclasses import dataclass, field, fields, replace
from typing import Any

from absl import flags as absl_flags

from cli import config_file, registry
from cli.flag_tables import DEVICES, GROUPS, MODES, RUN, Flag
from common.architecture import Architecture
from common.errors import UserError, unknown
from common.recipe import Recipe

_DEFINE: dict[type, Callable] = {
    str: absl_flags.DEFINE_string,
    int: absl_flags.DEFINE_integer,
    float: absl_flags.DEFINE_float,
    bool: absl_flags.DEFINE_boolean,
    list: absl_flags.DEFINE_list,
    tuple: absl_flags.DEFINE_list,
}
_WANTED = {
    int: "must be a whole number",
    float: "must be a number",
    bool: "takes no value; use --{name} or --no{name}",
}


@dataclass(frozen=True)
class Options:
    """A parsed command line.

    Attributes:
        values: of every flag; `runs` are the words of `--mode compare`.
        given: the names of those that were given, on the command line or in the file of `--config`.
        typed: those on the command line.
        begun: when it was parsed, of time.perf_counter: about when the program began.
    """

    values: dict[str, Any]
    given: frozenset[str]
    typed: frozenset[str] = frozenset()
    begun: float = field(default_factory=time.perf_counter, compare=False)

    def __getattr__(self, name: str) -> Any:
        try:
            return self.values[name]
        except KeyError:
            raise AttributeError(name) from None


def parse(arguments: list[str]) -> Options:
    """Parses the arguments after the program's name. Raises UserError for a flag or value that is not known."""
    known = {flag.name: flag for group in GROUPS.values() for flag in group}
    parts = [word.lstrip("-").partition("=") if word.startswith("-") else ("", "", "") for word in arguments]
    names = [name for name, _, _ in parts]
    typed = frozenset(name for name in known if not {name, f"no{name}"}.isdisjoint(names))
    complete = [*_of_config(arguments, parts, known), *arguments]
    try:
        return _parsed(complete, known, typed)
    except UserError as error:
        name = re.match(r"--(\w+)", str(error))
        if len(complete) > len(arguments) and name and name[1] in known.keys() - typed:
            raise UserError(f"in the file of --config: {error}") from error
        raise


def _parsed(arguments: list[str], known: dict[str, Flag], typed: frozenset[str]) -> Options:
    """The options of arguments with those of `--config`'s file among them."""
    values = absl_flags.FlagValues()
    for flag in known.values():
        _DEFINE[flag.kind](flag.name, flag.default, flag.setting.help, flag_values=values)
    values.set_gnu_getopt(True)  # words may stand before flags
    arguments, images = _image_files(arguments)
    try:
        rest = values(["program", *_with_values(arguments, known)])[1:]
    except absl_flags.UnrecognizedFlagError as error:
        near = difflib.get_close_matches(error.flagname, known, n=1)
        raise UserError(
            f"--{error.flagname}: no such flag" + (f"; did you mean --{near[0]}?" if near else "; see --help")
        ) from error
    except absl_flags.IllegalFlagValueError as error:
        raise UserError(_wrong_kind(str(error), known)) from error
    except absl_flags.Error as error:
        raise UserError(str(error).replace("flag --", "--")) from error
    if rest and values["mode"].value != "compare":
        raise UserError(_stray(rest[0], arguments, known))
    found = {name: _value(flag, values[name].value) for name, flag in known.items()} | {"runs": rest}
    given = frozenset(name for name in known if values[name].present)
    if images is not None:
        found["images"], given = images, given | {"images"}
    for name in given:
        known[name].setting.check(name, found[name])
    if found["profile"] is not None:
        found["profile"] = _steps(found["profile"])
    _check_modes(found, given, known)
    return Options(found, given, typed)


def _of_config(arguments: list[str], parts: list[tuple[str, str, str]], known: dict[str, Flag]) -> list[str]:
    """The arguments in `--config`'s file. `parts` has the name, `=` and value of each word on the command line.

    Raises UserError where it is given twice.
    """
    names = [name for name, _, _ in parts]
    if "config" not in names:
        return []
    if names.count("config") > 1:
        raise UserError("--config is given twice; put all flags into one file")
    _, equals, file = parts[names.index("config")]
    file = file if equals else next(iter(arguments[names.index("config") + 1 :]), "")
    return config_file.arguments(file, known, names) if file else []


def _image_files(arguments: list[str]) -> tuple[list[str], list[str] | None]:
    """The arguments without `--images`, and the names behind it: files, folders, patterns, between spaces or commas.

    A pattern that the shell left alone, as one in quotes, is filled in here; a name with a comma in it may be a file.
    """
    named: list[str] | None = None
    rest, taking = [], False
    for argument in arguments:
        flag, equals, value = argument.lstrip("-").partition("=")
        if argument.startswith("-") and flag == "images":
            taking, named = True, [*(named or []), *([value] if equals else [])]
        elif argument.startswith("-") and len(argument) > 1:
            taking = False
            rest.append(argument)
        elif taking and named is not None:
            named.append(argument)
        else:
            rest.append(argument)
    if named is None:
        return rest, None
    parts = [part for name in named for part in ([name] if os.path.exists(name) else name.split(","))]
    if not parts or not all(parts):
        raise UserError("--images: a name is empty; give image files, folders or patterns")
    return rest, [
        file
        for part in parts
        for file in (sorted(glob.glob(part, recursive=True)) if not os.path.exists(part) else []) or [part]
    ]


def _wrong_kind(message: str, known: dict[str, Flag]) -> str:
    """absl's message for a value of the wrong kind, in plain words."""
    name, _, value = message.removeprefix("flag --").partition(": ")[0].partition("=")
    wanted = _WANTED[known[name].kind].format(name=name)
    return f"--{name} {wanted}" if known[name].kind is bool else f"--{name}={value}: {wanted}"


def _stray(word: str, arguments: list[str], known: dict[str, Flag]) -> str:
    """What to say of a word that is no flag."""
    before = arguments[max(arguments.index(word) - 1, 0)].lstrip("-") if word in arguments else ""
    if before in known and known[before].kind is bool:
        return f"--{before} {_WANTED[bool].format(name=before)}"
    return f"{word!r} is not a flag; flags begin with --, see --help"


def _value(flag: Flag, value: Any) -> Any:
    """A flag's value in its type. Raises UserError for an empty one, as from an unset shell variable."""
    if value == "" or (flag.kind is list and value is not None and (not value or not all(value))):
        raise UserError(f"--{flag.name} is empty; leave it out or give it a value")
    if flag.kind is tuple and value is not None:
        try:
            return tuple(int(part) for part in value)
        except ValueError as error:
            raise UserError(f"--{flag.name}: give whole numbers, comma-separated") from error
    return value


def _steps(text: str) -> tuple[int, int]:
    """The two step numbers of `--profile`."""
    first, _, last = text.partition(":")
    if not (first.isdecimal() and last.isdecimal() and 1 <= int(first) <= int(last)):
        raise UserError(f"--profile={text}: give the first and the last step, counted from 1, e.g. 20:40")
    return int(first), int(last)


def _with_values(arguments: list[str], known: dict[str, Flag]) -> list[str]:
    """The arguments with a value for each text flag that may stand alone and does."""
    following = [*arguments[1:], "--"]
    alone = {f"{dashes}{flag.name}": flag.alone for flag in known.values() if flag.alone for dashes in ("-", "--")}
    return [
        f"{argument}={alone[argument]}" if argument in alone and after.startswith("-") else argument
        for argument, after in zip(arguments, following, strict=bool(arguments))
    ]


def _check_modes(found: dict[str, Any], given: frozenset[str], known: dict[str, Flag]) -> None:
    """Raises UserError for a flag that the mode does not use."""
    mode = found["mode"]
    if mode == "train" and found["snapshots"] not in (None, "all"):
        raise UserError(f"--snapshots={found['snapshots']}: in training it takes no value, every cycle leaves one")
    for name in sorted(given):
        if mode is not None and mode not in known[name].modes:
            raise UserError(f"--{name} means nothing in --mode={mode}")


def recipe(options: Options, architecture: Architecture) -> Recipe:
    """The network's recipe of the name in `--recipe`, with what the command line overrides.

    Raises UserError where the network has none of that name.
    """
    given = {field.name: options.values[field.name] for field in fields(Recipe) if field.name in options.given}
    return replace(architecture.recipe_named(options.recipe), **given)


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
        f"  python {script} --mode compare RUN RUN ...",
        "",
        *textwrap.wrap(f"networks (--arch): {', '.join(member.name for member in members)}", width),
    ]
    absent = registry.OPTIONS - {option.name for member in members for option in member.options}
    for title, group in GROUPS.items():
        lines += ["", f"{title}:"]
        for flag in group:
            if flag.name == "recipe":
                known = tuple(dict.fromkeys(name for member in members for name in member.recipe_names))
                flag = replace(flag, setting=replace(flag.setting, choices=known))
            lines += _help_of(flag, default, width) if flag.name not in absent else []
    return "\n".join(lines)


def _help_of(flag: Flag, network: Architecture | None, width: int, indent: int = 28) -> list[str]:
    """A flag's lines in --help: its name, what it means, its choices or range, its default."""
    notes = flag.setting.help
    if flag in (*RUN, *DEVICES) and flag.name != "mode" and len(flag.modes) < len(MODES) - 1:
        notes = f"{', '.join(flag.modes)}: {notes}"
    if flag.setting.names:
        notes += f" [{', '.join(flag.setting.names)}]"
    value = flag.default
    if network:
        value = getattr(network.recipe, flag.name, network.defaults.get(flag.name, value))
    if value is not None and value != ():
        notes = re.sub(r" \(default: [^)]*\)", "", notes)  # in general; this network's is known
        notes += f" (default {','.join(map(str, value)) if isinstance(value, tuple | list) else value})"
    head = f"  --{'[no]' if flag.kind is bool else ''}{flag.name}"
    first, *more = textwrap.wrap(notes, width - indent) or [""]
    top = [head.ljust(indent) + first] if len(head) < indent else [head, " " * indent + first]
    return [*top, *(" " * indent + line for line in more)]


def wants_help(arguments: list[str]) -> bool:
    """True for --help, -h and their like."""
    return any(argument in ("--help", "-help", "-h", "--helpfull", "--helpshort", "-?") for argument in arguments)


def script_name() -> str:
    """The program as the user called it, without its folder."""
    return sys.argv[0].rsplit("/", 1)[-1] or "train.py"


def choose_mode(options: Options, script: str) -> str:
    """The mode. Raises UserError that says what to type, in two lines, where none is given."""
    if options.mode is None:
        raise UserError(
            f"give --mode, one of {', '.join(MODES)}; for example\n"
            f"python {script} --mode train        (python {script} --help lists every flag)"
        )
    if options.mode not in MODES:
        raise unknown("--mode", options.mode, MODES)
    return options.mode
