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
    Run("long", label="ResNet-20 by the step schedule, as long", budgets={SMALL: cifar.LONG, PAPER: {}}),
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
    Test("seeds-1-crop", ("resnet18",), 3, label="three seeds, 1 crop"),
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
            f"{cifar.SMALL_AT_16.text}; {cifar.LONG['epochs']} epochs in cycles and by "
            f"the step schedule; {PHOTO_EPOCHS} epochs of ResNet-18",
            cifar.SMALL_AT_16.flags,
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
            "Test top-1 of 1 to 5 seeds of ResNet-20 and of three architectures together, one point a choice of seeds",
            rows=(
                "resnet20",
                *(f"seeds-{n}" for n in range(2, SEEDS + 1)),
                "se-resnet20",
                "shortcut-b",
                "architectures",
            ),
        ),
        Picture(
            "points",
            f"Test top-1 of ResNet-20 in {CYCLES} cycles and by the step schedule as long, one point a seed",
            name="snapshots",
            rows=("long", "last", "snapshots"),
        ),
        Picture(
            "points",
            "Test top-1 of ResNet-18 on ten ImageNet classes by what it is shown, one point a seed",
            name="views",
            rows=("resnet18", *(line.name for line in VIEWS)),
        ),
    ),
    conclusion="Several seeds gain in every choice of them: two 1.53 ± 0.40 points over the mean of their members, "
    "three 1.93 ± 0.32, five 2.24. Most of the gain comes with the second network. That agrees with "
    "Krizhevsky et al. in direction; networks trained for 2 epochs are weak, so the size of the gain is "
    "not comparable. Three architectures together gain 1.61 ± 0.12 points, no more than two or three "
    "seeds, and one of them, SE-ResNet-20, is as good alone: 50.41 ± 0.60 % against 50.04 ± 0.45 %. "
    "Snapshots show the opposite of Huang et al.: all four together have 67.73 ± 0.65 %, in every seed "
    "less than one run of the same cost, 69.71 ± 0.57 %, and less than the last one alone, 70.23 ± 0.42 "
    "%. Probably the early snapshots pull the average down: with cycles of 3 epochs the network still "
    "improves a great deal from one to the next. The paper's cycles are tens of epochs long. One run in "
    "four cycles ends level with one by the step schedule. Ten crops and three scales gain about a point "
    "each, in every seed, although seeds differ by more than that; a point is ten photographs, the same "
    "in every seed. Dense testing loses in every seed. Probably the cause is the border: its windows "
    "share one pass and see their neighbours where a crop of training saw zeros, and at 64 pixels much of "
    "each map is border; this was not tested by itself. With three scales dense testing is level with one "
    "crop. Three seeds have 48.40 % with one crop and 48.50 % with ten, one seed with one crop 43.83 ± "
    "2.29 %: the seeds gain, and with them the crops add next to nothing, where in Szegedy et al. both "
    "gains add.",
)
