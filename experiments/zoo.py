"""Canziani et al. 2016, for small images: accuracy at equal epochs against multiply-adds, parameters as area."""

from experiments.design import PAPER, SMALL, Budget, Claim, Comparison, Picture, Run, Table

# Networks for 32 pixels, and others at the smallest size that suits them.
NETWORKS = {
    "lenet5": {"learning_rate": 0.01, "batch_size": 64},
    "plain20": {},
    "resnet20": {},
    "resnet32": {},
    "se_resnet20": {},
    "nin_cifar": {},
    "vgg11_bn": {"image_size": 32, "batch_size": 128},
    "resnet18": {"image_size": 32, "batch_size": 128},
    "mobilenet_050": {"image_size": 32, "batch_size": 128},
    "squeezenet1_1": {"image_size": 64, "batch_size": 128},
    "alexnet": {"image_size": 67},
    "googlenet": {"image_size": 79, "batch_size": 64},
}

COMPARISON = Comparison(
    name="zoo",
    title="The zoo at equal epochs",
    question="Which networks make the most of their multiply-adds and parameters at the same few epochs?",
    claims=(
        Claim(
            "Accuracy on ImageNet against operations: the architectures lie on a hyperbola, and parameters do not tell "
            "the accuracy.",
            "Canziani et al. 2016",
        ),
    ),
    base={"dataset": "cifar10", "schedule": "cosine", "crop": "pad", "flip": True},
    runs=tuple(Run(name, {"arch": name, **flags}) for name, flags in NETWORKS.items()),
    budgets={
        SMALL: Budget("2 epochs, each network at its own rate, cosine", {"epochs": 2}, 1),
        PAPER: Budget("182 epochs, cosine", {"epochs": 182}, 1),
    },
    tables=(Table(figures=("top1", "train_top1", "multiply_adds", "parameters", "minutes")),),
    pictures=(Picture("bubbles", "Test top-1 on CIFAR-10 against multiply-adds, area: parameters"),),
    keep_weights=False,
    costs=True,
)
