"""The report of run folders written by hand, with laws, failures and figures known beforehand."""

import functools
import json
import math
import re
import shutil
from collections.abc import Mapping, Sequence
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import shell
import yaml

from seq2seq.analysis.figures import number
from seq2seq.analysis.report import (
    Sweep,
    comparisons,
    figures,
    growth,
    interval,
    log_interval,
    report,
    tables,
)

ROOT = Path(__file__).resolve().parents[2]
LEVEL = 2 / 3


def write_run(
    root: Path,
    k: int,
    seed: int,
    tau: float,
    steps: int = 4000,
    hidden_size: int = 16,
    status: str = "finished",
    model: str = "RNN",
    conditions: Sequence[Mapping[str, object]] = (),
    **result: object,
) -> Path:
    """A run of shift k whose loss rests at 2/3 for τ steps, then falls to 1e-3."""
    named = "" if model == "RNN" else f"-{model}"
    folder = root / f"shift-k={k}{named}-hidden_size={hidden_size}-seed={seed}"
    folder.mkdir(parents=True)
    config = {
        "task": {
            "_target_": "seq2seq.tasks.Shift",
            "k": k,
            "length": 3 * k,
            "input": {"_target_": "seq2seq.tasks.White", "scale": 1.0},
            "seed": seed,
        },
        "model": {"_target_": f"seq2seq.models.{model}", "hidden_size": hidden_size},
        "callbacks": {"stop_after_escape": {"_target_": "seq2seq.callbacks.StopAfterEscape"}},
        "seed": seed,
        "name": "plateau_shift",
        "claim": "Time grows with k & nothing <else>.",
        "refuted_if": [*conditions],
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    if status == "killed":
        return folder
    step = np.arange(1, steps + 1)
    fall = np.clip((step - tau) / (0.05 * tau), 0, 1)
    noise = np.exp(0.03 * np.random.default_rng([k, seed]).normal(size=steps))
    loss = LEVEL * (1e-3 / LEVEL) ** fall * noise
    np.savez(folder / "history.npz", step=step, loss=loss, lr=np.full(steps, 1e-3))
    final = float(loss[-1])
    kernel = np.eye(3 * k)[k]
    np.savez(folder / "kernel.npz", true=kernel, learned=kernel * (1 - final / LEVEL))
    turn = 0.9 * np.exp(1j * np.linspace(0, math.pi, 4))
    eigenvalues = np.linspace(0.5, 1, 3)[:, None] * turn
    np.savez(folder / "eigenvalues.npz", step=np.array([0, 100, steps]), eigenvalues=eigenvalues)
    values: dict[str, object] = {
        "status": status,
        "steps": steps,
        "seconds": 2.0,
        "parameters": 305,
        "test/loss": final,
        "test/nmse": final / LEVEL,
        "reference/zero": LEVEL,
        "reference/memoryless": LEVEL,
        "reference/taps_2": LEVEL,
        "reference/taps_64": 0.0,
    }
    (folder / "result.json").write_text(json.dumps(values | result))
    return folder


def write_sweep(root: Path, rate: float = 0.3) -> None:
    """k = 4 … 14, four seeds, log τ = 3 + rate·k + noise, budget 1000 steps."""
    rng = np.random.default_rng(0)
    for k in (4, 6, 8, 10, 12, 14):
        for seed in range(4):
            tau = math.exp(3 + rate * k + 0.1 * rng.normal())
            write_run(root, k, seed, tau, steps=1000)


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("outputs") / "plateau_shift"
    write_sweep(root)
    return root


@pytest.fixture(scope="module")
def page(sweep: Path) -> str:
    """The page of the sweep, written by the script."""
    done = shell.run("scripts/report.py", sweep, cwd=ROOT)
    assert (done.returncode, done.stdout.strip()) == (0, str(sweep / "report.html")), done.stderr
    return (sweep / "report.html").read_text(encoding="utf-8")


class Page(HTMLParser):
    """Collects tags, addresses and text, and fails on tags left open."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.addresses: list[str] = []
        self.words = ""
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        names = ("href", "src", "xlink:href")
        self.addresses += [value or "" for name, value in attrs if name in names]
        if tag not in ("meta", "br", "img"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in ("meta", "br", "img"):
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words += data


def test_axes_groups_and_plateaus_are_read_from_the_folders(sweep):
    found = Sweep(sweep)
    assert found.keys == ["task.k"]  # the length follows from k
    assert found.memory == "task.k"
    assert found.others == []
    assert found.metric == "test/nmse"
    truth = {4: math.exp(4.2), 10: math.exp(6.0)}
    for k, tau in truth.items():
        lengths = found.table.loc[found.table["task.k"] == k, "plateau/length"]
        assert np.exp(np.log(lengths).mean()) == pytest.approx(tau, rel=0.15)
    censored = found.table.groupby("task.k")["plateau/censored"].mean()
    assert censored[[4, 6, 8, 10]].max() == 0
    assert censored[14] == 1


def test_the_law_is_that_of_the_data(sweep):
    (fit,) = growth(Sweep(sweep))
    assert fit.laws is not None
    assert fit.runs == 24
    assert fit.escaped + fit.censored == 24
    assert fit.censored >= 4
    law = fit.laws.exponential
    assert law.interval_b[0] < 0.3 < law.interval_b[1]
    sentence = fit.sentence("delay k")
    assert f"log τ grows by {law.b:.3g} per unit of delay k" in sentence
    assert f"{fit.censored} of them censored" in sentence
    assert "which excludes zero" in sentence
    assert fit.laws.verdict == "exponential"
    assert "AIC prefers an exponential to a power law" in sentence


def test_the_page_is_self_contained_and_complete(sweep, page):
    text, page = page, Page(page)
    assert all(address.startswith(("#", "data:image/png;")) for address in page.addresses)
    assert "script" not in page.tags
    assert not re.search(r"@import|url\((?!#)", text)
    names = {"plateau_lengths", "thresholds", "losses", "definition", "kernels", "eigenvalues"}
    names.add("means")
    for kind in ("svg", "pdf", "png", "csv"):
        assert {file.stem for file in (sweep / "figures").glob(f"*.{kind}")} == names
    assert page.tags.count("figure") == page.tags.count("figcaption") == len(names)
    assert "Time grows with k & nothing <else>." in page.words
    assert "per unit of delay k" in page.words
    assert "Nothing: all 24 runs finished." in page.words
    for folder in sweep.glob("shift-*"):
        assert folder.name in page.words
    assert page.words.count(">") > 4  # lengths of censored runs are lower bounds


def test_each_run_states_its_memory(sweep, page):
    """After the escape the loss lies between those of 2 and 64 taps, and one lag, k, is used."""
    row = next(r for r in page.split("<tr>") if "shift-k=8-hidden_size=16-seed=0" in r)
    cells = re.findall(r"<td>(.*?)</td>", row)
    assert cells[-3:-1] == ["2 to 64", "9"]


@pytest.mark.slow
def test_writing_it_again_changes_nothing(sweep, page):
    assert report(sweep).read_text(encoding="utf-8") == page


def test_numbers_are_those_of_the_page(tmp_path):
    for seed, error in enumerate((1e-4, 1e-2, 1.0)):
        write_run(tmp_path, 4, seed, 100.0, **{"test/nmse": error})
    words = Page(report(tmp_path, store=tmp_path / "n.json").read_text(encoding="utf-8")).words
    (row,) = json.loads((tmp_path / "n.json").read_text())["rows"]
    mean, low, high = row["test/nmse"].values()
    assert mean == pytest.approx(1e-2)
    assert f"{number(mean)} [{number(low)}, {number(high)}]" in words


def test_numbers_hold_what_claims_are_about(tmp_path):
    """A share is averaged as it is, though all of its values are positive."""
    share = "generalisation/accuracy/length_9"
    conditions = [{"quantity": share, "below": 0.5}, {"quantity": "success", "below": 0.5}]
    for seed, value in enumerate((0.2, 0.4, 0.9)):
        write_run(tmp_path, 4, seed, 100.0, conditions=conditions, **{share: value})
    report(tmp_path, store=tmp_path / "n.json")
    (row,) = json.loads((tmp_path / "n.json").read_text())["rows"]
    assert row[share]["mean"] == pytest.approx(0.5)
    assert "test/nmse" in row


def test_a_page_on_one_run_replaces_the_figures_of_an_earlier_state(tmp_path):
    write_run(tmp_path, 4, 0, 100.0)
    (tmp_path / "figures").mkdir()
    old = [tmp_path / "figures" / f"heat_map_plateau.{kind}" for kind in ("svg", "csv")]
    for file in old:
        file.write_bytes(b"of an earlier state")
    words = Page(report(tmp_path).read_text(encoding="utf-8")).words
    assert "1 run (1 finished), 1 seed" in words
    assert "Nothing: 1 run finished." in words
    assert not any(file.exists() for file in old)
    assert (tmp_path / "figures" / "losses.svg").exists()


def test_how_a_run_was_asked_for_is_no_axis(tmp_path):
    asked = [{}, {"force": True}, {"logger": None}, {"callbacks.progress": None}, {"threads": 2}]
    for seed, changes in enumerate(asked):
        write_changed(tmp_path / str(seed), 4, seed, changes)
    assert Sweep(tmp_path).keys == ["threads"]


def test_two_swept_keys_give_heat_maps_and_groups(tmp_path):
    for hidden_size in (8, 32):
        for k in (4, 6, 8):
            for seed in range(2):
                tau = math.exp(3 + 8 * 0.2 * k / math.sqrt(hidden_size) + 0.02 * seed)
                write_run(tmp_path, k, seed, tau, hidden_size=hidden_size)
    found = Sweep(tmp_path)
    assert set(found.keys) == {"task.k", "model.hidden_size"}
    assert found.memory == "task.k"
    fits = growth(found)
    assert [fit.group for fit in fits] == ["hidden_size = 8", "hidden_size = 32"]
    rates = [fit.laws.exponential.b for fit in fits if fit.laws is not None]
    assert rates == pytest.approx([1.6 / math.sqrt(8), 1.6 / math.sqrt(32)], rel=0.15)
    panels = {panel.name: panel.figure for panel in figures(found, fits)}
    assert len(panels["heat_map_plateau"].axes[0].texts) == 6
    assert len(panels["heat_map_error"].axes[0].texts) == 6


GROWING = {"start": 3, "every": 200, "factor": 1.5}


def write_changed(
    folder: Path, k: int, seed: int, changes: Mapping[str, object], steps: int = 50, **told: object
) -> None:
    """A run whose config has other values of some dotted keys."""
    written = write_run(folder / "_".join(map(str, (k, seed))), k, seed, 40.0, steps=steps, **told)
    config = yaml.safe_load((written / "config.yaml").read_text())
    config = {name: config[name] for name in ("task", "model", "callbacks", "seed", "name")}
    for key, value in changes.items():
        node, _, name = key.rpartition(".")
        (config.setdefault(node, {}) if node else config)[name] = value
    (written / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False))


@pytest.mark.parametrize(
    ("one", "other", "labels"),
    [
        ({"init_from": None}, {"init_from": "abc"}, ["abc", "no init_from"]),
        (
            {"init_from": 70 * "a" + "b"},
            {"init_from": 70 * "a" + "c"},
            [f"init_from = {70 * 'a'}{end}" for end in "bc"],
        ),
        (
            {"task.curriculum": None},
            {"task.curriculum": GROWING},
            ["start = 3", "no task.curriculum.start"],
        ),
        (
            {"task.curriculum": GROWING},
            {"task.curriculum": GROWING | {"every": 300}},
            ["every = 200", "every = 300"],
        ),
        (
            {"trainer.max_steps": 10},
            {"trainer.max_steps": 20},
            ["max_steps = 10", "max_steps = 20"],
        ),
        (
            {"model._target_": "seq2seq.models.RNN"},
            {"model._target_": "seq2seq.models.LSTM"},
            ["LSTM", "RNN"],
        ),
    ],
)
def test_only_runs_alike_but_for_the_seed_are_averaged(tmp_path, one, other, labels):
    """The seeds are no others for one setting than for the other, or each setting has its own."""
    for name, seeds in (("own", [(0, 1), (2, 3)]), ("shared", [(0, 1), (0, 1)])):
        for place, changes, few in zip("ab", (one, other), seeds, strict=True):
            for seed in few:
                write_changed(tmp_path / name / place, 4, seed, changes)
        assert [(label, len(rows)) for label, rows in Sweep(tmp_path / name).cells()] == [
            (label, 2) for label in labels
        ]


@pytest.mark.parametrize("steps", [1, 2])
def test_numbers_of_runs_that_are_short_and_lack_keys_of_others_are_written(tmp_path, steps):
    aim = {"target": 0.9, "monitor": "val/accuracy"}
    for seed, curriculum in enumerate((None, None, GROWING, GROWING)):
        changes = {"task.curriculum": curriculum, "callbacks.stop_at_target": aim}
        told = {"success": False, "success/step": None, "success/metric": "val/accuracy"}
        write_changed(tmp_path / str(curriculum), 4, seed, changes, steps, **told)
    report(tmp_path, store=tmp_path / "n.json")
    rows = json.loads((tmp_path / "n.json").read_text())["rows"]
    assert [row["start"] for row in rows] == [3, None]
    assert [len(row["curve"]["step"]) for row in rows] == [steps, steps]


def test_a_setting_of_one_seed_each_is_no_seed(tmp_path):
    for seed, steps in enumerate((10, 20)):
        changes = {"trainer.max_steps": steps, "init_from": f"start{seed}"}
        write_changed(tmp_path / "two", 4, seed, changes)
        write_changed(tmp_path / "one", 4, seed, {"init_from": f"start{seed}"})
    assert Sweep(tmp_path / "two").keys == ["trainer.max_steps"]
    assert Sweep(tmp_path / "one").keys == [], "each seed goes on from its own start"


def test_the_model_is_named_where_all_else_differs_too(tmp_path):
    for k, model in ((4, "RNN"), (8, "LSTM")):
        write_changed(tmp_path, k, 0, {"model._target_": f"seq2seq.models.{model}"})
    assert [label for label, _ in Sweep(tmp_path).cells()] == ["k = 4, RNN", "k = 8, LSTM"]


def test_settings_are_called_by_what_was_chosen(tmp_path):
    """Both choices are the class SGD, and what they differ in follows from the rate."""
    chosen = {"sgd": {"lr": 0.05, "momentum": 0.0}, "momentum": {"lr": 0.005, "momentum": 0.9}}
    for name, own in chosen.items():
        for k in (4, 6, 8):
            folder = write_run(tmp_path / name, k, 0, 100.0)
            config = yaml.safe_load((folder / "config.yaml").read_text())
            config["optimizer"] = {"_target_": "torch.optim.SGD", **own}
            config["command"] = {"choices": {"model": "rnn", "optimizer": name, "logger": "none"}}
            (folder / "config.yaml").write_text(yaml.safe_dump(config))
    found = Sweep(tmp_path)
    assert set(found.keys) == {"task.k", "optimizer"}
    assert [label for label, _ in found.groups()] == ["momentum", "sgd"]
    assert growth(found)[0].sentence("k").startswith("momentum: ")
    assert found.chosen({"optimizer": "sgd", "model": "RNN"}).sum() == 3
    assert found.chosen({"task": "shift"}).all()  # by its class, where no choice is told


def test_runs_that_failed_are_named_with_their_reason(tmp_path):
    write_run(tmp_path, 4, 0, 100)
    write_run(tmp_path, 16, 0, 100, status="failed", error="k must be <smaller>", steps=50)
    write_run(tmp_path, 16, 1, 100, status="diverged", steps=50, **{"test/nmse": None})
    write_run(tmp_path, 16, 2, 100, status="killed")
    words = Page(report(tmp_path).read_text(encoding="utf-8")).words
    failed = words[words.index("What did not finish") : words.index("All runs")]
    for text in ("k must be <smaller>", "diverged", "killed"):
        assert text in failed
    assert "finished" not in failed
    assert Sweep(tmp_path).table["plateau/length"].notna().tolist() == [True, False, False, False]
    assert "4 runs" in words
    assert "1 finished" in words


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ([(4, 100)], "no axis"),
        ([(4, 100), (8, 1e9)], "three observed times at two k"),
        ([(4, 1e9), (8, 1e9)], "three observed times at two k"),
    ],
)
def test_too_little_for_a_law(tmp_path, settings, reason):
    for k, tau in settings:
        for seed in range(3):
            write_run(tmp_path, k, seed, tau, steps=500)
    fits = growth(Sweep(tmp_path))
    if reason == "no axis":
        assert fits == []
    else:
        assert fits[0].laws is None
        assert reason in fits[0].sentence("delay k")


def test_no_growth_is_said_to_be_unresolved(tmp_path):
    rng = np.random.default_rng(1)
    for k in (4, 8, 12):
        for seed in range(3):
            write_run(tmp_path, k, seed, 200 * math.exp(0.4 * rng.normal()), steps=2000)
    (fit,) = growth(Sweep(tmp_path))
    assert "which contains zero" in fit.sentence("delay k")
    assert "Growth is not resolved" in fit.sentence("delay k")


def test_runs_without_history_or_result_still_make_a_page(tmp_path):
    for seed in range(2):
        write_run(tmp_path, 4, seed, 100, status="killed")
    words = Page(report(tmp_path).read_text(encoding="utf-8")).words
    assert "2 killed" in words


def test_intervals_are_student_s():
    assert interval([1.0, 2.0, 3.0]) == pytest.approx((2, 2 - 2.4841, 2 + 2.4841), abs=1e-3)
    assert interval([5.0]) == (5, 5, 5)
    assert log_interval([1.0, 100.0])[0] == pytest.approx(10)


def test_a_folder_without_runs_is_refused_in_one_line(tmp_path):
    done = shell.run("scripts/report.py", tmp_path, cwd=ROOT)
    assert done.returncode == 2
    assert done.stderr.startswith(f"report.py: no runs below {tmp_path}")
    assert done.stderr.count("\n") == 1


def edit(folder, **changes):
    """Change dotted keys of a run's config, with two underscores for the dot."""
    config = yaml.safe_load((folder / "config.yaml").read_text())
    for key, value in changes.items():
        *path, last = key.split("__")
        functools.reduce(lambda node, part: node.setdefault(part, {}), path, config)[last] = value
    (folder / "config.yaml").write_text(yaml.safe_dump(config))


def panel(root, name):
    sweep = Sweep(root)
    return next(one for one in figures(sweep, growth(sweep)) if one.name == name)


def test_what_is_drawn_of_a_key_that_may_be_null_is_its_own(tmp_path):
    """Rates of 0.1 without a window, 0.2 and 0.4 with one of 8 and 16; errors in this order."""
    for window, rate, error in ((None, 0.1, 1e-3), (16, 0.4, 3e-3), (8, 0.2, 2e-3)):
        for seed in range(3):
            for k in (4, 7, 10):
                tau = math.exp(4 + rate * (k - 4) + 0.05 * np.sin(7.0 * k + seed))
                place = tmp_path / f"window{window}"
                folder = write_run(place, k, seed, tau, steps=1500, **{"test/nmse": error})
                edit(folder, model__window=window)
    rates = panel(tmp_path, "rates").data
    assert rates["model.window"].tolist() == [8, 16]
    assert rates["rate"].tolist() == pytest.approx([0.2, 0.4], abs=0.03)
    shutil.rmtree(tmp_path / "window8")
    for folder in tmp_path.glob("*/shift-k=[47]*"):
        shutil.rmtree(folder)
    means = panel(tmp_path, "means")
    assert means.data["mean"].tolist() == pytest.approx([3e-3, 1e-3])
    assert [one.get_text() for one in means.figure.axes[0].get_xticklabels()] == ["16", "null"]


def test_references_that_groups_do_not_share_are_not_drawn(tmp_path):
    for noise, loss in ((1.0, 0.5), (2.0, 2.0)):
        for k in (4, 6):
            told = {"reference/memoryless": loss, "reference/floor": 0.3}
            edit(write_run(tmp_path / f"{noise}", k, 0, 20.0, 30, **told), task__noise=noise)
    names = [one.get_text() for one in panel(tmp_path, "losses").figure.axes[0].texts]
    assert "floor" in names
    assert "memoryless" not in names


def test_errors_that_are_zero_are_compared_by_differences_and_said_to_be(tmp_path):
    for model, errors in (("RNN", (0.0, 0.2)), ("GRU", (0.3, 0.3))):
        for seed, error in enumerate(errors):
            write_run(tmp_path, 4, seed, 20.0, 30, model=model, **{"test/nmse": error})
    (one,) = comparisons(Sweep(tmp_path))
    assert "factor" not in one.sentence
    assert "log10" not in one.test
    (table,) = tables.contenders([one])
    assert "above the best" in table.columns


def test_models_without_any_difference_are_not_told_apart(tmp_path):
    """Also where nobody has a seed that another one has."""
    for model in ("RNN", "GRU"):
        for seed in range(3):
            write_run(tmp_path / "same", 4, seed, 20.0, 30, model=model, **{"test/nmse": 0.0})
            seed += 3 * (model == "RNN")
            write_run(tmp_path / "apart", 4, seed, 20.0, 30, model=model, **{"test/nmse": 0.1})
    (same,) = comparisons(Sweep(tmp_path / "same"))
    assert same.contenders[1].p == 1.0
    assert "cannot be told from it" in same.sentence
    (apart,) = comparisons(Sweep(tmp_path / "apart"))
    assert "fewer than two seeds in common tell nothing of chance" in apart.sentence


def test_the_lowest_setting_is_the_one_whose_mean_is_shown(tmp_path):
    for scale, errors in ((0.5, (1e-6, 1.0)), (1.5, (0.1, 0.1))):
        for seed, error in enumerate(errors):
            folder = write_run(tmp_path / f"{scale}", 4, seed, 1.0, 300, **{"test/nmse": error})
            edit(folder, task__input__scale=scale, callbacks={})
    words = Page(report(tmp_path).read_text(encoding="utf-8")).words
    assert "Test NMSE 1.0e-3" in words
    assert "that of scale = 0.5" in words


def test_keys_that_end_alike_are_told_apart(tmp_path):
    for order in (1, 2):
        for scale in (0.5, 1.5):
            folder = write_run(tmp_path / f"{order}{scale}", 4, 0, 20.0, 30)
            edit(folder, task__input__scale=scale, model__scale=order)
    report(tmp_path, store=tmp_path / "n.json")
    rows = json.loads((tmp_path / "n.json").read_text())["rows"]
    keys = ("task.input.scale", "model.scale")
    assert {tuple(row[key] for key in keys) for row in rows} == {
        (0.5, 1),
        (0.5, 2),
        (1.5, 1),
        (1.5, 2),
    }
    assert all(key in rows[0]["setting"] for key in keys)


def test_figures_of_many_groups_say_what_they_leave_out(tmp_path):
    for size in range(1, 15):
        for k in (4, 6):
            write_run(tmp_path, k, 0, 20.0, steps=60, hidden_size=size)
    assert "Of 14 settings 12 are shown" in panel(tmp_path, "plateau_lengths").caption
    losses = panel(tmp_path, "losses")
    assert "Of 14 groups 7 are shown, evenly spaced." in losses.caption
    assert losses.data["group"].nunique() == 7
