"""ReLU and its alternatives, each with the initial weights that it needs."""

from experiments.design import PAPER, SMALL, Budget, Claim, Comparison, Picture, Run, Table

LABELS = {"relu": "ReLU", "leaky_relu": "leaky ReLU", "elu": "ELU", "maxout": "maxout", "tanh": "tanh",
          "sigmoid": "sigmoid"}  # fmt: skip
SATURATING = ("tanh", "sigmoid")


def _run(name: str) -> Run:
    initializer = "glorot" if name in SATURATING else "he"
    return Run(name, {"activation": name, "initializer": initializer}, f"{LABELS[name]}, {initializer.capitalize()}")


COMPARISON = Comparison(
    name="activations",
    title="Activations",
    question="How well and how fast does a plain network of 20 layers without batch norm learn with each activation?",
    claims=(
        Claim(
            "A network of four convolutions reaches 25 % training error on CIFAR-10 six times faster with ReLU than "
            "with tanh.",
            "Krizhevsky et al. 2012, section 3.1, Figure 1",
        ),
        Claim("ELU learns faster than ReLU and leaky ReLU.", "Clevert et al. 2016, section 4"),
        Claim("Sigmoid units saturate in deep networks and stop the learning.", "Glorot & Bengio 2010, section 3.1"),
    ),
    base={"arch": "plain20", "dataset": "cifar10", "norm": "none", "learning_rate": 0.01},
    runs=tuple(map(_run, LABELS)),
    budgets={
        SMALL: Budget("1 epoch at a constant rate", {"epochs": 1, "schedule": "constant"}),
        PAPER: Budget("the 182 epochs of the CIFAR recipe", {}),
    },
    tables=(Table(figures=("top1", "train_top1", "train_loss", "parameters", "minutes"), head="activation"),),
    pictures=(Picture("curves", "Training loss of a plain network of 20 layers by activation", ("train_loss",)),),
    curves=("train_loss",),
)
