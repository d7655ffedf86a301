"""The page of the shift, as a reader meets it."""

import subprocess
import sys

import numpy as np
import pytest

from seq2seq.explorer.shift import sequences
from seq2seq.seeds import generator
from seq2seq.tasks import Shift as Task
from seq2seq.tasks import White


def test_it_shows_what_the_task_samples():
    x, y = sequences({"k": 5, "length": 32, "input": "white"}, seed=3)
    wanted = Task(5, 32, input=White()).sample(1, generator(3, "explorer"))
    assert np.array_equal([x, y], [part[0, :, 0] for part in wanted])


@pytest.mark.slow
def test_it_is_drawn_without_lightning():
    code = (
        "import sys; from seq2seq.explorer import build; page = build('shift');"
        "values = {'length': 64, 'k': 8, 't': 40, 'input': 'gp'};"
        "list(page.update(values, 1, 600)); sys.exit('lightning' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def figure(page):
    return page.get_by_role("img").get_attribute("aria-label")


def test_moving_the_delay_moves_the_output(visit, settled):
    page = visit("shift")
    before = page.locator("figure").inner_html()
    assert "repeats the input 8 steps later" in figure(page)
    settled(page, lambda: page.get_by_label("Delay k").fill("20"))
    assert "repeats the input 20 steps later" in figure(page)
    assert page.locator("figure").inner_html() != before
    assert page.locator("[data-control=k] output").inner_text() == "20 steps"


def test_a_shorter_length_pulls_the_delay_within_it(visit, settled):
    page = visit("shift?k=60")
    settled(page, lambda: page.get_by_label("Length").fill("32"))
    assert page.get_by_label("Delay k").input_value() == "31"
