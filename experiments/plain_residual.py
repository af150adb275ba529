"""He et al. 2016, Figure 6: does depth hurt a plain network and help a residual one?"""

from experiments import cifar
from experiments.design import Claim, Comparison, Picture, Run, Table

COMPARISON = Comparison(
    name="plain_residual",
    title="Plain and residual networks",
    question="Does a network of 56 layers learn worse than one of 20 when it is plain, and better when it is residual?",
    claims=(
        Claim(
            "Plain networks have a higher training error when they are deeper, and so a higher test error; residual "
            "ones gain from depth: 8.75 % test error with 20 layers, 6.97 % with 56 (91.25 % and 93.03 % top-1).",
            "He et al. 2016, section 4.2, Figure 6 and Table 6",
        ),
    ),
    base=cifar.BASE,
    runs=(
        Run("plain20", {"arch": "plain20"}, "plain-20"),
        Run("plain56", {"arch": "plain56"}, "plain-56"),
        Run("resnet20", label="ResNet-20"),
        Run("resnet56", {"arch": "resnet56"}, "ResNet-56"),
    ),
    budgets=cifar.BUDGETS,
    tables=(Table(figures=("top1", "train_top1", "loss", "train_loss", "parameters")),),
    pictures=(Picture("errors", "Error of plain and residual networks in training and in validation"),),
    curves=("train_top1", "validation_top1"),
    conclusion="After 2 epochs depth costs both kinds of networks: with 56 layers in place of 20 the plain one falls "
    "from 51.56 ± 2.04 % to 27.01 ± 2.79 %, the residual one from 60.31 ± 1.09 % to 39.59 ± 4.87 %. "
    "Training figures fall as test figures do, so the deep networks learn more slowly; they do not "
    "overfit. For plain networks that has the direction of the paper. For residual ones it is the "
    "opposite of the paper, which trains 182 epochs. Since both show the same here, 2 epochs cannot tell "
    "the paper's degradation from a slow start, nor show what depth gains in the end. What they show is "
    "that shortcuts help from the start: at either depth the residual network is far ahead of the plain "
    "one, in all three seeds.",
)
