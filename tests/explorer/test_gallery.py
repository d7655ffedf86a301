"""The gallery: what is recorded, and how it is replayed from a file."""

import base64
import gzip
import json
import re
from pathlib import Path
from types import SimpleNamespace

import pytest
import shell

from seq2seq import explorer
from seq2seq.analysis import report
from seq2seq.explorer import gallery
from seq2seq.explorer.gallery import Scene, record
from seq2seq.explorer.page import answer

ROOT = Path(__file__).parents[2]
SMALL = (
    Scene("shift", {"k": (0, 8, 16), "input": ("gp", "white")}),
    Scene(
        "architectures",
        {"model": ("lstm", "tcn"), "num_layers": (1, 3), "kernel_size": (2, 3, 5)},
        {"length": 16},
    ),
)


def test_a_record_holds_what_the_page_answers():
    page, answers = record(SMALL[0])
    assert len(answers) == 6
    assert answers[0]["values"] == {"k": 8, "input": "gp"}  # the page's own values come first
    assert [control["name"] for control in page["controls"]] == ["k", "input"]
    assert not page["refresh"]
    chosen = next(one for one in answers if one["values"] == {"k": 16, "input": "white"})
    request = {"values": chosen["values"], "seed": 1, "width": gallery.WIDTH, "started": True}
    assert chosen["messages"][1:] == list(answer(explorer.build("shift"), request))[1:]
    slider = chosen["messages"][0]["controls"][0]
    assert [slider[key] for key in ("minimum", "maximum", "step")] == [0, 16, 8]


def test_only_values_that_exist_are_recorded():
    _, answers = record(SMALL[1])
    values = [one["values"] for one in answers]
    assert {"model": "lstm", "num_layers": 3} in values  # has no kernel
    assert {"model": "tcn", "num_layers": 3, "kernel_size": "5"} in values
    assert len(values) == 2 + 6


@pytest.mark.parametrize(
    ("grid", "message"),
    [
        ({"k": (0, 64)}, "Delay k is 63, which is none of"),
        ({"kernel_size": (1, 2)}, "shift has no control kernel_size"),
    ],
)
def test_what_cannot_be_recorded_is_refused(grid, message):
    with pytest.raises(ValueError, match=message):
        record(Scene("shift", grid))


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gallery, "scenes", lambda: SMALL)
        return gallery.gallery(tmp_path_factory.mktemp("gallery") / "gallery.html")


def test_the_file_asks_for_nothing(small):
    for path in (small, ROOT / "docs" / "gallery.html"):
        text = path.read_text("utf-8")
        assert len(text) < 3e6
        assert "default-src 'none'" in text
        assert not re.search(r"<(?:script|link|img|iframe)[^>]*(?:src|href)=\"(?!data:|#)", text)


def test_the_stored_gallery_was_made_by_these_scenes():
    """Its pages and the values that can be chosen are those of `scenes`."""
    text = (ROOT / "docs" / "gallery.html").read_text("utf-8")
    packed = re.findall(r'<script\s+type="text/plain">([^<]*)</script>', text)
    for scene, one in zip(gallery.scenes(), packed, strict=True):
        answers = json.loads(gzip.decompress(base64.b64decode(one)))
        names = {name for answer in answers for name in answer["values"]}
        assert names == set(scene.grid)
        for name, values in scene.grid.items():
            recorded = {str(a["values"][name]) for a in answers if name in a["values"]}
            assert recorded <= set(map(str, values))


def test_each_figure_of_a_sweep_is_called_by_its_own_name(monkeypatch):
    run = SimpleNamespace(plain_config={"name": "plateau_shift"})
    sweep = SimpleNamespace(runs=[run], root=Path("sweep"))
    fit = SimpleNamespace(sentence=lambda key: f"It grows with {key}.")
    names = ("plateau_lengths", "thresholds", "losses")
    panels = [SimpleNamespace(name=name, caption="Drawn.", figure=None) for name in names]
    monkeypatch.setattr(report, "Sweep", lambda folder: sweep)
    monkeypatch.setattr(report, "growth", lambda sweep: [fit])
    monkeypatch.setattr(report, "figures", lambda sweep, fits: panels)
    assert [*gallery.of_sweep("sweep")] == [
        ("Measured: plateau_shift, plateau lengths", "Drawn. It grows with k.", None),
        ("Measured: plateau_shift, losses", "Drawn.", None),
    ]


def waits(figure, text):
    figure.and_(figure.page.locator(f'[aria-label*="{text}"]')).wait_for()


def test_controls_choose_among_the_recorded_answers(tab, small):
    page = tab(small.as_uri())
    shift, architectures = page.locator("#shift"), page.locator("#architectures")
    figure = shift.get_by_role("img")
    before = figure.inner_html()
    shift.get_by_label("Delay k", exact=True).fill("16")
    waits(figure, "repeats the input 16 steps later")
    assert figure.inner_html() != before
    drawing = architectures.locator("[data-block=architecture]")
    waits(drawing, "TCN, residual of 3 layers")
    assert "repeats the input 16 steps later" in figure.get_attribute("aria-label")
    architectures.get_by_label("Model", exact=True).select_option("lstm")
    waits(drawing, "LSTM of 3 layers")
    assert architectures.get_by_label("Kernel size", exact=True).count() == 0
    architectures.get_by_label("Model", exact=True).select_option("tcn")
    waits(drawing, "TCN, residual of 3 layers")
    architectures.get_by_label("Kernel size", exact=True).select_option("5")
    architectures.get_by_label("Layers", exact=True).fill("1")
    waits(drawing, "TCN, residual of 1 layer: 9 of")


def test_the_stored_gallery_opens_on_a_desk_and_on_a_phone(tab):
    for width in (1280, 390):
        path = ROOT / "docs" / "gallery.html"
        page = tab(path.as_uri(), viewport={"width": width, "height": 800})
        assert page.locator("[data-explorer]").count() == len(list(gallery.scenes()))
        assert page.locator(".problem:not(:empty)").count() == 0
        assert page.evaluate("document.documentElement.scrollWidth") == width
        for root in page.locator("[data-explorer]").all():
            assert root.locator(".blocks > *").count() > 0


@pytest.mark.slow
def test_the_script_writes_the_gallery(tmp_path):
    path = tmp_path / "all.html"
    shell.run(ROOT / "scripts" / "gallery.py", path, cwd=tmp_path).check_returncode()
    assert path.stat().st_size > 1e5


def test_the_script_refuses_in_one_line(tmp_path):
    done = shell.run(ROOT / "scripts" / "gallery.py", "x.html", "--sweep", tmp_path, cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "no runs below" in done.stderr
    assert not (tmp_path / "x.html").exists()
