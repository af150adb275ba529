"""The flags themselves, as tables: every flag in its group, what each may be, and which modes take it."""

from dataclasses import dataclass, fields
from typing import Any

from common.evaluation.protocol import PROTOCOLS
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
        "learning_rate_batch": "batch that learning_rate is for: another takes one in proportion; 0, and "
        "with --learning_rate: any",
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
