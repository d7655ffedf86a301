"""The pages of trained models, as a reader meets them, and the run folders they refuse."""

import csv
import pickle
import re
import shutil
import time
from xml.etree import ElementTree

import pytest
import torch
import yaml

from seq2seq.explorer import trained
from seq2seq.explorer.page import Refused
from seq2seq.runs import Run
from seq2seq.training import train

SMALL = ["model=rnn", "model.hidden_size=4", "task.length=8", "task.k=2", "task.train_size=64"]
SMALL += ["task.val_size=16", "task.test_size=16", "task.batch_size=8", "trainer.max_steps=40"]
SMALL += ["callbacks.figures=null", "callbacks.progress=null", "logger=none"]


@pytest.fixture(scope="module")
def run(outputs):
    """A run of one's own below the folder of the site."""
    return train([*SMALL, f"paths.outputs={outputs}"])


def damaged(run, name, **changes):
    """A copy of `run` with another config, newer than all before."""
    folder = run.folder.parent / name
    shutil.copytree(run.folder, folder, dirs_exist_ok=True)
    config = yaml.safe_load((folder / "config.yaml").read_text()) | changes
    (folder / "config.yaml").write_text(yaml.dump(config))
    return folder


class Hostile:
    """Unpickled, it would write a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


def rows(page):
    """The page's first table, by the first cell of each row."""
    lines = page.locator("tbody tr").all()
    return {(cells := line.locator("td").all_inner_texts())[0]: cells[1:] for line in lines}


# ------------------------------------------------------------------------------ run folders


def test_the_newest_run_comes_first(run, tmp_path):
    for name in ("a", "b"):
        copy = tmp_path / "sweep" / name
        shutil.copytree(run.folder, copy)
        (copy / "config.yaml").touch()
        time.sleep(0.01)
    assert trained.runs(tmp_path) == ["sweep/b", "sweep/a"]
    assert trained.runs(tmp_path, "char") == []
    assert trained.runs(tmp_path / "nowhere") == []


def test_runs_on_text_are_told_by_their_level(run, tmp_path):
    text = {"_target_": "seq2seq.tasks.Text", "level": "word"}
    damaged(Run(shutil.copytree(run.folder, tmp_path / "a" / "run")), "words", task=text)
    assert trained.runs(tmp_path, "word") == ["a/words"]
    assert trained.runs(tmp_path) == ["a/run"]


@pytest.mark.parametrize("name", ["../elsewhere", "linked", "holding"])
def test_what_lies_outside_is_refused(run, tmp_path, name):
    outputs = tmp_path / "outputs"
    outputs.mkdir()
    shutil.copytree(run.folder, tmp_path / "elsewhere")
    (outputs / "linked").symlink_to(tmp_path / "elsewhere")
    shutil.copytree(run.folder, outputs / "holding")
    shutil.rmtree(outputs / "holding" / "checkpoints")
    (outputs / "holding" / "checkpoints").symlink_to(tmp_path / "elsewhere" / "checkpoints")
    with pytest.raises(Refused, match="leads out of the folder"):
        trained.find(outputs, name)
    assert trained.runs(outputs) == ["holding"]


