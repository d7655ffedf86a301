"""The page of Lorenz 96."""

import re

import torch

from seq2seq.explorer.lorenz96 import Lorenz96 as Page
from seq2seq.explorer.page import answer
from seq2seq.seeds import generator
from seq2seq.tasks import GP, Lorenz96


def label(page, name):
    return page.locator(f"[data-block={name}]").get_attribute("aria-label")


def test_the_numbers_are_those_of_the_task(visit):
    page = visit("lorenz96?K=2&J=3&epsilon=0.4&h_x=-0.5&h_y=0.8&scale=2&seed=5")
    process = GP(scale=2.0)
    task = Lorenz96(K=2, J=3, epsilon=0.4, h_x=-0.5, h_y=0.8, input=process)
    x = process.sample(1, 128, 2, generator(5, "explorer"))
    y = task.targets(x)[0, :, 0]
    told = re.search(r"slow one runs from (\S+) to (\S+),", label(page, "curves")).groups()
    torch.testing.assert_close(
        torch.tensor([float(told[0]), float(told[1])]),
        torch.stack([y.min(), y.max()]),
        rtol=5e-3,
        atol=0,
    )


def test_the_scale_of_the_image_is_symmetric():
    request = {"values": {}, "seed": 1, "width": 600, "started": True}
    (image,) = (one for one in answer(Page(), request) if one.get("name") == "space-time")
    low, high = re.findall(r">(−?\d+\.\d)</text>", image["svg"])[-2:]
    assert low == f"−{high}"


def test_every_slider_redraws_the_curves(visit, settled):
    page = visit("lorenz96")
    for name, value in {
        "Slow variables": "3",
        "Fast per slow": "4",
        "Fast time scale": "0.8",
        "fast to slow": "0.5",
        "slow to fast": "-0.7",
        "Forcing scale": "2.5",
    }.items():
        before = page.locator("[data-block=curves]").inner_html()
        settled(
            page, lambda name=name, value=value: page.get_by_role("slider", name=name).fill(value)
        )
        assert page.locator("[data-block=curves]").inner_html() != before, name


def test_the_image_is_there_for_several_slow_variables_only(visit, settled):
    page = visit("lorenz96?K=4")
    assert "All 4 slow variables" in label(page, "space-time")
    assert page.locator("[data-block=space-time] image").count() > 0
    settled(page, lambda: page.get_by_role("slider", name="Slow variables").fill("1"))
    assert page.locator("[data-block=space-time]").count() == 0
    assert label(page, "curves")
