import importlib.util
import os
import sys

import pytest

import reports

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")


def pytest_collection_modifyitems(config, items):
    """Leaves the tests that need a browser out where there is none."""
    if reports.chromium() and importlib.util.find_spec("axe_playwright_python"):
        return
    unfit = [item for item in items if item.get_closest_marker("browser")]
    config.hook.pytest_deselected(items=unfit)
    items[:] = [item for item in items if item not in unfit]


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory):
    """Indices of records that tests make do not go into the user's cache."""
    with pytest.MonkeyPatch.context() as patch:
        if module := sys.modules.get("common.input.record_index"):
            patch.setattr(module, "CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(autouse=True)
def _seeded():
    """Weights that a test does not set are the same in every run, in any order and on any number of workers."""
    if keras := sys.modules.get("keras"):
        keras.utils.set_random_seed(0)


def pytest_sessionfinish(session):
    """In continuous integration a skipped test is a failure: there everything is installed that any test needs."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    skipped = reporter.stats.get("skipped", []) if reporter else []
    if os.environ.get("CI") and skipped:
        reasons = sorted({str(one.longrepr) for one in skipped})
        print(f"\n{len(skipped)} skipped, which CI does not allow:", *reasons, sep="\n  ")
        session.exitstatus = 1
