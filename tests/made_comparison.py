"""A small comparison, its rows and its curves, made by hand."""

import comparisons
from experiments import work
from experiments.design import Budget, Claim, Comparison, Picture, Run, Table

COMPARISON = Comparison(
    name="made",
    title="Made",
    question="Which?",
    claims=(Claim("None.", "nobody"),),
    base={"arch": "lenet5", "epochs": 4},
    runs=(
        Run("a", label="the first", paper="91 %", row="first", column="x"),
        Run("b", {"epochs": 8}, row="second", column="x"),
        Run("c", {"epochs": 9}, row="second", column="y"),
    ),
    budgets={"small": Budget("some", {}, 2)},
    tables=(Table(figures=("top1", "loss", "parameters")), Table("grid", ("top1",))),
    pictures=(Picture("points", "Points"),),
    conclusion="So it is.",
)
TOP1 = {"a": (0.5, 0.6), "b": (0.25, 0.75), "c": (0.125, None)}  # None: diverged


def jobs(comparison=COMPARISON) -> list[work.Job]:
    return [work.training(comparison, "small", run, seed) for run in comparison.runs for seed in (0, 1)]


def rows(comparison=COMPARISON) -> list:
    found = []
    for job in jobs(comparison):
        top1 = TOP1[job.line][int(job.seed)]
        row = comparisons.row(job, top1="" if top1 is None else top1, loss=1 + int(job.seed), parameters=1234)
        found.append(row | ({"outcome": "diverged"} if top1 is None else {}))
    return found


def curve_points() -> list[dict[str, str]]:
    values = {("a", "0"): (4, 2), ("a", "1"): (2, 1), ("b", "0"): (3, 3), ("b", "1"): (3, 1)}
    return [
        {"run": run, "seed": seed, "budget": "small", "series": series, "x": str(x), "y": str(y)}
        for (run, seed), heights in values.items()
        for series in ("train_loss", "train_top1", "validation_top1")
        for x, y in zip((10, 20), heights, strict=True)
    ]
