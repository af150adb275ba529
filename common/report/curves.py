"""Curves of a run as plain values for the page's charts: at most so many points, all of them rows of metrics.csv."""

from collections.abc import Iterable, Sequence
from typing import Any

from common.report.record import Record

MOST_POINTS = 1200  # of one series: more than a screen has pixels in a chart's width
MOST_VALIDATIONS = 400  # rows of the table

Points = tuple[list[int], list[float]]


def thinned(steps: Sequence[int], values: Sequence[float], most: int = MOST_POINTS) -> Points:
    """At most `most` of the points: of each of most / 2 equal parts the lowest and the highest, in their order.

    So a peak stays to be seen, and every point that is drawn is one that was measured. The first and the last point
    stay.
    """
    count = len(steps)
    if count <= most:
        return list(steps), list(values)
    parts = most // 2 - 1
    kept = {0, count - 1}
    for part in range(parts):
        places = range(part * count // parts, (part + 1) * count // parts)
        kept |= {min(places, key=values.__getitem__), max(places, key=values.__getitem__)}
    chosen = sorted(kept)
    return [steps[place] for place in chosen], [values[place] for place in chosen]


def series(name: str, points: Iterable[tuple[int, float]], **looks: Any) -> dict[str, Any]:
    """A curve of a chart: its name, its points, and how it is drawn (color 0..7, dots, faint, stairs)."""
    pairs = list(points)
    steps, values = thinned([step for step, _ in pairs], [value for _, value in pairs])
    return {"name": name, "x": steps, "y": values, **looks}


def of_rows(record: Record, split: str, figure: str) -> list[tuple[int, float]]:
    """(step, figure) of the rows of one split."""
    return [(row["step"], row[figure]) for row in record.rows if row["split"] == split]


def _chart(name: str, title: str, unit: str, curves: list[dict[str, Any]], **more: Any) -> list[dict[str, Any]]:
    filled = [one for one in curves if one["x"]]
    return [{"id": name, "title": title, "unit": unit, "series": filled, **more}] if filled else []


def charts(record: Record) -> list[dict[str, Any]]:
    """The charts of one run: loss, top-1, learning rate, speed; those that have a point."""
    train = [("training", "train", {"color": 0}), ("first steps", "step", {"color": 0, "faint": True})]
    checked = [("validation", "validation", {"color": 1, "dots": True})]
    loss = [series(name, of_rows(record, split, "loss"), **looks) for name, split, looks in (*train, *checked)]
    if any(row["l2_loss"] for row in record.rows):
        loss.append(series("training, without weight decay", of_rows(record, "train", "data_loss"), color=2))
    top1 = [series(name, of_rows(record, split, "top1"), **looks) for name, split, looks in (*train, *checked)]
    rates = sorted(of_rows(record, "step", "learning_rate") + of_rows(record, "train", "learning_rate"))
    positive = [rate for _, rate in rates if rate > 0]
    wide = bool(positive) and max(positive) > 50 * min(positive)
    speed = [series("images per second", [(step, fast) for step, fast, _ in record.speed], color=3)]
    waited = [series("waiting for data", [(step, share) for step, _, share in record.speed], color=4)]
    return [
        *_chart("loss", "Loss", "nats", loss),
        *_chart("top1", "Top-1", "share", top1),
        *_chart("learning-rate", "Learning rate", "", [series("learning rate", rates, color=2, stairs=True)], log=wide),
        *_chart("speed", "Speed", "images/s", speed),
        *_chart("waiting", "Waiting for data", "share of time", waited),
    ]


def together(records: Sequence[tuple[str, Record]]) -> list[dict[str, Any]]:
    """The charts of several runs over one another, each run in its colour: validation with dots, training faint."""

    def curves(figure: str, splits: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
        return [
            series(f"{name}, {split}" if len(splits) > 1 else name, points, color=number % 8, **looks)
            for number, (name, record) in enumerate(records)
            for split, looks in splits.items()
            if (points := of_rows(record, {"training": "train"}.get(split, split), figure))
        ]

    both: dict[str, dict[str, Any]] = {"validation": {"dots": True}, "training": {"faint": True}}
    speed = [
        series(name, [(step, fast) for step, fast, _ in record.speed], color=number % 8)
        for number, (name, record) in enumerate(records)
    ]
    return [
        *_chart("loss", "Loss", "nats", curves("loss", both)),
        *_chart("top1", "Top-1", "share", curves("top1", both)),
        *_chart("learning-rate", "Learning rate", "", curves("learning_rate", {"training": {"stairs": True}})),
        *_chart("speed", "Speed", "images/s", speed),
    ]


def validations(record: Record, most: int = MOST_VALIDATIONS) -> list[dict[str, Any]]:
    """The validations for the page's table: all, or of many every n-th, with the best and the last among them."""
    rows = [row for row in record.rows if row["split"] == "validation"]
    every = -(-len(rows) // most)
    best = record.best
    return [row for place, row in enumerate(rows) if place % max(every, 1) == 0 or row is best or row is rows[-1]]
