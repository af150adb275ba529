"""Which figures of a conclusion stand in its tables and claims, and which do not."""

import pytest

from experiments import conclusions
from experiments.design import Budget, Claim, Comparison, Run

TABLE = """\
| network | test top-1 | over the mean | loss | steps | n | the paper |
| --- | ---: | ---: | ---: | ---: | ---: | ---: |
| a | 60.25 ± 0.31 % | +1.25 | 1.100 ± 0.020 | 12,345 | 3 | 91.25 % |
| b, rate 0.03 | 58.75 ± 0.44 % | – | diverged (1 of 3) | 12,345 | 2 | – |
"""


@pytest.mark.parametrize(
    ("conclusion", "wrong"),
    [
        ("It has 60.25 %, spread 0.31 %, loss 1.100, at a rate of 0.03 and in 12,345 steps.", []),
        ("Between 58.75 and 60.25 %; the paper has 91.25 %, the others 24.52 %.", []),
        ("It has 60.26 %.", ["60.26 %"]),
        ("It has 60.3 %.", ["60.3 %"]),  # not the printed digits
        ("Its loss is 1.10.", ["1.10"]),
        ("It has 1.100 %.", ["1.100 %"]),  # that is the loss
        ("About 60 %, about 59 % and 24 % or 25 %.", ["24 %"]),  # of 60.25, 58.75 and 24.52
        ("1.50 points, 1.5 points, 2 points, 31 points below the paper.", []),  # 91.25 - 60.25
        ("It gains 1.25 points over the mean.", []),
        ("1.51 points and 1.6 points.", ["1.51 points", "1.6 points"]),
        ("60.25 points and 59.94 points.", ["60.25 points", "59.94 points"]),  # a level, and a level less a spread
        ("Three seeds; 40 of 100; 3 epochs.", []),
        ("So 60.25, and not 60.35.", ["60.35"]),
        ("About 59 %, spread about 0 %.", ["0 %"]),  # whole per cents are of means alone
        ("It has 77%, 60.25%, 61.25 per cent and 60 per cent.", ["77 %", "61.25 %"]),
        ("It is 3.7x as fast, has 12.5M parameters.", ["3.7x", "12.5M"]),
        ("It has 60.25\n% and gains 9.99\npoints.", ["9.99 points"]),
    ],
)
def test_the_figures_of_a_conclusion(conclusion, wrong):
    comparison = Comparison(
        name="made",
        title="Made",
        question="Which?",
        claims=(Claim("25.03 % with A, 24.52 % with B.", "nobody 2016, Table 3.1"),),
        base={"arch": "lenet5"},
        runs=(Run("a"),),
        budgets={"small": Budget("some")},
        conclusion=conclusion,
    )
    assert conclusions.unbacked(comparison, [TABLE]) == wrong
