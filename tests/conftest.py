"""Shared settings: one thread, so that numbers do not depend on the machine; a browser.

A test that asks for a browser is marked `browser`: it needs Chromium (or Chrome) installed.
"""

import gc
import shutil
from collections import Counter
from itertools import count

import pytest
import torch

torch.set_num_threads(1)

FINISHED = count()

#: A browser that draws off the screen and calls nobody.
QUIET = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    for item in items:
        if "browser" in getattr(item, "fixturenames", ()):
            item.add_marker("browser")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Refuse parameters in a set: its order, another in each process, would part the workers."""
    for mark in metafunc.definition.iter_markers("parametrize"):
        assert not isinstance(mark.args[1], set | frozenset), f"{metafunc.definition.nodeid}: a set"


def pytest_collection_finish() -> None:
    gc.freeze()  # else a run's collection of garbage looks through all tests and imports


def pytest_runtest_logfinish(nodeid: str) -> None:
    """Now and then, so that it does not look through what tests import and keep, either."""
    if next(FINISHED) % 20 == 0:
        gc.collect()
        gc.freeze()


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """With `--durations=N`, the seconds that the N slowest files took, too."""
    if (number := config.option.durations) is None:
        return
    seconds: Counter[str] = Counter()
    for reports in terminalreporter.stats.values():
        for report in reports:
            seconds[report.nodeid.partition("::")[0]] += getattr(report, "duration", 0)
    terminalreporter.section("slowest files")
    for file, took in seconds.most_common(number or None):
        terminalreporter.write_line(f"{took:7.1f}s {file}")


@pytest.fixture(scope="session")
def browser():
    from playwright.sync_api import sync_playwright

    path = shutil.which("chromium") or shutil.which("google-chrome")
    assert path, "these tests need a browser: apt-get install chromium"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=QUIET)
        yield browser
        browser.close()
