"""From scratch, on frozen features, or fine-tuned: ten ImageNet classes from ResNet-20's weights of CIFAR-10."""

from experiments import cifar
from experiments.design import PAPER, SMALL, Budget, Claim, Comparison, Picture, Run, Table

IMAGES = {10: {"epochs": 60, "batch_size": 20}, 50: {"epochs": 30, "batch_size": 50},
          200: {"epochs": 20, "batch_size": 50}}  # fmt: skip
METHODS = {
    "scratch": ("from scratch", {"learning_rate": 0.03}),
    "frozen": ("frozen features", {"freeze": "conv", "learning_rate": 0.1}),
    "tuned": ("fine-tuned", {"learning_rate": 0.01, "head_learning_rate": 0.1}),
}


def _run(images: int, method: str) -> Run:
    title, flags = METHODS[method]
    flags = {"schedule": "cosine", **IMAGES[images], **flags}
    budgets = {
        SMALL: {**cifar.AT_16, "dataset": f"imagenette-16px-{images}"},
        PAPER: {"dataset": f"imagenette-{images}"},
    }
    start = "" if method == "scratch" else "start"
    return Run(f"{method}-{images}", flags, f"{title}, {images}", budgets, row=title, column=f"{images}", start=start)


RUNS = tuple(_run(images, method) for method in METHODS for images in IMAGES)

COMPARISON = Comparison(
    name="transfer",
    title="Transfer to other classes",
    question="How much do weights of CIFAR-10 help on ten ImageNet classes with 10, 50 and 200 images of each?",
    claims=(
        Claim("Features of a network trained on ImageNet serve other tasks as they are.", "Donahue et al. 2014"),
        Claim(
            "Starting from transferred features generalises better than from random ones, even after "
            "fine-tuning to the new task.",
            "Yosinski et al. 2014",
        ),
    ),
    base=cifar.BASE,
    runs=(
        Run(
            "start",
            label="the start, on CIFAR-10",
            budgets={SMALL: {**cifar.AT_16, **cifar.LONG}, PAPER: {}},
        ),
        *RUNS,
    ),
    budgets={
        SMALL: Budget("weights of 12 epochs of CIFAR-10; 20 to 60 epochs; all at 16 pixels"),
        PAPER: Budget("weights of the whole schedule; 20 to 60 epochs; all at 32 pixels"),
    },
    tables=(
        Table("grid", ("top1",), "images a class", tuple(run.name for run in RUNS)),
        Table("grid", ("train_top1",), "images a class", tuple(run.name for run in RUNS)),
    ),
    pictures=(
        Picture(
            "grid",
            "Test top-1 on ten ImageNet classes by images a class: from scratch, frozen, fine-tuned",
            rows=tuple(run.name for run in RUNS),
            x="images a class",
        ),
    ),
    conclusion="Fine-tuning is best at every number of images: 45.30 ± 1.57 % against 30.17 ± 2.40 % from scratch at "
    "10 of a class, 51.30 ± 2.67 % against 35.57 ± 2.58 % at 50, 59.67 ± 2.01 % against 49.07 ± 1.59 % at "
    "200. Frozen features are far ahead of training from scratch at 10 and at 50; at 200 the two are "
    "level. Both papers' claims hold here at their smallest scale. The training figures show a limit: at "
    "50 and at 200 the networks from scratch have not fitted their own training images, so part of the "
    "gap is speed, and longer training would probably narrow it. Neither the epochs nor the rates were "
    "tuned, and every seed has the same images. Whether what transfers is general was not measured: some "
    "of the classes are close to those of CIFAR-10.",
)
