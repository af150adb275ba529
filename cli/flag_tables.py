"""The flags as tables: those of the program, and those that recipes and networks declare themselves."""

from dataclasses import dataclass, fields
from typing import Any

from cli import registry
from common import recipe as recipes
from common.recipe import Recipe
from common.settings import Setting

MODES = ("train", "test", "predict", "features", "export", "summary", "visualize", "compare")
TRAIN, USING = ("train",), ("test", "predict", "features", "export", "visualize")
VISUALIZE = ("visualize",)
SEED_MOST = 2**31 - 1


@dataclass(frozen=True)
class Flag:
    """One flag.

    Attributes:
        name: without dashes.
        kind: of value: a type; `list` for comma-separated words, `tuple` for comma-separated whole numbers.
        default: where it is not given.
        setting: help, choices, range.
        modes: those that use it; any other refuses it.
        alone: what a text flag means when no value follows it.
    """

    name: str
    kind: type
    default: Any
    setting: Setting
    modes: tuple[str, ...] = MODES
    alone: str | None = None


def _flag(name: str, kind: type, default: Any, help: str, modes=MODES, alone: str | None = None, **limits: Any) -> Flag:
    return Flag(name, kind, default, Setting(help, **limits), modes, alone)


# fmt: off
RUN = (
    _flag("mode", str, None, "what to do", choices=MODES),
    _flag("config", str, None, "a YAML or JSON file of flags and values, or an earlier run's config.json; flags beside "
          "it win"),
    _flag("arch", str, None, "the network's name; --mode summary takes several, comma-separated"),
    _flag("dataset", str, "digits", "digits, tfds:NAME, or a path: prepared records, ImageNet TFRecords, class folders",
          ("train", "test", "features", "export", "visualize")),
    _flag("ckpt", str, None, "the run directory (default ckpt/ARCH); in a test: where the results go",
          ("train", "test")),
    _flag("restore", str, None, "what to load: a run directory, a folder of one, a checkpoint, a weight file "
          "(docs/weights.md); tests and predictions also take several", (*TRAIN, *USING)),
    _flag("split", str, "test", "which split to use", ("test", "features", "export",
          "visualize"), choices=("train", "validation", "test")),
    _flag("crops", str, "1", "centre, corners, GoogLeNet's, or every window; softmax is averaged", ("test", "predict"),
          choices="common.evaluation.protocol:PROTOCOLS"),
    _flag("scales", tuple, None, "short sides in pixels, comma-separated (default: the network's one)",
          ("test", "predict"), least=1, most=8192),
    _flag("images", str, None, "image files, folders or patterns; -: names from standard input, one a line",
          ("predict", "visualize")),
    _flag("predict_format", str, "table", "how to print the classes", ("predict",), choices=("table", "json", "csv")),
    _flag("sheet", str, None, "a PNG file to draw the pictures in, with their most likely classes: at most ten pages "
          "of 48, FILE.png, FILE-2.png ...", ("predict",)),
    _flag("layer", str, None, "the layer to read, after its activation; pool: the last pool (default: fc7, else the "
          "classifier's input)", ("features",)),
    _flag("methods", list, None, "which pictures to make, comma-separated (default: all)", VISUALIZE,
          choices="common.visualization.methods:METHODS"),
    _flag("layers", list, None, "the layers to look into, comma-separated (default: the last one of each map size)",
          VISUALIZE),
    _flag("units", tuple, None, "the units to look at in each of them, by number (default: those with the highest "
          "values)", VISUALIZE, least=0),
    _flag("target", str, None, "the class that a picture is asked about, its name (default: the predicted one)",
          VISUALIZE),
    _flag("shown", int, 8, "how many pictures are looked into one by one", VISUALIZE, least=1, most=100),
    _flag("export_format", list, ["saved_model", "keras"], "saved_model, keras, tflite, tflite_int8, onnx",
          ("export",)),
    _flag("verify", bool, False, "load the files in a fresh process and compare their answers on images", ("export",)),
    _flag("out", str, None, "folder to write (default features/ARCH-SPLIT, export/ARCH, RUN/visualize, compare/RUNS)",
          ("features", "export", "visualize", "compare")),
    _flag("report", bool, True, "write report.html, the run on one page", ("train", "test")),
    _flag("seed", int, 0, "seeds initialisation, order, augmentation and dropout", TRAIN, least=0, most=SEED_MOST),
    _flag("validation_share", float, None, "share of the training images to hold out where the data set has no "
          "validation split (default 0.1); 0: train on its validation images too, and test the last checkpoint", TRAIN,
          least=0, below=1),
    _flag("minutes", float, None, "fit the run into this time, from its start to the end of its test: the schedule is "
          "shortened or stretched to the steps that there is time for", TRAIN, above=0),
    _flag("log_every", int, 10, "steps between two progress lines and metrics.csv rows", TRAIN, least=1),
    _flag("save_every", int, 0, "steps between checkpoints, beside one at each epoch's end; 0: none", TRAIN, least=0),
    _flag("keep", int, 2, "how many of the newest checkpoints stay, beside the best", TRAIN, least=1),
    _flag("ensemble", int, None, "this many networks, of seeds seed, seed + 1 ..., into CKPT/seed-0, seed-1 ...",
          TRAIN, least=1),
    _flag("snapshots", str, None, "keep a checkpoint at each cycle's end (sgdr, cyclical); use them: last:5 or all",
          ("train", "test", "predict"), alone="all"),
    _flag("skip_bad_images", bool, False, "of class folders: leave out image files that cannot be decoded, named and "
          "counted, in place of stopping", ("train", "test", "features")),
    _flag("lr_range_test", int, 0, "in place of training: sweep the learning rate from 1e-05 to 10 in this many steps, "
          "e.g. 200, draw the loss over it and suggest a rate; 0: off", TRAIN, least=0),
    _flag("dry_run", bool, False, "print the resolved recipe, model, data and expected time, and stop", TRAIN),
    _flag("log_gradients", bool, False, "TensorBoard: at every log interval the norm of each variable's gradient, and "
          "that of its update as a share of its weights'", TRAIN),
    _flag("histograms", bool, False, "TensorBoard: histograms of the weights at every validation", TRAIN),
    _flag("classes", int, None, "number of classes (default: as in the paper)", ("summary",), least=1, most=10**6),
    _flag("summary_format", str, "text", "how to print the table", ("summary",), choices=("text", "csv", "json")),
)
DEVICES = (
    _flag("precision", str, "auto", "auto: mixed_bfloat16 where the hardware computes in it faster, else float32",
          ("train", "test", "predict", "features", "visualize"), choices="common.distribution:PRECISIONS"),
    _flag("device_normalise", str, "auto", "hand pictures over as bytes and normalise them on the device; auto: on a "
          "GPU, where the recipe allows it", ("train", "test", "predict", "features"),
          choices="common.distribution:NORMALISE"),
    _flag("strategy", str, "auto", "auto: several machines where TF_CONFIG names them, several GPUs where there are",
          ("train", "test"), choices="common.distribution:STRATEGIES"),
    _flag("communication", str, "auto", "how several machines sum their gradients: TensorFlow's ring or NVIDIA's NCCL",
          ("train", "test"), choices="common.distribution:COMMUNICATIONS"),
    _flag("virtual_devices", int, 0, "split the CPU into this many devices, to try --strategy mirrored",
          ("train", "test"), least=0, most=64),
    _flag("jit", bool, False, "compile the step with XLA; for one GPU, on a CPU it is slower", TRAIN),
    _flag("deterministic", bool, False, "the same bits from run to run on a GPU too, at the price of speed; a CPU has "
          "them anyway", TRAIN),
    _flag("profile", str, None, "FIRST:LAST, steps whose profile TensorBoard is to show, e.g. 20:40", TRAIN),
)
NETWORK = (
    _flag("recipe", str, "lab", "hyper-parameters: the lab's, the paper's, today's, for few photographs; the flags "
          "below override one each", TRAIN, choices=registry.RECIPES),
    _flag("image_size", int, None, "width and height of the input in pixels (default: the recipe's, else the paper's)",
          ("train", "summary"), least=1, most=8192),
)
# fmt: on
_USED_ELSEWHERE = {"batch_size": ("test", "predict", "features", "visualize")}  # of the recipe's fields
_KINDS = {"str": str, "float": float, "int": int, "bool": bool, "tuple": tuple}


def _recipe_flags(group: str) -> tuple[Flag, ...]:
    """The flags of some recipe fields. Their default is None: not given, so the network's recipe stands."""
    return tuple(
        Flag(
            field.name,
            _KINDS[str(getattr(field.type, "__name__", field.type)).split(" ")[0]],
            None,
            recipes.setting(field),
            (*TRAIN, *_USED_ELSEWHERE.get(field.name, ())),
        )
        for field in fields(Recipe)
        if field.metadata["group"] == group
    )


def _network_flags() -> tuple[Flag, ...]:
    """A flag for each option that some network has. Their default is None: the network's own."""
    declared = {option.name: option for network in registry.ARCHITECTURES.values() for option in network.options}
    return tuple(
        Flag(
            name,
            type(option.default),
            None,
            option.setting,
            ("train", "summary", *(USING if option.testing else ())),
        )
        for name, option in declared.items()
    )


GROUPS: dict[str, tuple[Flag, ...]] = {
    "Run": RUN,
    "Devices": DEVICES,
    "Network and recipe": (*NETWORK, *_network_flags()),
} | {group: _recipe_flags(group) for group in recipes.GROUPS}
