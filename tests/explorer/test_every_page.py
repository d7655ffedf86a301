"""What holds for every page: keyboard, labels, colours, both schemes, both widths."""

import pytest

from seq2seq.explorer import PAGES, build
from seq2seq.explorer.page import Choice, Refused, Several, Slider, TextBox

#: The texts whose contrast against the page is below 4.5, as WCAG 2 defines it.
PALE = """all => {
    const channel = c => (c /= 255) <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
    const canvas = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
    const luminance = colour => {
        canvas.fillStyle = colour;
        canvas.fillRect(0, 0, 1, 1);
        const [r, g, b] = canvas.getImageData(0, 0, 1, 1).data;
        return 0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b);
    };
    const paper = luminance(getComputedStyle(document.body).backgroundColor);
    const contrast = element => {
        const style = getComputedStyle(element);
        const ink = luminance(element.ownerSVGElement ? style.fill : style.color);
        return (Math.max(ink, paper) + 0.05) / (Math.min(ink, paper) + 0.05);
    };
    return all.filter(element => contrast(element) < 4.5).map(element => element.textContent);
}"""


def test_a_late_answer_does_not_move_a_slider_back(visit):
    page = visit("shift")
    page.evaluate(
        """() => { const slider = document.querySelector("[data-control=k] input");
        const move = (k) => { slider.value = k; slider.dispatchEvent(new Event("input")); };
        const asked = window.fetch;
        window.fetch = async (...request) => {
            const response = await asked(...request);
            window.fetch = asked;
            move(20);  // the answer for 10 has come and is still to be read
            return response;
        };
        move(10); }"""
    )
    page.wait_for_selector("[aria-label*='repeats the input 20 steps later']")
    page.wait_for_selector("[data-state=ready]")
    assert page.locator("[data-control=k] input").input_value() == "20"


@pytest.mark.parametrize("name", PAGES)
def test_every_control_has_its_label_and_the_keyboard_reaches_it(visit, name):
    page = visit(name)
    fields = page.locator(".explorer :is(input, select, textarea)")
    for field in fields.all():
        identity = field.get_attribute("id")
        assert page.locator(f"label[for='{identity}']").inner_text().strip()
    ids = "e => e.id || e.textContent"
    wanted = [
        e.evaluate(ids)
        for e in page.locator(".explorer :is(input, select, textarea, button)").all()
    ]
    page.locator("header .theme").focus()
    reached = []
    for _ in wanted:
        page.keyboard.press("Tab")
        reached.append(page.evaluate(f"({ids})(document.activeElement)"))
        assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") != "none"
    assert reached == wanted
    for figure in page.locator("figure").all():
        assert len(figure.get_attribute("aria-label")) > 20


def test_the_arrow_keys_move_a_slider(visit, settled):
    page = visit("shift")
    page.get_by_role("slider", name="Delay k").focus()
    settled(page, lambda: page.keyboard.press("ArrowRight"))
    assert "9 steps later" in page.locator("[data-block=sequences]").get_attribute("aria-label")
    assert page.evaluate("document.activeElement.getAttribute('aria-valuetext')") == "9 steps"


#: Pages that a new sample draws anew; those with a start button show nothing until it is pressed.
DRAWN_ANEW = [name for name in PAGES if build(name).refresh and not build(name).start]


@pytest.mark.parametrize("name", DRAWN_ANEW)
def test_a_new_sample_draws_anew_and_a_link_brings_it_back(visit, settled, name):
    page = visit(name)
    before = page.locator(".blocks").inner_html()
    settled(page, lambda: page.get_by_role("button", name="New sample").click())
    after = page.locator(".blocks").inner_html()
    assert after != before
    again = visit(page.url.rpartition("/")[2])
    assert again.locator(".blocks").inner_html() == after


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", PAGES)
def test_text_is_readable_and_nothing_is_cut_off(visit, cut, name, scheme):
    for width, height in ((1280, 800), (390, 844)):
        page = visit(name, viewport={"width": width, "height": height}, color_scheme=scheme)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        texts = page.locator("nav a, h1, .explorer-about p, label, output, button, figure text")
        assert texts.evaluate_all(PALE) == []
        assert cut(page) == []


