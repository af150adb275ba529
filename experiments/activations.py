"""ReLU and its alternatives, each with the initial weights that it needs, on a small network without batch norm."""

from experiments.design import PAPER, SMALL, Budget, Claim, Comparison, Picture, Run, Table

LABELS = {
    "relu": "ReLU", "leaky_relu": "leaky ReLU", "elu": "ELU", "maxout": "maxout", "tanh": "tanh", "sigmoid": "sigmoid",
}  # fmt: skip
SATURATING = ("tanh", "sigmoid")


def _run(name: str) -> Run:
    initializer = "glorot" if name in SATURATING else "he"
    return Run(name, {"activation": name, "initializer": initializer}, f"{LABELS[name]}, {initializer.capitalize()}")


COMPARISON = Comparison(
    name="activations",
    title="Activations",
    question="How well and how fast does LeNet-5 learn CIFAR-10 with each activation?",
    claims=(
        Claim(
            "A network of four convolutions reaches 25 % training error on CIFAR-10 six times faster with ReLU than "
            "with tanh.",
            "Krizhevsky et al. 2012, section 3.1, Figure 1",
        ),
        Claim("ELU learns faster than ReLU and leaky ReLU.", "Clevert et al. 2016, section 4"),
        Claim("Sigmoid units saturate in deep networks and stop the learning.", "Glorot & Bengio 2010, section 3.1"),
    ),
    base={"arch": "lenet5", "dataset": "cifar10", "flip": True, "learning_rate": 0.01},
    runs=tuple(map(_run, LABELS)),
    budgets={
        SMALL: Budget("5 epochs at a constant rate", {"epochs": 5, "schedule": "constant"}),
        PAPER: Budget("60 epochs, cosine", {"epochs": 60, "schedule": "cosine"}),
    },
    tables=(Table(figures=("top1", "train_top1", "train_loss", "parameters", "minutes"), head="activation"),),
    pictures=(Picture("curves", "Training loss of LeNet-5 on CIFAR-10 by activation", ("train_loss",)),),
    curves=("train_loss",),
)
