"""The lab's recipe, a modern one, and one for small data sets; and what helps unequal classes."""

from experiments import cifar
from experiments.design import SMALL, Budget, Claim, Comparison, Picture, Run, Table

CIFAR = {**cifar.BASE, **cifar.LONG}
PHOTOS = {"arch": "resnet18", "dataset": "imagenette-250", "image_size": 96, "epochs": 20}
UNEQUAL = {"arch": "resnet20", "dataset": "cifar10-unequal", "epochs": 6, "schedule": "cosine"}
RUNS = (
    Run("cifar-lab", CIFAR, "ResNet-20, CIFAR-10: lab"),
    Run(
        "cifar-modern",
        {**cifar.BASE, "epochs": 12, "recipe": "modern", "warmup_epochs": 1},
        "ResNet-20, CIFAR-10: modern",
    ),
    Run("photos-lab", {**PHOTOS, "batch_size": 64}, "ResNet-18, photographs: lab, batches of 64"),
    Run("photos-small", {**PHOTOS, "recipe": "small"}, "ResNet-18, photographs: small"),
    Run(
        "photos-modern",
        {**PHOTOS, "recipe": "modern", "batch_size": 64, "warmup_epochs": 2},
        "ResNet-18, photographs: modern, batches of 64",
    ),
)
CHOICES = (
    Run(
        "small-no-average", {**PHOTOS, "recipe": "small", "ema": 0}, "small without the average of the weights", seeds=1
    ),
    Run("small-no-trivial", {**PHOTOS, "recipe": "small", "auto_augment": "none"}, "small without TrivialAugment"),
    Run(
        "small-no-smoothing",
        {**PHOTOS, "recipe": "small", "label_smoothing": 0},
        "small without smoothed labels",
        seeds=1,
    ),
    Run(
        "small-faster", {**PHOTOS, "recipe": "small", "learning_rate": 0.1}, "small at twice the learning rate", seeds=1
    ),
)
BALANCED = (
    Run("unequal", UNEQUAL, "ResNet-20, CIFAR-10 with classes of 4,000 down to 200 images, as they are"),
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
    runs=(*RUNS, *CHOICES, *BALANCED),
    budgets={SMALL: Budget("12 epochs of CIFAR-10, 6 of its unequal part, 20 of 2,500 photographs at 96 pixels")},
    tables=(
        Table(
            figures=("top1", "loss", "epochs", "processor_minutes"),
            head="trained",
            rows=tuple(run.name for run in (*RUNS, *CHOICES)),
        ),
        Table(figures=("balanced_accuracy", "loss"), head="trained", rows=tuple(run.name for run in BALANCED)),
    ),
    pictures=(Picture("points", "Test top-1 by recipe, one point a seed", rows=tuple(run.name for run in RUNS)),),
)
