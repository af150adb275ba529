"""How the learning rate falls: seven schedules, and warm-up before one of them."""

from typing import Any

from experiments.cifar import AT_16, BASE, STEPS
from experiments.design import PAPER, SMALL, Budget, Claim, Comparison, Picture, Run, Table

LENGTHS = {SMALL: 2, PAPER: 182}  # epochs


def _schedules(epochs: int) -> dict[str, dict[str, Any]]:
    """Flags by name. An exponential fall ends at a hundredth of the first rate, 1/t at a tenth."""
    half = epochs * STEPS // 2
    return {
        "constant": {"schedule": "constant"},
        "step": {"schedule_boundaries": (half, half + half // 2)},  # the recipe's own schedule
        "exponential": {"schedule": "exponential", "schedule_rate": round(4.6 / epochs, 4)},
        "inverse_time": {"schedule": "inverse_time", "schedule_rate": round(9 / epochs, 4)},
        "cosine": {"schedule": "cosine"},
        "sgdr": {"schedule": "sgdr", "schedule_every": epochs / 2},
        "cyclical": {"schedule": "cyclical", "schedule_every": epochs / 2, "minimum_learning_rate": 0.001},
    }


LABELS = {
    "constant": "constant", "step": "step, x0.1 at a half and three quarters", "exponential": "exponential",
    "inverse_time": "1/t", "cosine": "cosine", "sgdr": "SGDR, two cycles", "cyclical": "cyclical, two triangles",
}  # fmt: skip
WARMED = ("cosine",)


def _run(name: str, warm: bool) -> Run:
    budgets = {}
    for budget, epochs in LENGTHS.items():
        flags = _schedules(epochs)[name]
        warmup = {"warmup": "gradual", "warmup_epochs": epochs / 10, "warmup_factor": 0.1}
        budgets[budget] = flags | (warmup if warm else {})
    column = "with warm-up" if warm else "without"
    title = f"{LABELS[name]}{', warm-up' if warm else ''}"
    return Run(f"{name}-warm" if warm else name, {}, title, budgets, row=LABELS[name], column=column)


COMPARISON = Comparison(
    name="schedules",
    title="Learning-rate schedules",
    question="What does a falling learning rate gain, which fall is best at a fixed length, and does a warm-up help?",
    claims=(
        Claim(
            "Drops by 10 at 32,000 and 48,000 steps; ResNet-20 has no warm-up, ResNet-110 starts at 0.01 for some 400 "
            "steps, but reaches a similar accuracy without.",
            "He et al. 2016, section 4.2",
        ),
        Claim(
            "Warm restarts reach the accuracy of step schedules in two to four times fewer epochs.",
            "Loshchilov & Hutter 2017",
        ),
        Claim("A rate that cycles between bounds reaches a baseline's accuracy in fewer steps.", "Smith 2017"),
        Claim("A gradual warm-up matters for very large batches.", "Goyal et al. 2017, section 2.2"),
    ),
    base=BASE,
    runs=(*(_run(name, False) for name in LABELS), *(_run(name, True) for name in WARMED)),
    budgets={
        SMALL: Budget(
            "CIFAR-10 at 16 pixels, 2 epochs, rate 0.1 at the most, warm-up over a tenth", {**AT_16, "epochs": 2}
        ),
        PAPER: Budget("182 epochs, the same shapes", {"epochs": 182}),
    },
    tables=(Table("grid", ("top1",), "schedule"), Table("list", ("top1", "train_top1", "loss"), "schedule")),
    pictures=(
        Picture("points", "Test top-1 of ResNet-20 by schedule, one point a seed"),
        Picture("curves", "Training loss of ResNet-20 by schedule", ("train_loss",), "curves", tuple(LABELS)),
    ),
    curves=("train_loss",),
    conclusion="In 702 steps the schedules lie within a few points. Cosine, 49.97 ± 0.84 %, SGDR, 49.22 ± 0.35 %, "
    "and the cyclical rate, 49.87 ± 0.65 %, are ahead of the step schedule, 47.92 ± 0.28 %, of the "
    "exponential fall and of 1/t in every seed, and are not told apart. The constant rate, 47.58 ± 1.97 "
    "%, whose seeds lie far apart, is not clearly told from any of the others. A warm-up of a tenth "
    "before cosine, 50.38 ± 1.06 %, makes no difference that three seeds could show; the papers have none "
    "for so small a batch and so few layers. Neither SGDR nor the cyclical rate is faster than cosine "
    "here; a run of two short cycles is no test of their claims. The loss of the step schedule rises for "
    "about thirty steps at its first drop. Keras keeps the rate within the velocity, so that the velocity "
    "of the high rate outlives the drop; that would explain it. The schedule is level with cosine again "
    "from step 410 and falls behind after its second drop, at a hundredth of the rate. Against the 64,000 "
    "steps of the paper thirty are nothing.",
)
