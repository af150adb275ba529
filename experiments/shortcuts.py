"""He et al. 2016, Table 3: shortcuts A, B and C."""

from experiments import cifar
from experiments.design import PAPER, SMALL, Budget, Claim, Comparison, Picture, Run

COMPARISON = Comparison(
    name="shortcuts",
    title="Shortcuts A, B and C",
    question="Do projections on the shortcuts help, where the maps change size (B) or everywhere (C)?",
    claims=(
        Claim(
            "On ImageNet ResNet-34 has 25.03 % top-1 error with A, 24.52 % with B, 24.19 % with C: the differences are "
            "small, so projections are not essential.",
            "He et al. 2016, section 4.1, Table 3",
        ),
    ),
    base=cifar.BASE,
    runs=(
        Run("A", label="A: identity, zeros for new channels"),
        Run("B", {"shortcut": "B"}, "B: projection where sizes change"),
        Run("C", {"shortcut": "C"}, "C: projection always"),
    ),
    budgets={
        SMALL: Budget(f"CIFAR-10 at 16 pixels, {cifar.SMALL_BUDGET.text}", {**cifar.AT_16, **cifar.SHORT}),
        PAPER: cifar.PAPER_BUDGET,
    },
    pictures=(Picture("points", "Test top-1 of ResNet-20 with shortcuts A, B and C, one point a seed"),),
)
