import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")


def pytest_sessionfinish(session):
    """In continuous integration a skipped test is a failure: there everything is installed that any test needs."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    skipped = reporter.stats.get("skipped", []) if reporter else []
    if os.environ.get("CI") and skipped:
        print(
            f"\n{len(skipped)} skipped, which CI does not allow:", *{str(one.longrepr) for one in skipped}, sep="\n  "
        )
        session.exitstatus = 1
