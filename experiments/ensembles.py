"""Several networks or several views together: seeds, snapshots, architectures; crops, scales, dense."""

from experiments import cifar
from experiments.design import PAPER, SMALL, Budget, Claim, Comparison, Picture, Run, Table, Test

SEEDS, CYCLES, PHOTO_EPOCHS = 5, 4, 6
SCALES = (64, 73, 96)
ALL_SCALES = ",".join(map(str, SCALES))
# ResNet-18 on photographs, for the views: at 32 pixels there is nothing to crop.
PHOTOS = {
    "arch": "resnet18", "dataset": "imagenette-250", "image_size": 64, "batch_size": 50, "learning_rate": 0.05,
    "schedule": "cosine", "schedule_boundaries": None,
}  # fmt: skip
CYCLIC = {"schedule": "sgdr", "schedule_boundaries": None, "snapshots": True}

ONES = (
    Run("resnet20", label="ResNet-20, one seed", seeds=SEEDS),
    Run("se-resnet20", {"arch": "se_resnet20"}, "SE-ResNet-20, one seed"),
    Run("shortcut-b", {"shortcut": "B"}, "ResNet-20 with shortcuts B, one seed"),
    Run(
        "cycles",
        CYCLIC,
        f"ResNet-20 in {CYCLES} cycles, its best epoch",
        budgets={
            SMALL: {"epochs": 3 * CYCLES, "schedule_every": 3},
            PAPER: {"epochs": 182, "schedule_every": 182 / CYCLES},
        },
    ),
    Run("long", label="ResNet-20 in one fall, as long", budgets={SMALL: cifar.LONG, PAPER: {}}),
)
ONE_CROP = Run(
    "resnet18", PHOTOS, "ResNet-18, 1 crop", budgets={SMALL: {"epochs": PHOTO_EPOCHS}, PAPER: {"epochs": 90}}
)
TOGETHER = (
    *(Test(f"seeds-{n}", ("resnet20",), n, label=f"ResNet-20, {n} seeds") for n in range(2, SEEDS + 1)),
    Test(
        "architectures",
        ("resnet20", "se-resnet20", "shortcut-b"),
        label="ResNet-20, SE-ResNet-20, shortcuts B: one of each",
    ),
    Test("last", ("cycles",), flags={"snapshots": "last:1"}, label="ResNet-20 in cycles, the last snapshot"),
    Test(
        "snapshots",
        ("cycles",),
        flags={"snapshots": f"last:{CYCLES}"},
        label=f"ResNet-20 in cycles, all {CYCLES} snapshots",
    ),
)
VIEWS = (
    Test("crops-10", ("resnet18",), flags={"crops": "10"}, label="10 crops"),
    Test("scales", ("resnet18",), flags={"scales": ALL_SCALES}, label=f"scales {ALL_SCALES}"),
    Test("dense", ("resnet18",), flags={"crops": "dense"}, label="dense"),
    Test("dense-scales", ("resnet18",), flags={"crops": "dense", "scales": ALL_SCALES}, label="dense, three scales"),
    Test("seeds-10-crops", ("resnet18",), 3, {"crops": "10"}, "three seeds, 10 crops"),
)

COMPARISON = Comparison(
    name="ensembles",
    title="Ensembles and views",
    question="What do several seeds, snapshots of one run, several architectures, and several views of a picture gain?",
    claims=(
        Claim(
            "Five networks lower the top-5 error from 18.2 % to 16.4 %; ten crops lower the top-1 error on ILSVRC-2010 "
            "from 39.0 % to 37.5 %.",
            "Krizhevsky et al. 2012, sections 4.1 and 6",
        ),
        Claim(
            "Top-5 error 10.07 % with one network and crop, 9.15 % with 10 crops, 7.89 % with 144; 8.09 % with seven "
            "networks and one crop, 6.67 % with both.",
            "Szegedy et al. 2015, Table 3",
        ),
        Claim(
            "Snapshots at the ends of cycles, averaged, are better than one run of the same cost.", "Huang et al. 2017"
        ),
    ),
    base=cifar.BASE,
    runs=(*ONES, ONE_CROP),
    tests=(*TOGETHER, *VIEWS),
    budgets={
        SMALL: Budget(
            f"CIFAR-10 at 16 pixels, {cifar.SMALL_BUDGET.text}; {cifar.LONG['epochs']} epochs in cycles and in one "
            f"fall; {PHOTO_EPOCHS} epochs of ResNet-18",
            {**cifar.AT_16, **cifar.SHORT},
        ),
        PAPER: Budget(f"{cifar.PAPER_BUDGET.text}; 90 epochs of ResNet-18", {}, 3),
    },
    tables=(
        Table(
            figures=("top1", "over_mean", "loss"),
            head="CIFAR-10",
            rows=tuple(line.name for line in (*ONES, *TOGETHER)),
        ),
        Table(
            figures=("top1", "top5", "loss"),
            head="ten ImageNet classes, 64 pixels",
            rows=tuple(line.name for line in (ONE_CROP, *VIEWS)),
        ),
    ),
    pictures=(
        Picture(
            "points",
            "Test top-1 of 1 to 5 seeds of ResNet-20 together, each point a choice of seeds",
            rows=("resnet20", *(f"seeds-{n}" for n in range(2, SEEDS + 1)), "architectures", "last", "snapshots"),
        ),
    ),
)
