"""What `run.py --dry_run` prints: each run, whether it exists, the minutes expected."""

from experiments import estimate, results, work
from experiments.progress import Order, Place, look
from experiments.work import Job


def list_runs(order: Order, place: Place) -> dict[str, float]:
    """Prints each run, whether it exists, and the minutes expected. Returns the minutes of the missing, by folder."""
    state = look(order, place)
    known = estimate.measured(results.read(place.results))
    budget = order.comparison.budgets[order.budget]
    count = order.seeds or budget.seeds
    seeds = f"{count} seed{'s' if count > 1 else ''}"
    print(f"{order.comparison.name}: {order.comparison.title}; budget {order.budget} ({budget.text}), {seeds}")
    left: dict[str, float] = {}
    there = state.done + state.free
    for job in sorted(there + state.missing, key=lambda job: _place(order, job)):
        if job in state.missing or job in state.lost:
            left[job.folder] = estimate.minutes(job, known)
            what = f"{left[job.folder]:5.1f} minutes" + (", again: its weights are gone" if job in state.lost else "")
        else:
            what = "exists" if job in state.done else "has ended"
        print(f"  {job.line:<28} seed {job.seed:<10} {what:<14} {work.RUNS}/{job.folder}")
    if state.unsettled:
        each = [estimate.minutes(job, known) for job in there + state.missing if job.trains]
        left[order.comparison.name] = state.unsettled * sum(each) / len(each)
        print(f"  {state.unsettled} more of the best of each group: {left[order.comparison.name]:.1f} minutes")
    print(f"  {state.total} runs, {len(there)} exist; about {sum(left.values()):.0f} minutes to go", flush=True)
    return left


def _place(order: Order, job: Job) -> tuple[int, tuple[int, ...]]:
    return [line.name for line in order.comparison.lines].index(job.line), job.seeds
