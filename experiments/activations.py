"""ReLU and its alternatives, each with the initial weights that it needs, on a small network without batch norm."""

from experiments.design import PAPER, SMALL, Budget, Claim, Comparison, Picture, Run, Table

LABELS = {
    "relu": "ReLU", "leaky_relu": "leaky ReLU", "elu": "ELU", "maxout": "maxout", "tanh": "tanh", "sigmoid": "sigmoid",
}  # fmt: skip
SATURATING = ("tanh", "sigmoid")


def _runs(name: str) -> list[Run]:
    """Two rates each; saturating units take larger ones."""
    initializer, rates = ("glorot", (0.03, 0.1)) if name in SATURATING else ("he", (0.01, 0.03))
    label, flags = f"{LABELS[name]}, {initializer.capitalize()}", {"activation": name, "initializer": initializer}
    return [
        Run(f"{name}-{rate:g}", {**flags, "learning_rate": rate}, f"{label}, rate {rate:g}", group=label)
        for rate in rates
    ]


COMPARISON = Comparison(
    name="activations",
    title="Activations",
    question="How well and how fast does LeNet-5, which sees grey pictures, learn CIFAR-10 with each activation?",
    claims=(
        Claim(
            "A convolutional network of four layers reaches 25 % training error on CIFAR-10 six times faster with ReLU "
            "than with tanh.",
            "Krizhevsky et al. 2012, section 3.1, Figure 1",
        ),
        Claim("ELU learns faster than ReLU and leaky ReLU.", "Clevert et al. 2016, section 4"),
        Claim("Sigmoid units saturate in deep networks and stop the learning.", "Glorot & Bengio 2010, section 3.1"),
    ),
    base={"arch": "lenet5", "dataset": "cifar10", "flip": True},
    runs=tuple(run for name in LABELS for run in _runs(name)),
    budgets={
        SMALL: Budget("3 epochs at a constant rate, the better of two rates", {"epochs": 3, "schedule": "constant"}),
        PAPER: Budget("60 epochs, cosine", {"epochs": 60, "schedule": "cosine"}),
    },
    tables=(
        Table("best", ("top1", "train_top1", "train_loss", "parameters"), "activation"),
        Table("list", ("best_validation",), "every rate tried"),
    ),
    pictures=(Picture("best", "Training loss of LeNet-5 on CIFAR-10 by activation", ("train_loss",), x="step"),),
    curves=("train_loss",),
    conclusion="Sigmoid does not learn at all in 3 epochs: its training loss of 2.305 is about that of guessing, at "
    "either rate, as Glorot & Bengio report of sigmoid units. tanh, with Glorot's initial weights, is "
    "level with ReLU in the test, 54.93 ± 1.59 % against 53.27 ± 1.16 %, and its training loss is even "
    "lower. That is the opposite of Krizhevsky et al., whose network of four layers sees colours and is "
    "trained until it has 25 % training error, far below what 3 epochs reach here. ELU learns faster than "
    "ReLU, as Clevert et al. report: training loss 1.247 ± 0.011 against 1.344 ± 0.005. Its lead over "
    "leaky ReLU, 1.271 ± 0.016, is hardly more than the seeds' spread. maxout has the lowest training "
    "loss, 1.152 ± 0.013, with twice the parameters, so part of its lead may be its size; in the test, "
    "59.63 ± 2.79 %, its seeds overlap with ELU's. Two rates each are few: the better one of ReLU, leaky "
    "ReLU and maxout is the higher of the two.",
)
