"""The command line: every flag in its group, `--help` without TensorFlow, one clear line for a mistake."""

import difflib
import shutil
import sys
import textwrap
from dataclasses import dataclass, fields, replace
from typing import Any

from absl import flags as absl_flags

import networks
from common.architecture import Architecture
from common.errors import UserError, unknown
from common.protocol import PROTOCOLS
from common.recipe import CROPS, INITIALIZERS, MEANS, OPTIMIZERS, SCHEDULES, WARMUPS, Recipe

MODES = ("train", "test", "predict", "features", "export", "summary")
CHOICES = {
    "mode": MODES,
    "recipe": ("lab", "paper"),
    "precision": ("auto", "float32", "mixed_bfloat16", "mixed_float16"),
    "strategy": ("auto", "one", "mirrored", "multiworker"),
    "split": ("train", "validation", "test"),
    "crops": PROTOCOLS,
    "predict_format": ("table", "json"),
    "summary_format": ("text", "csv", "json"),
    "optimizer": OPTIMIZERS,
    "schedule": SCHEDULES,
    "initializer": INITIALIZERS,
    "mean": MEANS,
    "crop": CROPS,
    "warmup": WARMUPS,
    "shortcut": ("A", "B", "C"),
    "stride_in": ("1x1", "3x3"),
    "lrn": ("paper", "caffe"),
    "batch_norm": ("replica", "global"),
}


@dataclass(frozen=True)
class Flag:
    """One flag: name, kind of value (a type, or `list` for comma-separated whole numbers), default and help."""

    name: str
    kind: type
    default: Any
    help: str


