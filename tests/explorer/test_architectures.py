"""The page of the architectures, as a reader meets it."""


def drawing(page):
    return page.locator("[data-block=architecture]")


def reached(page):
    return drawing(page).get_attribute("aria-label")


def test_the_tree_of_convolutions_follows_the_sliders(visit, settled):
    page = visit("architectures")
    assert "15 of the last 32 inputs reach" in reached(page)
    assert "dilation 4, kernel 2" in drawing(page).inner_text().replace("\n", " ")
    settled(page, lambda: page.get_by_label("Kernel size", exact=True).fill("3"))
    assert "29 of the last 32 inputs reach" in reached(page)
    settled(page, lambda: page.get_by_label("Layers", exact=True).fill("2"))
    assert "13 of the last 32 inputs reach" in reached(page)
    settled(page, lambda: page.get_by_label("Length", exact=True).fill("12"))
    assert "12 of the last 12 inputs reach" in reached(page)
    before = drawing(page).inner_html()
    settled(page, lambda: page.get_by_role("button", name="New sample").click())
    assert drawing(page).inner_html() != before  # other weights, other derivatives


def test_attention_is_shown_where_there_is_some(visit, settled):
    page = visit("architectures?model=lstm&num_layers=1")
    assert "32 of the last 32 inputs reach" in reached(page)
    assert page.locator("[data-block=attention]").count() == 0
    assert page.get_by_label("Kernel size", exact=True).count() == 0
    settled(page, lambda: page.get_by_label("Model", exact=True).select_option("transformer"))
    settled(page, lambda: page.get_by_label("Layers", exact=True).fill("2"))
    settled(page, lambda: page.get_by_label("Window, full at the right").fill("4"))
    assert "7 of the last 32 inputs reach" in reached(page)
    average = page.locator("[data-block=attention]").inner_html()
    settled(page, lambda: page.get_by_label("Attention of", exact=True).select_option("head 2"))
    assert page.locator("[data-block=attention]").inner_html() != average
    assert "head 2" in page.locator("[data-block=attention]").inner_text()
    settled(page, lambda: page.get_by_label("Heads", exact=True).select_option("1"))
    assert page.get_by_label("Attention of", exact=True).input_value() == "mean"


def test_a_trained_model_has_its_own_size(visit, settled):
    page = visit("architectures?model=shift-tcn")
    assert "shift-tcn of 5 layers: 32 of the last 32 inputs reach" in reached(page)
    assert "125 steps, the last 32 drawn" in drawing(page).inner_text()
    assert page.get_by_label("Layers", exact=True).count() == 0
    settled(page, lambda: page.get_by_label("Model", exact=True).select_option("shift-lru"))
    assert "shift-lru of 2 layers" in reached(page)
