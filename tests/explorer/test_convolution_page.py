"""The page of the convolution: filters written and shaped, good ones and bad ones."""

import pytest

from seq2seq.explorer.convolution import FAMILIES, LENGTH, Convolution, numbers
from seq2seq.explorer.page import Refused, answer


@pytest.mark.parametrize("text", ["1, 0.5, 0.25", "[1,0.5,0.25]", " 1 .5\t0.25 ", "1;5e-1;+0.25,"])
def test_numbers_are_read_as_readers_write_them(text):
    assert numbers(text) == [1, 0.5, 0.25]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "needs a number other than 0"),
        ("0, 0", "needs a number other than 0"),
        ("1, half", "'half' is not a number"),
        ("1, nan", "'nan' is not a number"),
        ("1e999", "'1e999' is not a number"),
        ("1 " * 97, "97 numbers are too many: sequences have 96 steps"),
    ],
)
def test_malformed_filters_are_refused_in_one_line(text, message):
    with pytest.raises(Refused, match=message) as refused:
        numbers(text)
    assert refused.value.name == "filter"
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("end", ["minimum", "maximum"])
def test_every_family_answers_at_both_ends_of_its_sliders(family, end):
    values = {f"{family}_{slider.name}": getattr(slider, end) for slider in FAMILIES[family][1]}
    request = {"values": {"family": family} | values, "seed": 1, "width": 600, "started": True}
    messages = list(answer(Convolution(), request))
    assert [message["kind"] for message in messages][-1] == "done", messages[-1]
    shown = {control["name"]: control["value"] for control in messages[0]["controls"]}
    assert values.items() <= shown.items()


def blocks(**values):
    """What the page shows, by name."""
    request = {"values": values, "seed": 1, "width": 600, "started": True}
    return {one["name"]: one for one in answer(Convolution(), request) if "name" in one}


def test_a_memory_that_the_end_of_the_sequences_cuts_off_is_said_to_be_longer():
    assert blocks(family="power_law")["memory"]["text"] == (
        "The output remembers all 96 steps shown and would remember more of a longer sequence."
    )
    own = blocks(family="numbers", filter="1 " * LENGTH)["memory"]["text"]
    assert own.startswith("The output remembers 95 steps: ")


def test_the_lags_of_the_filter_begin_at_0():
    assert blocks(family="gaussian")["filter"]["panels"][0]["limits"][0] == -0.5


def label(page, name):
    return page.locator(f"[data-block={name}]").get_attribute("aria-label")


@pytest.fixture
def page(visit):
    return visit("convolution")


def test_an_edited_filter_is_drawn(page, settled):
    before = label(page, "sequences")
    settled(page, lambda: page.get_by_label("Numbers").fill("0, 0, 2"))
    assert label(page, "filter").startswith("The filter at lags 0 to 5: 0, 0, 2, 0")
    assert label(page, "sequences") != before


def test_a_malformed_filter_gets_a_message_beside_the_box_and_changes_nothing(page, settled):
    box, shown = page.get_by_label("Numbers"), page.locator(".blocks")
    before = shown.inner_html()
    settled(page, lambda: box.fill("1, 0.5, oops"))
    problem = page.locator("[data-control=filter] .problem")
    assert "'oops' is not a number" in problem.inner_text()
    assert problem.get_attribute("id") in box.get_attribute("aria-describedby")
    assert box.get_attribute("aria-invalid") == "true"
    assert shown.inner_html() == before
    beside, below = problem.bounding_box(), box.bounding_box()
    assert 0 <= beside["y"] - below["y"] - below["height"] < 40
    settled(page, lambda: box.fill("1, 0.5"))
    assert problem.inner_text() == ""
    assert box.get_attribute("aria-invalid") is None
    assert shown.inner_html() != before


def test_a_family_has_sliders_and_the_numbers_come_back(page, settled):
    page.get_by_label("Numbers").fill("3, 1")
    settled(page, lambda: page.get_by_role("combobox", name="Filter").select_option("gaussian"))
    assert page.get_by_label("Numbers").count() == 0
    settled(page, lambda: page.get_by_label("Centre c").fill("30"))
    assert "remembers" in page.locator("[data-block=memory]").inner_text()
    before = label(page, "filter")
    settled(page, lambda: page.get_by_label("Width w").fill("8"))
    assert label(page, "filter") != before
    settled(page, lambda: page.get_by_role("combobox", name="Filter").select_option("numbers"))
    assert page.get_by_label("Numbers").input_value() == "3, 1"
    assert ": 3, 1, 0" in label(page, "filter")
