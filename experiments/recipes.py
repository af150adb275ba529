"""The lab's recipe, a modern one, and one for small data sets; and what helps unequal classes."""

from experiments.design import SMALL, Budget, Claim, Comparison, Picture, Run, Table

CIFAR = {"arch": "resnet20", "dataset": "cifar10", "epochs": 12}
STEPS = 351
PHOTOS = {"arch": "resnet18", "dataset": "imagenette-4k", "image_size": 96, "minutes": 10}
UNEQUAL = {"arch": "resnet20", "dataset": "cifar10-unequal", "epochs": 6, "schedule": "cosine"}
RUNS = (
    Run("cifar-lab", {**CIFAR, "schedule_boundaries": (6 * STEPS, 9 * STEPS)}, "ResNet-20, CIFAR-10, the lab's recipe"),
    Run("cifar-modern", {**CIFAR, "recipe": "modern"}, "the same, modern"),
    Run("photos-lab", {**PHOTOS, "batch_size": 64}, "ResNet-18, 3,000 photographs at 96 pixels, the lab's recipe"),
    Run("photos-small", {**PHOTOS, "recipe": "small"}, "the same, for small data sets"),
    Run("photos-modern", {**PHOTOS, "recipe": "modern"}, "the same, modern"),
)
BALANCED = (
    Run("unequal", UNEQUAL, "ResNet-20, CIFAR-10 with classes of 4,500 down to 225 images, as they are"),
    Run("weighted", {**UNEQUAL, "class_weight": "balanced"}, "losses weighted by class"),
    Run("sampled", {**UNEQUAL, "sampling": "balanced"}, "classes sampled equally often"),
)

COMPARISON = Comparison(
    name="recipes",
    title="Recipes",
    question="What do newer training recipes gain over the lab's in the same time, and what helps unequal classes?",
    claims=(
        Claim(
            "ResNet-50 by a modern recipe: 80.4 % top-1 on ImageNet, in place of 75.3 to 76.1 %.",
            "Wightman et al. 2021",
        ),
    ),
    base={},
    runs=(*RUNS, *BALANCED),
    budgets={SMALL: Budget("12 epochs of CIFAR-10, 6 of the unequal classes; 10 minutes a run of the photographs")},
    tables=(
        Table(figures=("top1", "loss", "epochs", "minutes"), head="trained", rows=tuple(run.name for run in RUNS)),
        Table(figures=("balanced_accuracy", "top1", "loss"), head="trained", rows=tuple(run.name for run in BALANCED)),
    ),
    pictures=(Picture("points", "Test top-1 by recipe, one point a seed", rows=tuple(run.name for run in RUNS)),),
)
