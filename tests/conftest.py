"""Shared settings: one thread, so that numbers do not depend on the machine."""

import gc
from collections import Counter

import pytest
import torch

torch.set_num_threads(1)


def pytest_collection_finish() -> None:
    gc.freeze()  # else a run's collection of garbage looks through all tests and imports


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
