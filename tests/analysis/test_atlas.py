"""The atlas of run folders written by hand: what is stored of a cell, its table, its pages."""

import json
import re
import runpy
import shutil

import numpy as np
import pytest
import shell
import yaml
from test_report import ROOT, Page, write_run

from seq2seq.analysis.report import Sweep, atlas
from seq2seq.analysis.report.successes import POINTS, curve, successes

#: Steps to success of eight seeds, within a budget of 400.
STEPS = {
    ("parity", "RNN"): [50, 100, 100, 150, 200, 250, 300, None],
    ("parity", "TCN"): [None] * 8,
    ("shift", "RNN"): [50] * 8,
}


def write_atlas(root, steps=STEPS):
    """Groups as they are trained, but that all are of shift."""
    for (task, model), times in steps.items():
        for seed, step in enumerate(times):
            told = {"success": step is not None, "success/step": step, "test/accuracy": 1.0}
            folder = write_run(root / task, 4, seed, 20.0, step or 400, model=model, **told)
            config = yaml.safe_load((folder / "config.yaml").read_text())
            aim = {"target": 0.99, "monitor": "val/accuracy"}
            config |= {"callbacks": {"stop_at_target": aim}, "trainer": {"max_steps": 400}}
            (folder / "config.yaml").write_text(yaml.safe_dump(config))


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    """The numbers of two groups, as the command of the docs stores them."""
    root = tmp_path_factory.mktemp("atlas")
    write_atlas(root / "outputs" / "atlas")
    groups = sorted((root / "outputs" / "atlas").iterdir())
    done = shell.run("scripts/report.py", *groups, f"json={root / 'results' / 'atlas'}", cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [str(group / "report.html") for group in groups]
    return root


def test_a_cell_holds_its_share_the_median_of_its_steps_and_its_losses(stored):
    groups = atlas.read(stored / "results" / "atlas")
    assert [group.task for group in groups] == ["parity", "shift"]
    found = groups[0].cells["RNN"]
    assert found["success"]["mean"] == 7 / 8
    assert found["success/step"] == {"median": 175, "low": 50, "high": None}  # of 8: x_(1), x_(8)
    assert groups[0].cells["TCN"]["success/step"] == {"median": None, "low": None, "high": None}
    assert (found["target"], found["budget"]) == (["val/accuracy", 0.99], 400)
    assert found["test/accuracy"] == {"mean": 1.0, "low": 1.0, "high": 1.0}
    assert len(found["curve"]["step"]) == POINTS
    assert found["curve"]["step"][-1] == 400


def test_a_curve_is_the_mean_of_each_part_and_of_ended_runs_their_last(tmp_path):
    for seed, loss in enumerate(([4.0] * 32 + [2.0] * 32, [1.0] * 32)):
        folder = write_run(tmp_path / "a", 4, seed, 20.0, 10, success=True)
        step = np.arange(1, len(loss) + 1)
        np.savez(folder / "history.npz", step=step, loss=np.array(loss), lr=step * 0.0)
    sweep = Sweep(tmp_path / "a")
    found = curve(sweep, sweep.table)
    assert found["step"] == [*range(2, 65, 2)]
    assert found["high"] == [4.0] * 16 + [2.0] * 16
    assert found["low"] == [1.0] * 32
    assert found["median"] == [2.5] * 16 + [1.5] * 16


def test_runs_without_a_target_have_no_cell(tmp_path):
    write_run(tmp_path / "a", 4, 0, 20.0, 30)
    sweep = Sweep(tmp_path / "a")
    assert successes(sweep, sweep.table) == {}


def test_the_table_has_every_cell_its_interval_and_its_link(stored):
    groups = atlas.read(stored / "results" / "atlas")
    text = atlas.table(groups, lambda task, model: f"{task}.html#{model}")
    assert Page(text).addresses == ["parity.html#RNN", "shift.html#RNN", "parity.html#TCN"]
    cells = re.findall(r"<td[ >].*?</td>", text)
    words = [re.findall(r">([^<>]+)<", cell) for cell in cells]
    assert words[1:] == [
        ["7/8", "0.47 to 1.00", "175 (50 to &gt;400)"],
        ["8/8", "0.63 to 1.00", "50"],
        ["0/8", "0.00 to 0.37", "&gt;400"],
        [],  # no TCN on shift
    ]
    cell = groups[0].cells["TCN"] | {"existence": "impossible", "why": "Too <few>."}
    told = atlas.table([atlas.Group("parity", {"TCN": cell})], lambda *_: "#")
    assert "<span>impossible</span>" in told
    assert atlas.reason(cell) == "Too <few>."


def test_a_curve_is_drawn_within_its_frame(stored):
    cell = atlas.read(stored / "results" / "atlas")[0].cells["RNN"]
    drawn = atlas.drawing(cell)
    Page(drawn)
    points = re.findall(r"([\d.]+),([\d.]+)", re.search(r'polygon points="([^"]*)"', drawn)[1])
    assert len(points) == 2 * POINTS
    assert all(0 <= float(x) <= atlas.WIDTH and 0 <= float(y) <= atlas.HEIGHT for x, y in points)


def test_the_page_says_what_makes_it_until_it_is_stored(stored, tmp_path):
    hooks = runpy.run_path(str(ROOT / "docs" / "hooks.py"))
    inside = hooks["atlas_tables"].__globals__
    inside["ROOT"] = tmp_path
    (said,) = hooks["atlas_tables"](lambda *_: "#")
    assert "Nothing of it is stored yet" in said
    told = (ROOT / "docs" / "atlas.md").read_text(encoding="utf-8")
    assert "python train.py -m 'experiment=glob(atlas/*)'" in told
    assert told.count("<!-- atlas -->") == 1
    shutil.copytree(stored / "results", tmp_path / "results")
    (tmp_path / "docs").mkdir()
    shutil.copy(ROOT / "docs" / "atlas_published.yaml", tmp_path / "docs")
    table, *published = hooks["atlas_tables"](lambda task, model: f"{task}.html#{model}")
    assert table.count("<a href=") == 3
    assert "Grazzi et al. (2025), table 3" in "".join(published)
    page = hooks["claim_page"]("atlas/parity")
    assert "python train.py -m experiment=atlas/parity model=TCN" in page
    assert page.count('<svg class="curve"') == 2
    assert "| set | setting | runs | success | steps to success | " in page
    assert "7/8 (0.47 to 1.00) runs reached `val/accuracy` 0.99 within 400 steps; median" in page
    assert "175 (50 to >400); test/accuracy 1" in page


def test_published_numbers_stand_beside_models_and_tasks_of_the_atlas():
    """Each has a source, and none of the rows speaks of what the atlas does not train."""
    experiments = ROOT / "configs" / "experiment" / "atlas"
    base = yaml.safe_load((experiments / "_base.yaml").read_text(encoding="utf-8"))
    models = base["hydra"]["sweeper"]["params"]["model"].split(",")
    text = (ROOT / "docs" / "atlas_published.yaml").read_text(encoding="utf-8")
    for entry in yaml.safe_load(text):
        assert (experiments / f"{entry['task']}.yaml").exists()
        assert re.search(r"\(\d{4}\)", entry["from"])
        assert {row["ours"] for row in entry["models"]} <= {*models}
    assert len(models) >= 12
    assert len([*experiments.glob("[!_]*.yaml")]) >= 10


def test_stored_json_is_read_as_it_is(stored):
    told = json.loads((stored / "results" / "atlas" / "shift.json").read_text())
    assert told["provenance"]["command"].startswith("python scripts/report.py")
    assert atlas.models(atlas.read(stored / "results" / "atlas"))[0] == "RNN"
