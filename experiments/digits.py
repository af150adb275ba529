"""The lab's four networks on the data that need no download."""

from experiments.design import SMALL, Budget, Comparison, Run, Table


def _begin(arch: str, label: str, epochs: int, batch: int) -> Run:
    """The first epochs of a network's own recipe, in which the rate has not dropped yet."""
    flags = {"arch": arch, "epochs": epochs, "batch_size": batch, "schedule": "constant", "ema": 0}
    return Run(arch, flags, f"{label}, {epochs} epochs")


COMPARISON = Comparison(
    name="digits",
    title="The lab's networks on the digits",
    question="What do the lab's four networks learn from 1,257 handwritten digits, at their own image sizes?",
    claims=(),
    base={"dataset": "digits"},
    runs=(
        Run(
            "alexnet",
            {"arch": "alexnet", "epochs": 14},
            "AlexNet, 14 epochs, averaged weights, as the data set suggests",
        ),
        _begin("vgg16", "VGG16", 2, 16),
        _begin("googlenet", "GoogLeNet", 6, 16),
        _begin("resnet34", "ResNet-34", 3, 32),
    ),
    budgets={SMALL: Budget("AlexNet's recipe whole, the first epochs of the others'", {}, 1)},
    tables=(Table(figures=("top1", "train_top1", "loss", "epochs", "processor_minutes")),),
    keep_weights=False,
    left_out="the processor time set aside for the comparisons was spent on the others; figures of the same networks "
    "and data stand in README.md",
)
