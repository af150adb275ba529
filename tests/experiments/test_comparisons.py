"""Every comparison: its commands are ones that the program takes, its drops lie within its runs, its lines exist."""

import pytest

from cli import flags, registry, setup
from common.training import schedules
from experiments import catalogue, drawing, estimate, tables, work
from experiments.data import DATASETS
from experiments.design import choose

EVERY = [(comparison, budget) for comparison in catalogue.every() for budget in comparison.budgets]
IDS = [f"{comparison.name}-{budget}" for comparison, budget in EVERY]


def every_job(comparison, budget) -> list[work.Job]:
    """All commands, with every run of a group at every seed."""
    seeds = comparison.budgets[budget].seeds
    return [
        *(
            work.training(comparison, budget, run, seed)
            for run in comparison.runs
            for seed in range(run.seeds or seeds)
            if not run.earlier
        ),
        *(
            work.testing(comparison, budget, test, group)
            for test in comparison.tests
            for group in test.groups(min(comparison.run(name).seeds or seeds for name in test.of))
        ),
    ]


@pytest.mark.parametrize(("comparison", "budget"), EVERY, ids=IDS)
def test_the_program_takes_every_command(comparison, budget):
    for job in every_job(comparison, budget):
        if job.command[0] != "train.py":
            continue
        options = flags.parse(list(job.command[1:]))
        if options.mode == "test":
            continue
        architecture = registry.find(options.arch)
        setup.build_options(options, architecture)
        recipe = flags.recipe(options, architecture)
        assert {"ckpt", "seed"} <= options.given
        data = DATASETS[job.dataset]
        if recipe.epochs and options.minutes is None:
            images = data.train + (data.validation if options.validation_share == 0 else 0)
            assert schedules.remarks(recipe, images // recipe.batch_size) == [], job.text


@pytest.mark.parametrize(("comparison", "budget"), EVERY, ids=IDS)
def test_folders_tell_the_commands_apart(comparison, budget):
    jobs = every_job(comparison, budget)
    folders = {job.folder for job in jobs}
    assert len(folders) == len({job.text for job in jobs})
    assert {need for job in jobs for need in job.needs} <= folders


@pytest.mark.parametrize("comparison", catalogue.every(), ids=catalogue.NAMES)
def test_tables_and_pictures_name_what_there_is(comparison):
    assert comparison.question.endswith("?")
    assert comparison.claims or comparison.name == "digits"  # on which no paper has trained them
    for table in comparison.tables:
        assert choose(table.rows, comparison.lines)
        assert set(table.figures) <= tables.FIGURES.keys()
        assert table.kind != "grid" or any(line.row for line in choose(table.rows, comparison.lines))
    for picture in comparison.pictures:
        assert picture.kind in drawing.KINDS
        assert choose(picture.rows, comparison.lines)
        if picture.kind in ("curves", "best", "lines"):
            assert set(picture.series) <= set(comparison.curves)


def test_no_single_run_of_the_small_budgets_takes_long():
    for comparison, budget in EVERY:
        if budget == "small":
            for job in every_job(comparison, budget):
                assert estimate.minutes(job, {}) < (21 if job.minutes else 16), job.text


@pytest.mark.parametrize(("comparison", "budget"), EVERY, ids=IDS)
def test_there_are_as_many_snapshots_as_a_test_loads(comparison, budget):
    for test in comparison.tests:
        kind, _, count = str(test.flags.get("snapshots", "")).partition(":")
        for name in test.of if kind == "last" else ():
            job = work.training(comparison, budget, comparison.run(name), 0)
            options = flags.parse(list(job.command[1:]))
            recipe = flags.recipe(options, registry.find(options.arch))
            steps = DATASETS[job.dataset].train // recipe.batch_size
            total = steps * recipe.epochs
            ends = schedules.cycle_boundaries(recipe.schedule_every * steps, recipe.cycle_multiplier, total)[1:]
            assert options.snapshots
            assert sum(end <= total for end in ends) >= int(count), job.text


SHARED = {
    "short, 16 pixels": [("ensembles", "resnet20"), ("schedules", "step"), ("shortcuts", "A")],
    "short, 16 pixels, shortcuts B": [("ensembles", "shortcut-b"), ("shortcuts", "B")],
    "long, 16 pixels": [("ensembles", "long"), ("transfer", "start")],
}


@pytest.mark.parametrize("places", SHARED.values(), ids=SHARED)
def test_the_same_flags_share_a_run(places):
    """A run that stands in several comparisons is trained once."""
    found = [catalogue.find(name) for name, _ in places]
    folders = {
        work.training(comparison, "small", comparison.run(name), 1).folder
        for comparison, (_, name) in zip(found, places, strict=True)
    }
    assert len(folders) == 1


@pytest.mark.slow
def test_every_network_can_be_built():
    """Without its weights, with the options, classes and size of its runs."""
    import keras

    wanted = {}
    for comparison, budget in EVERY:
        for job in every_job(comparison, budget):
            if job.command[0] == "train.py" and job.trains:
                options = flags.parse(list(job.command[1:]))
                network = registry.find(options.arch)
                style = setup.build_options(options, network) | {"initializer": options.initializer or "he"}
                style |= {"image_size": options.image_size or network.image_size, "classes": 10}
                style |= {"auxiliary": True} if network.auxiliary_weight else {}
                wanted[options.arch, str(sorted(style.items()))] = network, style
    assert len(wanted) > 30
    for network, style in wanted.values():
        with keras.StatelessScope(initialize_variables=False):
            assert network.build(**style).outputs[0].shape[-1] == 10  # with its auxiliary classifiers, as in training
