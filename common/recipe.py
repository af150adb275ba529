"""`Recipe`: every hyper-parameter of a training run, validated once, written to config.json, compared on resume."""

from dataclasses import dataclass, fields, replace

from common.errors import UserError, unknown

OPTIMIZERS = (
    "sgd",
    "momentum",
    "nesterov",
    "adagrad",
    "rmsprop",
    "adam",
    "adadelta",
    "ftrl",
    "adagrad_da",
    "proximal_gradient_descent",
    "proximal_adagrad",
)
SCHEDULES = (
    "plateau",
    "step",
    "exponential",
    "inverse_time",
    "cosine",
    "sgdr",
    "cyclical",
    "constant",
    "piecewise",
)
INITIALIZERS = ("gaussian", "glorot", "he")
MEANS = ("channel", "image", "none")
CROPS = ("random", "scale", "inception", "pad", "none")
WARMUPS = ("none", "constant", "gradual")


@dataclass(frozen=True)
class Recipe:
    """Hyper-parameters of one run. Rates are per step of one global batch; lengths are in epochs unless named steps.

    Every field is a flag of the same name. `None` means: the network's or data set's own value, filled in by
    `train.py` before the run starts, so a saved recipe holds no `None` that training depends on.
    """

    # optimisation
    optimizer: str = "momentum"
    learning_rate: float = 0.01
    learning_rate_batch: int = 0  # batch that learning_rate is meant for, another's is in proportion; 0: any batch
    momentum: float = 0.9  # rho of the slides; momentum and nesterov
    gamma: float = 0.9  # RMSProp's decay of G
    rho: float = 0.95  # Adadelta's decay
    beta_1: float = 0.9  # Adam
    beta_2: float = 0.999  # Adam
    epsilon: float | None = None  # None: the optimizer's own
    batch_size: int = 128  # global: over all replicas
    epochs: int | None = None  # None: the data set's own suggestion

    # learning-rate rule
    schedule: str = "plateau"
    schedule_factor: float = 0.1  # plateau, step, piecewise: multiply by this
    schedule_every: float = 8.0  # step: epochs between drops; sgdr, cyclical: epochs of the first cycle
    schedule_rate: float = 0.1  # exponential, inverse_time: k per epoch
    schedule_boundaries: tuple[int, ...] = ()  # piecewise: global steps
    plateau_patience: int = 5  # validations without improvement before a drop
    plateau_delta: float = 0.001  # the least gain in top-1 that counts
    plateau_drops: int = 3  # the run ends when one more would be due
    cycle_multiplier: float = 1.0  # sgdr: each period is this many times the last
    minimum_learning_rate: float = 0.0  # cosine, sgdr, cyclical: the lower end
    warmup: str = "none"
    warmup_epochs: float = 0.0
    warmup_factor: float = 0.1  # constant: share of learning_rate meanwhile; gradual: the share it begins with

    # regularisation
    weight_decay: float = 0.0005  # lambda of lambda/2 ||W||^2
    l1: float = 0.0  # weight of ||W||_1; with weight_decay: elastic net
    decay_biases_and_norms: bool = False
    dropout: float | None = None  # None: the network's own
    label_smoothing: float = 0.0
    clip_norm: float = 0.0  # 0: off; global norm after the sum over replicas
    ema: float = 0.0  # 0: off; decay of the moving average of weights used in evaluation

    # from other weights (--restore)
    freeze: str | None = None  # "conv", or the last layer that is not trained; None: all are trained
    head_learning_rate: float | None = None  # of the classifier, at the start; None: learning_rate

    # initialisation and input
    initializer: str = "gaussian"
    mean: str = "channel"
    crop: str = "random"  # random: fixed resize then crop; scale: short side drawn from scale_range; ...
    resize: int | None = None  # short side before the crop at test time; None: 256/224 of the image size
    scale_range: tuple[int, int] = (256, 480)  # crop=scale, for a 224 px network
    flip: bool = True  # left-right, where the data set allows it
    brightness: float = 0.0  # added, drawn from +-brightness * 255
    contrast: float = 0.0  # factor drawn from 1 +- contrast
    pca_lighting: float = 0.0  # stddev of the 2012 paper's colour shift

    def __post_init__(self):
        for name, value, allowed in (
            ("optimizer", self.optimizer, OPTIMIZERS),
            ("schedule", self.schedule, SCHEDULES),
            ("initializer", self.initializer, INITIALIZERS),
            ("mean", self.mean, MEANS),
            ("crop", self.crop, CROPS),
            ("warmup", self.warmup, WARMUPS),
        ):
            if value not in allowed:
                raise unknown(f"--{name}", value, allowed)
        for name, lowest, highest in _RANGES:
            value = getattr(self, name)
            if value is not None and not lowest <= value <= highest:
                raise UserError(f"--{name}={value} is out of range; it must lie in [{lowest}, {highest}]")
        if self.learning_rate <= 0:
            raise UserError(f"--learning_rate={self.learning_rate}: it must be above 0")
        if self.head_learning_rate is not None and self.head_learning_rate <= 0:
            raise UserError(f"--head_learning_rate={self.head_learning_rate}: it must be above 0")
        if len(self.scale_range) != 2 or not 0 < self.scale_range[0] <= self.scale_range[1]:
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


_INFINITY = float("inf")
_RANGES = (
    ("learning_rate", 0.0, _INFINITY),
    ("learning_rate_batch", 0, _INFINITY),
    ("momentum", 0.0, 1.0),
    ("gamma", 0.0, 1.0),
    ("rho", 0.0, 1.0),
    ("beta_1", 0.0, 1.0),
    ("beta_2", 0.0, 1.0),
    ("epsilon", 0.0, _INFINITY),
    ("batch_size", 1, _INFINITY),
    ("epochs", 1, _INFINITY),
    ("schedule_factor", 0.0, 1.0),
    ("schedule_every", 1e-6, _INFINITY),
    ("schedule_rate", 0.0, _INFINITY),
    ("plateau_patience", 1, _INFINITY),
    ("plateau_delta", 0.0, 1.0),
    ("plateau_drops", 0, _INFINITY),
    ("cycle_multiplier", 1.0, _INFINITY),
    ("minimum_learning_rate", 0.0, _INFINITY),
    ("warmup_epochs", 0.0, _INFINITY),
    ("warmup_factor", 0.0, 1.0),
    ("weight_decay", 0.0, _INFINITY),
    ("l1", 0.0, _INFINITY),
    ("dropout", 0.0, 0.999),
    ("label_smoothing", 0.0, 0.999),
    ("clip_norm", 0.0, _INFINITY),
    ("ema", 0.0, 0.99999),
    ("resize", 1, _INFINITY),
    ("brightness", 0.0, 1.0),
    ("contrast", 0.0, 1.0),
    ("pca_lighting", 0.0, _INFINITY),
)


def differences(old: Recipe, new: Recipe) -> list[str]:
    """The fields in which two recipes differ, as `name: old -> new` lines; empty when they are equal."""
    return [
        f"{field.name}: {getattr(old, field.name)} -> {getattr(new, field.name)}"
        for field in fields(Recipe)
        if getattr(old, field.name) != getattr(new, field.name)
    ]


def from_dict(values: dict) -> Recipe:
    """A recipe from config.json's dictionary (lists become tuples). Raises UserError for a field that is not known."""
    known = {field.name for field in fields(Recipe)}
    for name in values:
        if name not in known:
            raise unknown("config.json: recipe field", name, known)
    return replace(Recipe(), **{name: tuple(v) if isinstance(v, list) else v for name, v in values.items()})
