"""Runs leave nothing behind in the process that trains them."""

import pytest

from seq2seq.benchmark import memory


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_a_hundred_runs_in_one_process_need_no_more_memory_than_ten():
    assert memory.measure(runs=100) < 50