def test_classes_from_outside_are_shown_where_the_reader_allows_them(run, tmp_path, monkeypatch):
    (tmp_path / "outside.py").write_text(
        "from seq2seq.models import RNN\n\n\nclass Mine(RNN):\n    pass\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    outputs = run.folder.parent
    model = run.plain_config["model"] | {"_target_": "outside.Mine"}
    folder = damaged(run, "mine", model=model)
    with pytest.raises(Refused, match=r"add allow=\[outside\]"):
        trained.load(trained.find(outputs, "mine"))
    shown = trained.load(trained.find(outputs, "mine", ["outside"]))
    assert type(shown.model).__name__ == "Mine"
    shutil.rmtree(folder)


def test_data_in_other_files_are_refused(run):
    arrays = {"_target_": "seq2seq.tasks.Arrays", "path": "/etc/passwd"}
    folder = damaged(run, "arrays", task=arrays)
    with pytest.raises(Refused, match="lies outside the run"):
        trained.load(Run(folder))
    shutil.rmtree(folder)


@pytest.mark.parametrize("kind", ["config", "allowed", "nested", "checkpoint", "weights"])
def test_a_hostile_run_is_refused_in_one_line(run, visit, settled, tmp_path, kind):
    owned = tmp_path / "owned"
    command = {"_target_": "os.system", "command": f"touch {owned}"}
    pickled = tmp_path / "pickled"
    pickled.write_bytes(pickle.dumps(Hostile(owned)))
    load = {"_target_": "lightning.fabric.utilities.cloud_io._load", "path_or_url": str(pickled)}
    nested = {"_target_": "seq2seq.tasks.Convolution", "filter": [load | {"weights_only": False}]}
    changes = {
        "config": {"model": command},
        "allowed": {"task": command, "allow": ["os", "subprocess"]},
        "nested": {"task": nested},
    }
    folder = damaged(run, f"hostile-{kind}", **changes.get(kind, {}))
    if kind == "checkpoint":
        for path in (folder / "checkpoints").iterdir():
            torch.save({"state_dict": Hostile(owned), "global_step": 1}, path)
    if kind == "weights":
        (folder / "model.safetensors").write_bytes(pickled.read_bytes())
    try:
        time.sleep(trained.FRESH)  # for so long the server may offer the runs that it saw before
        page = visit("models")
        assert page.locator("figure").count() == 2
        settled(page, lambda: page.get_by_label("Task", exact=True).select_option("runs"))
        assert page.get_by_label(f"shift/hostile-{kind}").is_checked()  # the newest
        assert page.locator(".blocks > *").count() == 0  # nothing that another model answered
        (line,) = [text for text in page.locator(".problem").all_inner_texts() if text]
        assert line.startswith(f"hostile-{kind} cannot be shown: ")
        assert "\n" not in line
        assert "Traceback" not in page.content()
        assert not owned.exists()
    finally:
        shutil.rmtree(folder)


# ---------------------------------------------------------------------------- models on tasks


def test_a_new_sample_shows_other_sequences(visit, settled):
    page = visit("models?model=shift-tcn")
    here, over_all, parameters, sees, *_ = rows(page)["shift-tcn"]
    assert (parameters, sees) == ("28,481", "125")
    assert float(over_all) < 1e-3
    settled(page, lambda: page.get_by_role("button", name="New sample").click())
    after = rows(page)["shift-tcn"]
    assert after[0] != here
    assert after[2:4] == [parameters, sees]


def test_models_share_a_plot_and_a_table(visit, settled):
    page = visit("models?model=shift-tcn")
    picture = page.locator("figure").first.inner_html()
    settled(page, page.get_by_role("checkbox", name="shift-rnn").check)
    found = rows(page)
    assert [found[name][2] for name in ("shift-rnn", "shift-tcn")] == ["4,289", "28,481"]
    assert float(found["best without memory"][1]) == 0.605
    assert page.locator("figure").first.inner_html() != picture
    for figure in page.locator("figure").all():
        assert {"shift-rnn", "shift-tcn"} <= set(figure.locator("text").all_text_contents())
    response = page.get_by_role("img").nth(1).get_attribute("aria-label")
    assert "the true one is largest after 8" in response
    settled(page, page.get_by_role("checkbox", name="shift-tcn").uncheck)
    assert "shift-tcn" not in rows(page)
    settled(page, page.get_by_role("checkbox", name="shift-rnn").uncheck)
    assert page.locator(".problem:not(:empty)").inner_text() == "Models: choose at least one"
    assert page.locator("figure").count() == 0


def test_a_figure_tells_its_values_and_can_be_saved(visit):
    page = visit("models?model=shift-rnn,shift-tcn")
    page.locator("figure svg").first.hover(position={"x": 400, "y": 100})
    time_, *told = page.locator(".tip:visible p").all_inner_texts()
    saved = {}
    for kind in ("CSV", "SVG"):
        with page.expect_download() as download:
            page.get_by_role("button", name=f"Save as {kind}").first.click()
        assert download.value.suggested_filename == f"models-prediction.{kind.lower()}"
        saved[kind] = download.value.path().read_text("utf-8")
    head, *lines = csv.reader(saved["CSV"].splitlines())
    assert head[:5] == ["time (steps)", "input", "true output", "shift-rnn", "shift-tcn"]
    assert [line[0] for line in lines] == [str(t) for t in range(32)]
    shown = dict(zip(head, lines[int(time_.split()[-1])], strict=True))
    assert len(told) == 4
    for text in told:
        label, _, value = text.rpartition(" ")
        assert float(value.replace("−", "-")) == pytest.approx(float(shown[label]), rel=1e-3)
    ElementTree.fromstring(saved["SVG"])
    assert "var(" not in saved["SVG"]
    assert "shift-tcn" in saved["SVG"]


def test_another_task_brings_its_models(visit, settled):
    page = visit("models")
    settled(page, lambda: page.get_by_label("Task", exact=True).select_option("Lorenz 96"))
    models = page.locator("[data-control=model] label").all_inner_texts()
    assert {"lorenz96-lstm", "lorenz96-tcn", "lorenz96-transformer"} <= set(models)
    assert all(model.startswith("lorenz96-") for model in models)
    assert float(rows(page)["lorenz96-lstm"][1]) < 0.1


def test_noise_and_longer_sequences_are_harder(visit, settled):
    page = visit("models?model=shift-rnn")
    usual = float(rows(page)["shift-rnn"][1])
    settled(page, lambda: page.get_by_label("Input", exact=True).select_option("white"))
    assert float(rows(page)["shift-rnn"][1]) > 3 * usual
    settled(page, lambda: page.get_by_label("Length", exact=True).select_option("twice as long"))
    assert "over 64 steps" in page.get_by_role("img").first.get_attribute("aria-label")


def test_a_run_of_ones_own_is_shown(visit, cut, run):
    page = visit(f"models?task=runs&model=shift/{run.name}", viewport={"width": 400, "height": 800})
    name = page.get_by_role("checkbox", checked=True).evaluate("box => box.value")
    assert name == f"shift/{run.name}"
    ((_, cells),) = [row for row in rows(page).items() if row[0] != "best without memory"]
    assert cells[2] == f"{run.result['parameters']:,}"
    assert page.evaluate("document.documentElement.scrollWidth") == 400
    assert cut(page) == []


# ------------------------------------------------------------------------------------ training


def test_the_published_plateau_is_marked(visit, settled):
    page = visit("training?model=shift-lstm")
    found = rows(page)
    steps, loss, plateaus = found["published LSTM, 2 × 256"]
    assert (steps, loss) == ("24,300", "0.605")
    assert "not left" in plateaus
    assert float(found["shift-lstm"][1]) < 0.01
    text = page.locator("figure").inner_text()
    assert "memoryless" in text
    settled(page, lambda: page.get_by_label("Task", exact=True).select_option("Text"))
    assert "bigram" in page.locator("figure").inner_text()
    assert "published" not in page.locator("figure").inner_text()


def test_the_curve_of_a_run_of_ones_own(visit, run):
    page = visit(f"training?task=runs&model=shift/{run.name}")
    ((_, cells),) = rows(page).items()
    assert cells[0] == "40"


def test_trainings_stand_beside_each_other(visit, settled):
    page = visit("training?model=shift-lstm,shift-tcn")
    assert [*rows(page)] == ["shift-lstm", "shift-tcn", "published LSTM, 2 × 256"]
    settled(page, lambda: page.get_by_label("shift-rnn").check())
    assert len(rows(page)) == 4


# ---------------------------------------------------------------------------------------- text


def written(page):
    return page.locator("[data-block=text]").inner_text()


def write(page, settled):
    settled(page, lambda: page.get_by_role("button", name="Write", exact=True).click())
    return written(page)


@pytest.mark.parametrize("level", ["characters", "words"])
def test_a_model_continues_what_one_types(visit, settled, level):
    page = visit("text?length=200")
    if level == "words":
        settled(page, lambda: page.get_by_label("It writes", exact=True).select_option(level))
    assert len(written(page)) >= 200  # it does not start empty
    prompt = "KING HENRY:\nMy lord,"
    settled(page, lambda: page.get_by_label("Prompt", exact=True).fill(prompt))
    text = write(page, settled)
    assert text.startswith(prompt)
    continued = text[len(prompt) :]
    if level == "characters":
        assert len(continued) == 200
    else:
        assert len(continued) > 400
    assert len(re.findall(r"\b(the|and|to|of|I|you|my)\b", continued)) > 3
    assert write(page, settled) == text  # the same seed
    settled(page, lambda: page.get_by_role("button", name="Write another").click())
    assert written(page) != text
    assert written(page).startswith(prompt)


def test_a_text_fades_once_the_controls_say_something_else(visit, settled):
    page = visit("text?length=50")
    assert page.locator(".block.old").count() == 0
    for act in (
        lambda: page.get_by_label("It writes", exact=True).select_option("words"),
        lambda: page.get_by_label("Prompt", exact=True).fill("HAMLET:"),
    ):
        settled(page, act)
        assert page.locator(".block.old [data-block=text]").count() == 1
        write(page, settled)
        assert page.locator(".block.old").count() == 0


def test_unseen_characters_get_a_note(visit, settled):
    page = visit("text?length=50&prompt=ROMEO: ß")
    write(page, settled)
    note = page.locator("[data-block=unknown]").inner_text()
    assert note == "Never seen in training, read as unknown: 'ß'."


def test_stop_ends_the_writing(visit):
    page = visit("text?length=2000&model=text-char-transformer")
    page.get_by_role("button", name="Write", exact=True).click()
    page.wait_for_function(  # until the text that the page began with has given way to a new one
        """() => { const letters = document.querySelector("[data-block=text]").textContent.length;
        return letters > 20 && letters < 1500 }"""
    )
    # At once: on a busy machine 2,000 letters are sooner written than a mouse is moved.
    page.get_by_role("button", name="Stop").click(force=True)
    page.wait_for_selector("[data-state=ready]")
    stopped = written(page)
    page.wait_for_timeout(300)
    assert written(page) == stopped
    assert len(stopped) < 2000


def test_a_temperature_of_zero_writes_the_likeliest(visit, settled):
    page = visit("text?length=100&temperature=0")
    text = write(page, settled)
    settled(page, lambda: page.get_by_role("button", name="Write another").click())
    assert written(page) == text
