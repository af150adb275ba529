"""Whether the figures of a conclusion, which is free prose, are those of its comparison's tables."""

import re
from collections.abc import Iterable
from decimal import ROUND_HALF_UP, Decimal
from itertools import combinations

from experiments.design import Comparison

# A number, and what stands behind it where it is a mean with its spread: "55.00 ± 7.07 %" is in per cent twice.
_FIGURE = re.compile(r"(?<![\w.])(\d[\d,]*(?:\.\d+)?)(?=(?: ± [\d.,]+)?( ?%| per cent| points)?)(?!\w|[.,]\d)")
_GLUED = re.compile(r"(?<![\w.])\d[\d,]*\.\d+[A-Za-z]\w*")  # 3.7x: in no table
_SPREAD = re.compile(r" ± [\d.,]+")


def unbacked(comparison: Comparison, tables: Iterable[str]) -> list[str]:
    """The figures of the conclusion that are not in the tables or the claims, as they stand there.

    Looked at are numbers with decimals, per cents and points. One with decimals has to stand in a table or a claim
    digit by digit, in per cent where it is, without letters behind it; whole per cents may be rounded from the means
    and the claims; "2.5 points" may also be the difference of two per cents of the tables, rounded to its digits.

    Args:
        comparison: whose conclusion and claims.
        tables: as drawn, of all its budgets.
    """
    drawn = "\n".join(tables)
    claimed = _figures("\n".join(claim.text for claim in comparison.claims))
    known = _figures(drawn) + claimed
    means = {Decimal(number) for number, unit in _figures(_SPREAD.sub("", drawn)) if unit == "%"}
    gaps = {abs(one - other) for one, other in combinations(means, 2)}
    rounded_from = means | {Decimal(number) for number, unit in claimed if unit == "%"}
    found = _GLUED.findall(comparison.conclusion)
    for number, unit in _figures(comparison.conclusion):
        if "." not in number and not unit:
            continue
        same = any(number == other and (not unit or (unit == "%") == (which == "%")) for other, which in known)
        near = {"%": rounded_from, "points": gaps}.get(unit, set())
        rounded = unit == "points" or "." not in number
        if not same and not (rounded and any(_round(value, number) == Decimal(number) for value in near)):
            found.append(f"{number} {unit}".rstrip())
    return found


def _figures(text: str) -> list[tuple[str, str]]:
    """Each number, without the commas of thousands, and its unit: `%`, `points` or nothing."""
    found = _FIGURE.findall(" ".join(text.split()))
    return [(number.replace(",", ""), unit.strip().replace("per cent", "%")) for number, unit in found]


def _round(value: Decimal, like: str) -> Decimal:
    """A value with as many decimals as a number as it is printed."""
    return value.quantize(Decimal(1).scaleb(-len(like.partition(".")[2])), ROUND_HALF_UP)
