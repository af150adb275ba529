"""He et al. 2016, Table 6: ResNet-20 by the paper's whole schedule."""

from experiments.design import PAPER, Budget, Claim, Comparison, Picture, Run, Table

COMPARISON = Comparison(
    name="resnet20",
    title="ResNet-20 by the paper's schedule",
    question="Does this program reach the paper's figure for ResNet-20 on CIFAR-10?",
    claims=(
        Claim(
            "8.75 % test error, 91.25 % top-1. Five runs of ResNet-110 spread by 0.16 points.",
            "He et al. 2016, Table 6",
        ),
    ),
    base={"arch": "resnet20", "dataset": "cifar10", "validation_share": 0, "precision": "mixed_bfloat16"},
    runs=(
        Run("resnet20", paper="91.25 %"),
        Run(
            "before",
            label="an earlier version, 45,000 images, stopped at step 56,411 of 63,882",
            earlier="python resnet34.py --arch resnet20 --mode train --dataset datasets/cifar10 --precision "
            "mixed_bfloat16 --log_every 100",
        ),
    ),
    budgets={
        PAPER: Budget(
            "all 50,000 training images, 164 epochs of 390 steps, x0.1 at 32,000 and 48,000 steps", {"epochs": 164}, 1
        )
    },
    tables=(Table(figures=("top1", "train_top1", "loss", "steps", "minutes")),),
    pictures=(Picture("errors", "Error of ResNet-20 in training, by the paper's schedule", rows=("resnet20",)),),
    curves=("train_top1",),
    conclusion="The program reaches 91.68 %, the paper 91.25 %. The earlier version was at 88.98 % when it was "
    "stopped long after the second drop. It drew the classifier's weights by He's rule, which gives "
    "scores of several units, so that the first steps at the paper's rate are violent, and it trained on "
    "5,000 images less. Which of these made the gap was tested over 8 epochs only, in the section above. "
    "The classifier now starts from a narrow Gaussian (`--classifier_initializer`). One seed shows that "
    "the gap is closed, not which of the two is better. Other work ran beside the run, and its minutes "
    "hold short pauses. It was begun as `python resnet34.py --arch resnet20 --mode train --dataset "
    "datasets/cifar10 --precision mixed_bfloat16 --validation_share 0 --epochs 164` and came to its end "
    "and its test by the command above.",
)