RUN = (
    Flag("mode", str, None, "what to do"),
    Flag("arch", str, None, "which network of this family; its name"),
    Flag("dataset", str, "digits", "digits, tfds:NAME, or a path: prepared records, ImageNet TFRecords, class folders"),
    Flag("ckpt", str, None, "the run directory (default ckpt/ARCH); test: where results go (default: what was tested)"),
    Flag(
        "restore",
        str,
        None,
        "what to load: a run directory, a folder of one, a checkpoint, a weight file (README); or several",
    ),
    Flag("split", str, "test", "test: which split to measure"),
    Flag("crops", str, "1", "test, predict: centre, corners, GoogLeNet's, or every window; softmax is averaged"),
    Flag("scales", list, None, "test, predict: short sides in pixels, comma-separated (default: the network's one)"),
    Flag("images", str, None, "predict: image files or folders, comma-separated"),
    Flag("predict_format", str, "table", "predict: how to print the classes"),
    Flag("layer", str, "fc7", "features: the layer to read, after its ReLU; pool: the last pool, e.g. of a ResNet"),
    Flag("export_format", list, "saved_model,keras", "export: saved_model, keras, tflite, tflite_int8, onnx"),
    Flag("verify", bool, False, "export: load the files in a fresh process and compare their answers on images"),
    Flag("out", str, None, "features, export: folder to write (default features/ARCH-SPLIT, export/ARCH)"),
    Flag("seed", int, 0, "seeds initialisation, order, augmentation and dropout"),
    Flag("log_every", int, 10, "steps between two progress lines and metrics.csv rows"),
    Flag("save_every", int, 0, "steps between checkpoints, beside one at each epoch's end; 0: none"),
    Flag("keep", int, 2, "how many of the newest checkpoints stay, beside the best"),
    Flag("ensemble", int, None, "train: this many networks, of seeds seed, seed + 1 ..., into CKPT/seed-0, seed-1 ..."),
    Flag("snapshots", str, None, "train: keep a checkpoint at each cycle's end (sgdr, cyclical); test: last:5 or all"),
    Flag("dry_run", bool, False, "train: print the resolved recipe, model, data and expected time, and stop"),
    Flag("classes", int, None, "summary: number of classes (default: as in the paper)"),
    Flag("summary_format", str, "text", "summary: how to print the table"),
)
DEVICES = (
    Flag("precision", str, "auto", "auto: mixed_bfloat16 where the hardware computes in it, else float32"),
    Flag("strategy", str, "auto", "auto: several machines where TF_CONFIG names them, several GPUs where there are"),
    Flag("virtual_devices", int, 0, "splits the CPU into this many devices, to try mirrored out"),
    Flag("jit", bool, False, "train: compile the step with XLA; for one GPU, on a CPU it is slower"),
    Flag("profile", str, None, "train: FIRST:LAST, steps whose profile TensorBoard is to show, e.g. 20:40"),
)
NETWORK = (
    Flag("recipe", str, "lab", "whose hyper-parameters: the lab's or the paper's; the flags below override one each"),
    Flag("image_size", int, None, "width and height of the network's input in pixels (default: the paper's)"),
    Flag("shortcut", str, None, "ResNet: A identity padded with zeros, B projection where sizes change, C always"),
    Flag("stride_in", str, None, "ResNet bottleneck: which convolution carries the stride, 1x1 (paper) or 3x3"),
    Flag("lrn", str, None, "alexnet_two_towers: constants of its local response normalisation"),
    Flag("batch_norm", str, None, "ResNet: statistics of each device's share of the batch, or of the global batch"),
)
# The flags that mean something in the modes that do not train; training takes all but those of ONLY.
TAKEN = {
    "test": {"arch", "dataset", "restore", "split", "batch_size", "precision", "strategy", "virtual_devices"}
    | {"ckpt", "crops", "scales", "snapshots"},
    "predict": {"arch", "restore", "batch_size", "precision", "crops", "scales", "snapshots"}
    | {"images", "predict_format"},
    "features": {"arch", "dataset", "restore", "split", "batch_size", "precision", "layer", "out"},
    "export": {"arch", "dataset", "restore", "split", "export_format", "verify", "out"},
    "summary": {"arch", "image_size", "shortcut", "stride_in", "lrn", "batch_norm", "classes", "summary_format"},
}
BARE = {"snapshots": "all"}  # what a text flag means when no value follows it
ONLY = {
    "split": "test",
    "crops": "test",
    "scales": "test",
    "images": "predict",
    "layer": "features",
    "export_format": "export",
    "verify": "export",
    "out": "export",
    "predict_format": "predict",
    "classes": "summary",
    "summary_format": "summary",
}
ARCHITECTURE_OPTIONS = (
    "shortcut",
    "stride_in",
    "lrn",
    "batch_norm",
)  # arguments of a network's build, for the networks that have them
# Help of the recipe's fields, grouped as they are printed; the defaults come from the network's own recipe.
RECIPE = {
    "Optimisation": {
        "optimizer": "update rule",
        "learning_rate": "initial (for cyclical rules: highest) learning rate",
        "momentum": "rho, for momentum and nesterov",
        "gamma": "rmsprop: decay of the squared gradients",
        "rho": "adadelta: decay of the squared gradients",
        "beta_1": "adam: decay of the mean",
        "beta_2": "adam: decay of the squares",
        "epsilon": "term that keeps a division finite (default: the optimizer's own)",
        "batch_size": "global batch, over all devices",
        "epochs": "passes over the training split (default: what the data set suggests, else the recipe's)",
        "clip_norm": "clip gradients to this global norm; 0: off",
        "ema": "decay of a moving average of the weights, used in evaluation; 0: off",
    },
    "Learning-rate rule": {
        "schedule": "how the learning rate changes",
        "schedule_factor": "plateau, step, piecewise: multiply by this",
        "schedule_every": "step: epochs between drops; sgdr, cyclical: epochs of the first cycle",
        "schedule_rate": "exponential, inverse_time: k, per epoch",
        "schedule_boundaries": "piecewise: global steps, comma-separated",
        "plateau_patience": "plateau: validations without improvement before a drop",
        "plateau_delta": "plateau: the least gain in validation top-1 that counts",
        "plateau_drops": "plateau: the run ends when one more drop would be due",
        "cycle_multiplier": "sgdr: each period is this many times the last",
        "minimum_learning_rate": "cosine, sgdr, cyclical: the lower end",
        "warmup": "in front of the rule: none, constant or gradual",
        "warmup_epochs": "length of the warm-up",
        "warmup_factor": "constant: share of the learning rate meanwhile; gradual: the share it begins with",
    },
    "Regularisation and initialisation": {
        "weight_decay": "lambda of lambda/2 ||W||^2, added to the loss",
        "l1": "weight of ||W||_1; with weight_decay: elastic net",
        "decay_biases_and_norms": "count biases and batch norm's gamma and beta as weights too",
        "dropout": "share of values dropped",
        "label_smoothing": "share of the target spread over all classes",
        "initializer": "distribution of the initial weights",
    },
    "From other weights (--restore)": {
        "freeze": "conv: train the fully connected layers only; a layer's name: train what comes after it",
        "head_learning_rate": "of the classifier, in place of learning_rate; the same rule changes both",
    },
    "Input": {
        "mean": "what to subtract: the channel means, the mean image, nothing",
        "crop": "training crop: random, scale (VGG, ResNet), inception (GoogLeNet), pad (CIFAR), none",
        "resize": "short side in pixels before the crop (default: image_size x 256/224)",
        "scale_range": "scale: short side drawn from this range, for a 224 pixel network",
        "flip": "random left-right flip, where the data set allows it",
        "brightness": "add up to this share of 255",
        "contrast": "scale the contrast by up to this share",
        "pca_lighting": "stddev of the 2012 paper's colour shift along the principal components; 0: off",
    },
}
_KINDS = {"str": str, "float": float, "int": int, "bool": bool, "tuple": list}


def _recipe_flags(group: dict[str, str]) -> tuple[Flag, ...]:
    """The flags of some recipe fields. Their default is None: not given, so the network's recipe stands."""
    kinds = {
        field.name: _KINDS[str(getattr(field.type, "__name__", field.type)).split(" ")[0]] for field in fields(Recipe)
    }
    return tuple(Flag(name, kinds[name], None, text) for name, text in group.items())


GROUPS = {"Run": RUN, "Devices": DEVICES, "Network and recipe": NETWORK} | {
    title: _recipe_flags(group) for title, group in RECIPE.items()
}


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
    members = networks.FAMILIES[family] if family else tuple(networks.ARCHITECTURES.values())
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
