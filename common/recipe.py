"""`Recipe`: every hyper-parameter of a training run, declared once; written to config.json, compared on resume."""

import dataclasses
from collections.abc import Container
from dataclasses import dataclass, field, fields, replace
from typing import Any

from common.errors import UserError, unknown
from common.settings import Setting

BETAS = ("adam", "adamw", "lamb", "lion")  # optimizers that have them
GROUPS = ("Optimisation", "Schedule", "Regularisation and initialisation", "Fine-tuning (--restore)", "Input")


def _field(group: int, default: Any, help: str, of: tuple[str, ...] = (), **limits: Any) -> Any:
    """A field with its group in --help and its `Setting`.

    `of` is another field and those of its values with which this one means something; they stand before the help.
    """
    text = f"{', '.join(of[1:])}: {help}" if of else help
    return field(default=default, metadata={"group": GROUPS[group], "setting": Setting(text, **limits), "of": of})


@dataclass(frozen=True)
class Recipe:
    """Hyper-parameters of one run. Rates are per step of one global batch; lengths are in epochs unless named steps.

    Every field is a flag of the same name. `None` means: the network's or data set's own value, filled in before the
    run starts, so a saved recipe holds no `None` that training depends on. Raises UserError where a value is not
    allowed.
    """

    # fmt: off
    optimizer: str = _field(0, "momentum", "the optimizer", choices="common.training.optimizers:OPTIMIZERS")
    learning_rate: float = _field(0, 0.01, "initial (cyclical schedules: highest) learning rate", above=0)
    learning_rate_batch: int = _field(0, 0, "batch size that the recipe's learning_rate is for; another scales it "
                                            "in proportion; 0, or --learning_rate given: no scaling", least=0)
    momentum: float = _field(0, 0.9, "momentum coefficient", ("optimizer", "momentum", "nesterov", "lars"), least=0,
                             below=1)
    gamma: float = _field(0, 0.9, "decay of the squared gradients", ("optimizer", "rmsprop"), least=0, below=1)
    rho: float = _field(0, 0.95, "decay of the squared gradients", ("optimizer", "adadelta"), least=0, below=1)
    beta_1: float = _field(0, 0.9, "decay of the mean", ("optimizer", *BETAS), least=0, below=1)
    beta_2: float = _field(0, 0.999, "decay of the squared gradients, with lion of the mean", ("optimizer", *BETAS),
                           least=0, below=1)
    epsilon: float | None = _field(0, None, "term that keeps a division finite (default: the optimizer's own)", least=0)
    batch_size: int = _field(0, 128, "global batch, over all devices", least=1)
    accumulate: int = _field(0, 1, "go through the batch in this many parts, one at a time, for less memory; batch "
                                   "norm sees a part", least=1)
    epochs: int | None = _field(0, None, "passes over the training split (default: what the data set suggests, else "
                                         "the recipe's)", least=1)
    clip_norm: float = _field(0, 0.0, "clip gradients to this global norm, summed over replicas; 0: off", least=0)
    ema: float = _field(0, 0.0, "decay of a moving average of the weights, used in evaluation; 0: off",
                        least=0, below=1)

    schedule: str = _field(1, "plateau", "how the learning rate changes", choices="common.training.schedules:SCHEDULES")
    schedule_factor: float = _field(1, 0.1, "multiply by this", ("schedule", "plateau", "step", "piecewise"), least=0,
                                    most=1)
    schedule_every: float = _field(1, 8.0, "epochs between drops, or of the first cycle",
                                   ("schedule", "step", "sgdr", "cyclical"), above=0)
    schedule_rate: float = _field(1, 0.1, "k, per epoch", ("schedule", "exponential", "inverse_time"), least=0)
    schedule_boundaries: tuple[int, ...] = _field(1, (), "global steps, comma-separated", ("schedule", "piecewise"),
                                                  least=1)
    plateau_patience: int = _field(1, 5, "validations without improvement before a drop", ("schedule", "plateau"),
                                   least=1)
    plateau_delta: float = _field(1, 0.001, "the least gain in validation top-1 that counts", ("schedule", "plateau"),
                                  least=0, most=1)
    plateau_drops: int = _field(1, 3, "the run ends when one more drop would be due", ("schedule", "plateau"), least=0)
    cycle_multiplier: float = _field(1, 1.0, "each period is this many times the last", ("schedule", "sgdr"), least=1)
    minimum_learning_rate: float = _field(1, 0.0, "the lower end", ("schedule", "linear", "cosine", "sgdr", "cyclical"),
                                          least=0)
    warmup: str = _field(1, "none", "warm-up before the schedule", choices=("none", "constant", "gradual"))
    warmup_epochs: float = _field(1, 0.0, "length of the warm-up", ("warmup", "constant", "gradual"), least=0)
    warmup_factor: float = _field(1, 0.1, "share of the learning rate meanwhile, or at its beginning",
                                  ("warmup", "constant", "gradual"), least=0, most=1)
    patience: int = _field(1, 0, "end the run after this many validations without a higher top-1; 0: off", least=0)

    loss: str = _field(2, "cross_entropy", "what is minimised: softmax cross-entropy, mean binary cross-entropy "
                                           "of all classes, focal loss; tests always report cross-entropy",
                       choices="common.nn.losses:LOSSES")
    focal_gamma: float = _field(2, 2.0, "gamma of (1 - p)^gamma; 0: cross-entropy", ("loss", "focal"), least=0)
    class_weight: str = _field(2, "none", "balanced: losses times N / (K images of the class), for unequal classes",
                               choices=("none", "balanced"))
    weight_decay: float = _field(2, 0.0005, "lambda of lambda/2 ||W||^2, added to the loss", least=0)
    decoupled_weight_decay: float = _field(2, 0.0, "adamw, lamb, lars, lion: weight decay beside the gradient, times "
                                                   "the learning rate; not part of the loss", least=0)
    l1: float = _field(2, 0.0, "weight of ||W||_1; with weight_decay: elastic net", least=0)
    decay_biases_and_norms: bool = _field(2, False, "count biases and batch norm's gamma and beta as weights too")
    dropout: float | None = _field(2, None, "share of values dropped (default: the network's own)", least=0, below=1)
    label_smoothing: float = _field(2, 0.0, "share of the target spread over all classes", least=0, below=1)
    initializer: str = _field(2, "gaussian", "distribution of the initial weights",
                              choices="common.nn.initializers:INITIALIZERS")
    classifier_initializer: str | None = _field(2, None, "distribution of the classifier's (default: as initializer)",
                                                choices="common.nn.initializers:INITIALIZERS")

    freeze: str | None = _field(3, None, "conv: train the classifier (and other fully connected layers) only; a "
                                         "layer's name: train what comes after it")
    head_learning_rate: float | None = _field(3, None, "of the classifier, in place of learning_rate; the same "
                                                       "schedule changes both", above=0)
    layer_decay: float = _field(3, 1.0, "each layer's learning rate is this share of the next layer's towards the "
                                        "output; 1: all the same", above=0, most=1)

    mean: str = _field(4, "channel", "what to subtract: the channel means, the mean image, nothing",
                       choices=("channel", "image", "none"))
    crop: str = _field(4, "random", "training crop: random (fixed resize), scale (VGG, ResNet), inception (GoogLeNet), "
                                    "pad (CIFAR), none", choices=("random", "scale", "inception", "pad", "none"))
    resize: int | None = _field(4, None, "short side in pixels before the crop (default: image_size x 256/224)",
                                least=1, most=8192)
    scale_range: tuple[int, int] = _field(4, (256, 480), "short side drawn from this range, for a 224 pixel network",
                                          ("crop", "scale"), least=1, most=8192)
    flip: bool = _field(4, True, "random left-right flip, where the data set allows it")
    brightness: float = _field(4, 0.0, "add up to this share of 255", least=0, most=1)
    contrast: float = _field(4, 0.0, "scale the contrast by up to this share", least=0, most=1)
    pca_lighting: float = _field(4, 0.0, "stddev of the 2012 paper's colour shift along the principal components; "
                                         "0: off", least=0)
    sampling: str = _field(4, "uniform", "balanced: every class equally often, images of small ones again and again",
                           choices=("uniform", "balanced"))
    vertical_flip: bool = _field(4, False, "random flip of top and bottom, for pictures without an up, where the data "
                                           "set allows mirror images")
    turns: bool = _field(4, False, "rotate at random by 0, 90, 180 or 270 degrees, for pictures without an up")
    color_jitter: float = _field(4, 0.0, "brightness, contrast and saturation each times a factor within 1 +- this",
                                 least=0, most=1)
    saturation: float = _field(4, 0.0, "scale the saturation by up to this share", least=0, most=1)
    hue: float = _field(4, 0.0, "shift the hue by up to this share of the colour circle", least=0, most=0.5)
    auto_augment: str = _field(4, "none", "random operations of PIL: TrivialAugment (wide) or RandAugment",
                               choices=("none", "trivial", "rand"))
    rand_operations: int = _field(4, 2, "operations a picture, N", ("auto_augment", "rand"), least=1)
    rand_magnitude: int = _field(4, 9, "strength of each, M", ("auto_augment", "rand"), least=0, most=30)
    random_erasing: float = _field(4, 0.0, "probability of a rectangle of the mean colour; black with --mean none",
                                   least=0, most=1)
    mixup: float = _field(4, 0.0, "alpha of mixup's Beta(alpha, alpha); 0: off; top-1 in training is then against the "
                                  "larger share", least=0)
    cutmix: float = _field(4, 0.0, "alpha of CutMix's; with mixup: each batch takes one of the two", least=0)
    # fmt: on

    def __post_init__(self):
        for one in fields(self):
            setting(one).check(one.name, getattr(self, one.name))
        if len(self.scale_range) != 2 or self.scale_range[0] > self.scale_range[1]:
            raise UserError(f"--scale_range={self.scale_range}: give two sizes, the smaller first, e.g. 256,480")
        if list(self.schedule_boundaries) != sorted(set(self.schedule_boundaries)):
            raise UserError(f"--schedule_boundaries={self.schedule_boundaries}: give rising steps, e.g. 32000,48000")
        if self.schedule == "piecewise" and not self.schedule_boundaries:
            raise UserError("--schedule=piecewise needs --schedule_boundaries, e.g. 32000,48000")
        if self.warmup != "none" and not self.warmup_epochs:
            raise UserError(f"--warmup={self.warmup} needs --warmup_epochs, its length")
        if self.minimum_learning_rate > self.learning_rate:
            raise UserError(
                f"--minimum_learning_rate={self.minimum_learning_rate} is above --learning_rate={self.learning_rate}"
            )


