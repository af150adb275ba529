"""He et al. 2016, Table 3: shortcuts A, B and C."""

from experiments import cifar
from experiments.design import PAPER, SMALL, Claim, Comparison, Picture, Run

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
    budgets={SMALL: cifar.SMALL_AT_16, PAPER: cifar.PAPER_BUDGET},
    pictures=(Picture("points", "Test top-1 of ResNet-20 with shortcuts A, B and C, one point a seed"),),
    conclusion="At this budget the order is the opposite of the paper's: A 47.92 ± 0.28 %, B 46.94 ± 1.30 %, C 45.02 "
    "± 0.10 %. Every seed of A and B is ahead of every seed of C; A and B overlap. The training figures "
    "have the same order, so the projections do not overfit. With its schedule cut to 2 epochs the table "
    "shows which network learns faster, and identities do; that fits the paper's reason for them, that an "
    "untouched path eases the optimisation. Which one ends higher, the paper's question, needs its length "
    "of training.",
)
