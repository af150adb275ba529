"""The lab's optimizers and AdamW, each at the best of three learning rates."""

from experiments.cifar import AT_16, BASE
from experiments.design import PAPER, SMALL, Budget, Claim, Comparison, Picture, Run, Table

RATES = {
    "sgd": (0.1, 0.3, 1.0),
    "momentum": (0.03, 0.1, 0.3),
    "nesterov": (0.03, 0.1, 0.3),
    "adagrad": (0.03, 0.1, 0.3),
    "rmsprop": (0.001, 0.003, 0.01),
    "adam": (0.001, 0.003, 0.01),
    "adamw": (0.001, 0.003, 0.01),
}
DECOUPLED = {"weight_decay": 0, "decoupled_weight_decay": 0.05}


def _run(name: str, rate: float) -> Run:
    flags = {"optimizer": name, "learning_rate": rate} | (DECOUPLED if name == "adamw" else {})
    return Run(f"{name}-{rate:g}", flags, f"{name}, rate {rate:g}", group=name)


COMPARISON = Comparison(
    name="optimizers",
    title="Optimizers",
    question="How far does each optimizer bring ResNet-20, at the best of three rates, by steps and by minutes?",
    claims=(
        Claim(
            "Adaptive methods make fast progress at first, but generalise worse than SGD with momentum at the end.",
            "Wilson et al. 2017",
        ),
        Claim(
            "Adam's L2 term is not weight decay; decoupled from the gradient it lets Adam compete "
            "with SGD with momentum on images.",
            "Loshchilov & Hutter 2019",
        ),
    ),
    base={**BASE, "schedule": "cosine"},
    runs=tuple(_run(name, rate) for name, rates in RATES.items() for rate in rates),
    budgets={
        SMALL: Budget("CIFAR-10 at 16 pixels, 1 epoch, cosine", {**AT_16, "epochs": 1}),
        PAPER: Budget("182 epochs, cosine"),
    },
    tables=(
        Table("best", ("top1", "best_validation", "train_loss", "processor_minutes"), "optimizer"),
        Table("list", ("best_validation",), "every rate tried"),
    ),
    pictures=(
        Picture("best", "Training loss of ResNet-20 by optimizer, against steps", ("train_loss",), x="step"),
        Picture(
            "best",
            "Training loss of ResNet-20 by optimizer, against minutes of processor time",
            ("train_loss",),
            "minutes",
            x="minutes",
        ),
    ),
    curves=("train_loss", "validation_top1"),
    conclusion="In one epoch Nesterov's momentum, 45.34 ± 0.38 %, Adam, 45.13 ± 0.22 %, AdamW, 44.86 ± 0.50 %, and "
    "RMSProp, 44.61 ± 0.26 %, have the highest means. Three seeds tell momentum, 43.74 ± 0.50 %, apart "
    "from the first two, hardly from the others; Adagrad and plain SGD are behind. Adam and AdamW start "
    "fastest, but Nesterov's momentum has nearly caught up after 70 steps, and Adagrad, adaptive too, is "
    "no faster than momentum: Wilson et al.'s fast start is seen in part. The training loss of Adam's "
    "last epoch, 1.725 ± 0.003, is below Nesterov's, 1.754 ± 0.008, without a higher test accuracy. "
    "Whether adaptive methods generalise worse at the end, one epoch cannot show. Adam and AdamW are not "
    "told apart, probably because weight decay does little in 351 steps. A step costs nearly the same "
    "with each, so the order by minutes is the order by steps. Of three rates the middle one was the best "
    "of each optimizer, with one seed each, and the rate matters more than the choice among the first "
    "four.",
)