def idle(recipe: Recipe, names: Container[str]) -> list[str]:
    """A line for each of these fields that means nothing, since another field has a value that does not use it."""
    found = []
    for one in fields(Recipe):
        other, *values = one.metadata["of"] or ("",)
        if other and one.name in names and getattr(recipe, other) not in values:
            using = " or ".join(values)
            found.append(f"note: --{one.name} means nothing with --{other} {getattr(recipe, other)}, only with {using}")
    return found


def setting(of: dataclasses.Field) -> Setting:
    """The `Setting` of a field of `Recipe`."""
    return of.metadata["setting"]


def differences(old: Recipe, new: Recipe) -> list[str]:
    """The fields in which two recipes differ, as `name: old -> new` lines; empty when they are equal."""
    return [
        f"{one.name}: {getattr(old, one.name)} -> {getattr(new, one.name)}"
        for one in fields(Recipe)
        if getattr(old, one.name) != getattr(new, one.name)
    ]


def from_dict(values: dict) -> Recipe:
    """A recipe from config.json's dictionary (lists become tuples). Raises UserError for a field that is not known.

    A field that an older run's config.json does not have takes its default, which is what that run did.
    """
    known = {one.name for one in fields(Recipe)}
    for name in values:
        if name not in known:
            raise unknown("config.json: recipe field", name, known)
    changes: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in values.items()}
    return replace(Recipe(), **changes)
