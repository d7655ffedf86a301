"""The page of the shift, as a reader meets it."""


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