def test_the_switch_between_light_and_dark_is_remembered(visit):
    page = visit("shift", color_scheme="light")
    paper = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(paper)
    page.get_by_role("button", name="Dark").click()
    dark = page.evaluate(paper)
    assert dark != light
    page.reload()
    page.wait_for_selector("[data-state=ready]")
    assert page.evaluate(paper) == dark
    page.get_by_role("button", name="Light").click()
    assert page.evaluate(paper) == light


def test_the_first_page_says_what_the_others_are(visit):
    for width in (1280, 390):
        page = visit("", viewport={"width": width, "height": 800})
        assert page.evaluate("document.documentElement.scrollWidth") == width
        said = [page.locator(f"main {part}").all_inner_texts() for part in ("dt", "dd")]
        pages = [build(name) for name in PAGES]
        assert said == [[one.title for one in pages], [one.sentence for one in pages]]
        assert page.locator("nav a, main :is(p, a, dd)").evaluate_all(PALE) == []


def test_what_is_shown_fades_while_a_slow_answer_is_awaited(visit):
    page = visit("shift")
    page.evaluate(
        """() => { const asked = window.fetch;
        window.fetch = async (...request) => {
            await new Promise(done => (window.answer = done));
            return asked(...request);
        };
        const slider = document.querySelector("[data-control=k] input");
        slider.value = 20;
        slider.dispatchEvent(new Event("input")); }"""
    )
    faint = "() => getComputedStyle(document.querySelector('.block')).opacity === '0.45'"
    page.wait_for_function(faint)
    page.evaluate("window.answer()")
    page.wait_for_selector("[data-state=ready]")
    assert page.locator(".block").count() == 1
    assert page.locator(".block.old").count() == 0


def test_the_menu_leads_to_every_page(visit):
    page = visit("")
    for name in PAGES:
        page.get_by_role("navigation").get_by_role("link", name=build(name).title).click()
        page.wait_for_selector("[data-state=ready]")
        assert page.url.partition("?")[0].endswith(f"/{name}")
        assert page.get_by_role("heading", level=1).inner_text() == build(name).title


def test_only_the_newest_of_many_movements_is_shown(visit):
    page = visit("shift")
    page.evaluate(
        """async () => { const slider = document.querySelector("[data-control=k] input");
        for (let k = 1; k <= 40; k++) {
            slider.value = k; slider.dispatchEvent(new Event("input"));
            await new Promise(done => setTimeout(done, 5));
        } }"""
    )
    page.wait_for_selector("[aria-label*='repeats the input 40 steps later']")
    page.wait_for_selector("[data-state=ready]")
    assert "40 steps later" in page.locator("figure").get_attribute("aria-label")
    assert int(page.get_attribute("[data-explorer]", "data-answers")) < 40


@pytest.mark.parametrize("name", PAGES)
def test_controls_are_of_the_three_kinds_and_have_names_of_their_own(name):
    controls, generator = [], build(name).controls()
    control = next(generator)
    while control is not None:
        controls.append(control)
        try:
            control = generator.send(control.parse(control.value))
        except StopIteration:
            control = None
    assert all(isinstance(control, Slider | Choice | TextBox) for control in controls)
    assert len({control.name for control in controls}) == len(controls) > 0


@pytest.mark.parametrize(
    ("raw", "values"),
    [
        ("b,a", ["b", "a"]),
        (["c", "c", "a"], ["c", "a"]),
        (["a", "b", "c"], ["a", "b"]),
        ("elsewhere", ["b"]),
        (7, ["b"]),
    ],
)
def test_several_values_are_those_that_there_are(raw, values):
    assert Several("model", "Models", ["a", "b", "c"], "b", most=2).parse(raw) == values


def test_none_of_several_is_refused():
    with pytest.raises(Refused, match="Models: choose at least one"):
        Several("model", "Models", ["a"]).parse([])
