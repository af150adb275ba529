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
    conclusion="At this budget C is the last, the opposite of the paper: 45.02 ± 0.10 %, each of its seeds behind "
    "every seed of A, 47.92 ± 0.28 %, and B, 46.94 ± 1.30 %. A and B overlap. C is behind in training "
    "too, so it does not overfit: it learns more slowly. That fits a later paper (He et al. 2016b, "
    "Identity Mappings), by which an untouched path eases the optimisation; the paper of this table "
    "leaves C out for its memory, time and size alone. Which one ends higher, the paper's question, needs "
    "its length of training.",
)
