"""What a page begins with: the verdict on a claim, a comparison, or what a search found."""

import copy
import csv
import itertools
import json
import math
import re
import shutil

import numpy as np
import pytest
import yaml
from scipy import stats
from test_report import ROOT, Page, write_run

from seq2seq.analysis import laws, plateau
from seq2seq.analysis.report import (
    Sweep,
    comparisons,
    figures,
    growth,
    page,
    power,
    report,
    tables,
    verdicts,
)
from seq2seq.analysis.report.page import content
from seq2seq.analysis.report.replication import joined
from seq2seq.analysis.report.verdict import SAYS, findings
from seq2seq.runs import Run, resolved
from seq2seq.schema.criteria import COMPARISONS
from seq2seq.training import configure

GROWS = [{"quantity": "growth", "contains": 0}, {"quantity": "growth", "law": "power"}]


@pytest.fixture(autouse=True)
def few_draws(monkeypatch):
    monkeypatch.setattr(power, "DRAWS", 10)


def write_study(root, conditions, rate=0.3, seeds=3, memories=(4, 6, 8, 10, 12)):
    for k in memories:
        for seed in range(seeds):
            tau = math.exp(3 + rate * k + 0.1 * np.sin(7.0 * k + seed))
            write_run(root, k, seed, tau, steps=2000, conditions=conditions)


@pytest.mark.parametrize(
    ("conditions", "rate", "word"),
    [
        (GROWS, 0.3, "supported"),
        (GROWS, 0.0, "refuted"),
        ([{"quantity": "growth", "above": 0, "reaches": 0.031}], 0.3, "refuted"),
        ([{"quantity": "growth", "above": 0, "reaches": 0.9}], 0.3, "supported"),
        ([{"quantity": "growth", "excludes": 0.3}], 0.3, "supported"),
        ([{"quantity": "growth", "below": 0.3}], 0.3, "undecided"),
        ([{"quantity": "test/nmse", "above": 0.5}], 0.3, "supported"),
        ([{"quantity": "test/nmse", "where": {"task.k": 12}, "above": 1e-9}], 0.3, "refuted"),
        ([{"quantity": "test/nmse", "where": {"model": "tcn"}, "above": 1}], 0.3, "undecided"),
        ([{"quantity": "test/nmse", "lowest": True, "above": "reference/zero"}], 0.3, "supported"),
        (
            [
                {
                    "quantity": "plateau/length",
                    "where": {"task.k": 12},
                    "over": {"task.k": 4},
                    "below": 2,
                }
            ],
            0.3,
            "supported",  # e^{0.3 · 8} = 11
        ),
    ],
)
def test_a_claim_is_judged_by_its_criterion(tmp_path, conditions, rate, word):
    write_study(tmp_path, conditions, rate)
    sweep = Sweep(tmp_path)
    (verdict,) = verdicts(sweep, growth(sweep))
    assert verdict.word == word, verdict.sentence


def test_an_accuracy_is_judged_by_its_arithmetic_mean(tmp_path):
    conditions = [{"quantity": "test/accuracy", "below": 0.1}]
    for seed, accuracy in enumerate((0.5, 0.6, 0.7)):
        told = {"test/accuracy": accuracy}
        write_run(tmp_path, 4, seed, 90, steps=100, conditions=conditions, **told)
    sweep = Sweep(tmp_path)
    (finding,) = verdicts(sweep, growth(sweep))[0].findings
    ends = stats.ttest_1samp([0.5, 0.6, 0.7], 0).confidence_interval()
    found = finding.estimate
    assert (found.value, found.low, found.high) == pytest.approx((0.6, ends.low, ends.high))


def write_aims(root, conditions, rate=0.3, budget=400):
    """Runs with a target: log τ = 3 + rate·k and noise, reached within the budget or not."""
    for k in (4, 6, 8, 10, 12):
        for seed in range(4):
            tau = round(math.exp(3 + rate * k + 0.1 * np.sin(7.0 * k + seed)))
            success = tau <= budget
            told = {"success": success, "success/step": tau if success else None}
            told["success/metric"] = "val/accuracy"
            folder = write_run(root, k, seed, 90, steps=100, conditions=conditions, **told)
            config = yaml.safe_load((folder / "config.yaml").read_text())
            config["callbacks"] = {"stop_at_target": {"target": 0.9, "monitor": "val/accuracy"}}
            (folder / "config.yaml").write_text(yaml.safe_dump(config))
            result = json.loads((folder / "result.json").read_text())
            result["steps"] = min(tau, budget)
            (folder / "result.json").write_text(json.dumps(result))


@pytest.mark.parametrize(
    ("conditions", "word"),
    [
        ([{"quantity": "success", "where": {"task.k": 4}, "below": 0.3}], "supported"),
        ([{"quantity": "success", "where": {"task.k": 4}, "below": 0.9}], "undecided"),
        ([{"quantity": "success", "where": {"task.k": 12}, "below": 0.7}], "refuted"),
        ([{"quantity": "success/step", "where": {"task.k": 12}, "above": 1}], "undecided"),
        (GROWS, "supported"),
    ],
)
def test_a_claim_may_be_about_success_and_the_time_to_it(tmp_path, conditions, word):
    write_aims(tmp_path, conditions)
    sweep = Sweep(tmp_path)
    (fit,) = growth(sweep)
    (verdict,) = verdicts(sweep, [fit])
    assert verdict.word == word, verdict.sentence
    assert (fit.escaped, fit.censored) == (13, 7)
    low, high = fit.laws.exponential.interval_b
    assert low < 0.3 < high < 0.4
    assert fit.by_drop == {}
    if conditions is GROWS:
        (told,) = power.power(sweep, [fit], verdict)[:1]
        assert told.shares["supported"] > 0.5


def test_a_report_tells_the_share_of_successes(tmp_path):
    write_aims(tmp_path, GROWS)
    sweep = Sweep(tmp_path)
    said = content(sweep, growth(sweep), [], [])
    (settings,) = [table for table in said["tables"] if table.name == "settings"]
    assert "Steps τ to the first success" in settings.caption
    shares = [row[settings.columns.index("success")] for row in settings.rows]
    exact = stats.binomtest(4, 4).proportion_ci(method="exact")
    none = stats.binomtest(0, 4).proportion_ci(method="exact")
    assert shares[0] == f"1 [{exact.low:.3g}, 1]"
    assert shares[-1] == f"0 [0, {none.high:.3g}]"
    assert settings.rows[-1][settings.columns.index("τ")] == "≥ 400"
    assert next(figures(sweep, growth(sweep))).name == "success_times"


def test_a_verdict_that_hangs_on_the_threshold_is_undecided(tmp_path):
    """The loss falls by 12% after 100 steps whatever the memory, and further with it."""
    write_study(tmp_path, GROWS[:1], memories=(6, 8, 10, 12))
    for run in Sweep(tmp_path).runs:
        with np.load(run.folder / "history.npz") as stored:
            arrays = dict(stored)
        arrays["loss"] *= np.where((arrays["step"] > 100) & (arrays["loss"] > 0.5), 0.88, 1)
        np.savez(run.folder / "history.npz", **arrays)
    sweep = Sweep(tmp_path)
    (fit,) = growth(sweep)
    rates = {drop: found.exponential.b for drop, found in fit.by_drop.items()}
    assert [*rates][:4] == pytest.approx([0.1, 0.125, 0.175, 0.25])
    rate = [*rates.values()]
    assert abs(rate[0]) < 0.02
    assert rate[2] == pytest.approx(rate[3], rel=0.01)
    assert rate[3] == pytest.approx(0.3, abs=0.03)
    (verdict,) = verdicts(sweep, [fit])
    assert verdict.word == "undecided"
    assert "depends on the fall of the loss that counts as an escape (yes at 0.1" in (
        verdict.sentence
    )
    for told in power.power(sweep, [fit], verdict):  # so would sweeps like it
        assert told.shares["undecided"] > 0.8
    fit.by_drop = {drop: found for drop, found in fit.by_drop.items() if drop > 0.15}
    assert verdicts(sweep, [fit])[0].word == "supported"


def test_the_report_knows_every_comparison():
    assert tuple(SAYS) == COMPARISONS


def test_a_run_with_a_criterion_that_is_none_is_left_out(tmp_path):
    write_run(tmp_path, 4, 0, 100)
    write_run(tmp_path, 4, 1, 100, conditions=[{"quantity": "steps", "abov": 1}])
    ((_, status, reason),) = Sweep(tmp_path).unreadable
    assert status == "unreadable"
    assert "did you mean 'above'?" in reason


def test_one_seed_leaves_the_growth_undecided(tmp_path):
    write_study(tmp_path, GROWS, seeds=1)
    sweep = Sweep(tmp_path)
    (verdict,) = verdicts(sweep, growth(sweep))
    assert verdict.word == "undecided"


def test_the_page_begins_with_the_verdict_and_programs_can_read_it(tmp_path):
    write_study(tmp_path, GROWS, memories=(4, 8, 12))
    page = report(tmp_path, latex=True).read_text(encoding="utf-8")
    first = re.search(r"<h1>.*?</h1>\s*<p[^>]*>(.*?)</p>", page, re.DOTALL)
    assert first is not None
    assert re.sub("<.*?>", "", first[1]).startswith("supported: nothing holds that would refute")
    told = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    assert told["verdict"] == "supported"
    assert [one["holds"] for one in told["claims"][0]["conditions"]] == [False, False]
    assert told["claims"][0]["conditions"][0]["low"] > 0
    tex = (tmp_path / "tables.tex").read_text(encoding="utf-8")
    assert tex.count(r"\toprule") == tex.count(r"\bottomrule") == len(told["tables"]) - 1
    assert not set("τ≥Δσ") & set(tex)
    with (tmp_path / "figures" / "plateau_lengths.csv").open() as file:
        rows = list(csv.DictReader(file))
    lengths = Sweep(tmp_path).table["plateau/length"].tolist()
    assert [float(row["plateau/length"]) for row in rows] == lengths


@pytest.mark.parametrize(
    ("models", "said"),
    [(["rnn", "tcn"], "no run with model = tcn"), (["rnn", "lru_smooth"], "test NMSE")],
)
def test_every_value_that_a_condition_lists_is_judged(tmp_path, models, said):
    conditions = [{"quantity": "test/nmse", "where": {"model": models}, "above": 1.0}]
    for seed, model in enumerate(("RNN", "RNN", "LRUSmooth", "LRUSmooth")):
        write_run(tmp_path, 4, seed, 90, steps=100, model=model, conditions=conditions)
    sweep = Sweep(tmp_path)
    (verdict,) = verdicts(sweep, growth(sweep))
    assert len(verdict.findings[0].estimate.rows) == 2
    assert len(verdict.findings) == 2
    assert said in verdict.sentence
    assert verdict.word == ("undecided" if "tcn" in models else "supported")


def test_runs_under_two_claims_are_told_apart(tmp_path):
    for seed, bound in enumerate((0.5, 0.5, 1e-9)):
        conditions = [{"quantity": "test/nmse", "above": bound}]
        write_run(tmp_path, 4, seed, 90, steps=100, conditions=conditions)
    sweep = Sweep(tmp_path)
    first, second = verdicts(sweep, growth(sweep))
    assert (first.word, second.word) == ("supported", "refuted")
    assert first.sentence.startswith("by the 2 runs under this claim, nothing holds")
    assert second.sentence.startswith("by the 1 run under this claim, test NMSE")


def test_what_a_claim_is_about_is_stored_of_every_setting(tmp_path):
    write_study(tmp_path / "sweep", [{"quantity": "resting", "above": 0.5}], memories=(4, 12))
    report(tmp_path / "sweep", store=tmp_path / "stored.json")
    short, long = json.loads((tmp_path / "stored.json").read_text(encoding="utf-8"))["rows"]
    resting = Sweep(tmp_path / "sweep").resting
    assert short["resting"]["mean"] == pytest.approx(resting[:3].mean(), rel=0.01)
    assert long["resting"]["mean"] == pytest.approx(resting[3:].mean(), rel=0.01)


def test_models_are_compared_by_seed_and_not_as_a_failed_study(tmp_path):
    errors = {"RNN": [0.02, 0.03, 0.025], "TCN": [2e-4, 4e-4, 3e-4], "S4D": [2.1e-4, 3.9e-4, 4e-4]}
    for model, values in errors.items():
        for seed, error in enumerate(values):
            result = {"test/nmse": error, "parameters": 100, "seconds": 3.0}
            folder = write_run(tmp_path, 8, seed, 1, steps=300, model=model, **result)
            text = (folder / "config.yaml").read_text()
            (folder / "config.yaml").write_text(text.replace("stop_after_escape", "other"))
    (compared,) = comparisons(Sweep(tmp_path))
    best, second, last = compared.contenders
    assert (best.label, second.label, last.label) == ("TCN", "S4D", "RNN")
    logs = {model: np.log10(values) for model, values in errors.items()}
    p = {model: stats.ttest_rel(logs[model], logs["TCN"]).pvalue for model in ("S4D", "RNN")}
    assert second.p == pytest.approx(max(p["S4D"], 2 * p["RNN"]))  # after Holm
    assert last.p == pytest.approx(2 * p["RNN"])
    ratio = 10 ** (logs["RNN"] - logs["TCN"]).mean()
    assert last.apart[0] == pytest.approx(ratio)
    assert last.apart[1] < ratio < last.apart[2]
    words = Page(report(tmp_path).read_text(encoding="utf-8")).words
    assert "TCN has the lowest test NMSE" in words
    assert "S4D cannot be told from it" in words
    assert "100 parameters and took 300 steps and 3 s a run" in words
    for foreign in ("no law was fitted", "nan", "censored", "τ"):
        assert foreign not in words


def test_a_search_begins_with_its_best_settings(tmp_path):
    (tmp_path / "study.journal").write_text("")
    for seed, rate in enumerate(np.geomspace(1e-4, 1e-1, 12)):
        size = (4, 8, 16, 32)[seed % 4]
        error = 1e-3 * (1 + np.log(rate / 1e-2) ** 2)
        folder = write_run(tmp_path, 8, 0, 50, steps=100, hidden_size=size, **{"val/nmse": error})
        text = (folder / "config.yaml").read_text() + f"optimizer:\n  lr: {rate}\n"
        (folder / "config.yaml").write_text(text)
        folder.rename(tmp_path / f"trial-{seed}")
    words = Page(report(tmp_path).read_text(encoding="utf-8")).words
    assert "The lowest validation NMSE of 12 runs" in words
    assert "What mattered most is optimizer.lr" in words


def test_runs_that_have_not_ended_count_as_censored_where_they_are(tmp_path):
    write_study(tmp_path, GROWS)
    on_it = write_run(tmp_path, 14, 0, 1e9, steps=700)
    beyond = write_run(tmp_path, 14, 1, 300, steps=700)
    for seed, folder in enumerate((on_it, beyond)):
        (folder / "result.json").unlink()  # with the losses of the references
        cfg = configure(["experiment=plateau_shift", "task.k=14", f"seed={seed}"])
        (folder / "config.yaml").write_text(yaml.safe_dump(resolved(cfg)))
    sweep = Sweep(tmp_path)
    rows = sweep.table[sweep.table["task.k"] == 14].set_index("seed")
    assert rows["status"].tolist() == ["killed", "killed"]
    assert rows["plateau/censored"].tolist() == [True, False]
    assert 650 < rows["plateau/length"][0] < 700
    (fit,) = growth(sweep)
    assert (fit.runs, fit.censored, fit.without) == (17, 1, 0)
    assert "2 runs have not ended" in content(sweep, [fit], [], [])["sentences"][-1]


def test_report_and_others_read_the_same_plateau(tmp_path):
    """A loss that only descends has none, whoever asks; one that rests without memory has."""
    step = np.arange(1, 3001)
    falling = {"step": step, "loss": 0.7 * step**-0.8}
    resting = {"step": step, "loss": np.where(step < 800, 0.66, 0.66 * (step / 800.0) ** -4)}
    low = {"step": step, "loss": 0.01 * resting["loss"]}
    references = {"reference/memoryless": 0.66}
    assert plateau.reading(falling, {}, references) == []
    (one,) = plateau.reading(resting, {}, references)
    assert one.escape == pytest.approx(850, abs=60)
    assert plateau.reading(low, {}, references) == []
    assert plateau.reading(resting, {}, {}) == []  # nothing says which loss a plateau would have
    assert plateau.reading(low, {"refuted_if": GROWS}, references) != []
    run = Run(write_run(tmp_path, 4, 0, 100))
    (found,) = plateau.reading(run.history, run.plain_config, run.result)
    assert Sweep(tmp_path).plateaus == [found]
    noise = np.random.default_rng(0).normal(size=60)
    short = {"step": step[:60], "loss": np.linspace(0.9, 0.8, 60) * np.exp(0.1 * noise)}
    assert all(one.censored for one in plateau.reading(short, {}, {"reference/memoryless": 0.66}))
    means = {"step": 10 * step[:60], "loss": np.where(step[:60] < 20, 0.66, 1e-2)}
    (one,) = plateau.reading(means, {}, references)
    assert one.escape == pytest.approx(200, abs=20)


def test_values_are_compared_as_numbers(tmp_path):
    """A config writes 4.0 where a criterion may write 4, and the other way round."""
    write_run(tmp_path, 4, 0, 20.0, 30, success=True)
    write_run(tmp_path, 8, 0, 20.0, 30, success=False)
    found = Sweep(tmp_path)
    for where in ({"task.k": 4.0}, {"task.input.scale": 1, "success": 1}, {"success": True}):
        assert found.chosen(where).tolist() == [True, False], where
    assert found.chosen({"task.input.scale": 1.0}).all()


def test_growth_over_what_does_not_vary_cannot_be_told(tmp_path):
    write_study(tmp_path, [{"quantity": "growth/model.hidden_size", "below": 5}])
    found = Sweep(tmp_path)
    (verdict,) = verdicts(found, growth(found))
    assert verdict.word == "undecided"


def test_lengths_say_of_how_many_runs_they_are(tmp_path):
    for seed in range(3):
        folder = write_run(tmp_path / "sweep", 4, seed, 100.0, steps=400)
        step = np.arange(1, 401)
        if not seed:  # a loss that only falls
            np.savez(folder / "history.npz", step=step, loss=0.1 * step**-0.8, lr=0.0 * step)
    (row,) = tables.settings(Sweep(tmp_path / "sweep")).rows
    assert row[2] == "100 (2)"
    report(tmp_path / "sweep", store=tmp_path / "n.json")
    (stored,) = json.loads((tmp_path / "n.json").read_text())["rows"]
    assert (stored["runs"], stored["timed"]) == (3, 2)
    shutil.rmtree(folder)
    report(tmp_path / "sweep", store=tmp_path / "m.json")
    (stored,) = json.loads((tmp_path / "m.json").read_text())["rows"]
    assert stored["timed"] == 1
    assert (stored["plateau"]["low"], stored["plateau"]["high"]) == (None, None)


def write_replication(folder, outputs="elsewhere"):
    """Three first seeds whose plateaus grow with the delay, and three held-out ones without."""
    for seed in (0, 1, 2, 100, 101, 102):
        for k in (4, 7, 10):
            rate = 0.3 if seed < 100 else 0.0
            tau = math.exp(4 + rate * (k - 4) + 0.1 * np.sin(7.0 * k + seed))
            run = write_run(folder, k, seed, tau, steps=700, conditions=GROWS)
            for name in ("kernel.npz", "eigenvalues.npz"):  # fewer figures
                (run / name).unlink()
            command = f"python train.py -m k={k} 'paths.outputs={outputs}/a b'"
            made = {"version": "1.2", "date": "2026-01-01", "command": command}
            (run / "provenance.json").write_text(json.dumps(made))


def test_a_replication_is_judged_beside_the_first_seeds(tmp_path):
    """Held-out seeds without growth: both verdicts are told, their disagreement, and the power."""
    write_replication(tmp_path / "sweep", tmp_path)
    stored = tmp_path / "results" / "sweep.json"
    words = Page(report(tmp_path / "sweep", store=stored).read_text(encoding="utf-8")).words
    told = json.loads(stored.read_text(encoding="utf-8"))
    assert told["verdict"] == "supported"
    assert [one["seeds"] for one in told["sets"]] == [[0, 1, 2], [100, 101, 102]]
    assert [one["verdict"] for one in told["sets"]] == ["supported", "refuted"]
    assert "Replication (seeds 100 to 102) disagrees: refuted" in told["agreement"]
    assert told["agreement"] in words
    assert [row["set"] for row in told["rows"]] == ["first"] * 3 + ["replication"] * 3
    assert [law["set"] for law in told["laws"]] == ["first", "replication"]
    # Where runs stood on the machine that made them is nothing to others.
    assert told["runs"]["command"] == [f"python train.py -m k={k}" for k in (4, 7, 10)]
    (claim,) = told["sets"][0]["claims"]
    assert claim["power"]["the fitted exponential law"]["supported"] > 0.6
    assert claim["power"]["the fitted power law"]["supported"] < 0.4
    assert "Power of the design: if the fitted exponential law is true" in words
    drawn = {path.stem for path in stored.with_suffix("").glob("*.svg")}
    assert {"plateau_lengths", "replication_plateau_lengths"} <= drawn == set(told["figures"])
    assert not drawn & {"losses", "definition"}


def drawings(file):
    names = json.loads(file.read_text())["figures"]
    return {name: (file.with_suffix("") / f"{name}.svg").read_text() for name in names}


def test_a_set_that_is_stored_from_elsewhere_is_kept(tmp_path, monkeypatch):
    """One after the other, from folders of their own, they come to what both at once do."""
    monkeypatch.setattr(page, "figures", lambda *of: itertools.islice(figures(*of), 2))
    write_replication(tmp_path / "both")
    for folder in [*(tmp_path / "both").glob("shift*")]:
        name = "replication" if Run(folder).plain_config["seed"] >= 100 else "first"
        shutil.copytree(folder, tmp_path / name / folder.name)
    for name in ("both", "first", "replication"):
        report(tmp_path / name, store=tmp_path / f"{name}.json")
    told = {path.stem: json.loads(path.read_text()) for path in tmp_path.glob("*.json")}
    for earlier, later in (("first", "replication"), ("replication", "first")):
        drawn = drawings(tmp_path / f"{later}.json")
        found, shown = joined(told[later], drawn, tmp_path / f"{earlier}.json")
        (kept,) = (one for one in found["sets"] if one["set"] == earlier)
        assert kept.pop("stored") == {key: told[earlier][key] for key in ("provenance", "runs")}
        assert found | {"provenance": ""} == told["both"] | {"provenance": ""}
        assert shown.keys() == drawings(tmp_path / "both.json").keys()
        assert {"plateau_lengths", "replication_plateau_lengths"} < shown.keys()
    report(tmp_path / "replication", store=tmp_path / "first.json")
    (kept, own) = json.loads((tmp_path / "first.json").read_text())["sets"]
    assert (kept["title"], "stored" in kept) == ("First (seeds 0 to 2)", True)
    assert (own["title"], "stored" in own) == ("Replication (seeds 100 to 102)", False)


def of_set(content, name, **changes):
    """What is stored of one of the two sets."""
    lists = {
        key: [one for one in content[key] if one["set"] == name] for key in ("sets", "rows", "laws")
    }
    return copy.deepcopy(content | lists | changes)


def test_a_set_that_is_no_replication_is_neither_kept_nor_lost(tmp_path, monkeypatch):
    monkeypatch.setattr(page, "figures", lambda *of: itertools.islice(figures(*of), 1))
    write_replication(tmp_path / "both")
    report(tmp_path / "both", store=(stored := tmp_path / "stored.json"))
    both = json.loads(stored.read_text())
    first, replication = (of_set(both, name) for name in ("first", "replication"))
    two = copy.deepcopy(first)
    two["sets"][0] |= {"seeds": [0, 1], "title": "First (seeds 0 to 1)"}
    other = copy.deepcopy(first)
    other["sets"][0]["claims"][0]["conditions"][0]["condition"] = "steps lies above 1"
    *fewer, last = first["rows"]
    lacks, judged = "holds seeds 100 to 102 of ", "another claim, or judged by other criteria"
    refused = [
        (both, two, "holds seeds 0 to 2, and these runs are of seeds 0 to 1; store this one under"),
        (
            both,
            first | {"rows": fewer},
            "holds 3 settings of seeds 0 to 2, and these runs are of 2",
        ),
        (both, first | {"name": "another"}, "holds the result of plateau_shift; store this one"),
        (replication, first | {"rows": fewer}, rf"{lacks}other settings \(k = 10 is only there\)"),
        (replication, first | {"claim": "More."}, lacks + judged),
        (replication, other, lacks + judged),
        (replication, first | {"refuted_if": [{"quantity": "steps", "above": 1}]}, lacks + judged),
    ]
    for key, here, there in (("max_steps", 9, 8), ("target", ["x", 0.1], ["x", 0.2])):
        theirs = of_set(replication, "replication")
        theirs["rows"][-1][key] = there
        changed = first | {"rows": [*fewer, last | {key: here}]}
        refused.append((theirs, changed, rf"{lacks}runs of k = 10 with {key}=.*, and these have"))
    for old, new, said in refused:
        stored.write_text(before := json.dumps(old))
        with pytest.raises(ValueError, match=rf"stored\.json {said}"):
            joined(new, {}, stored)
        assert stored.read_text() == before
    for text, said in {"{": r"\(Expect", "[1]": r"\(list ind", "{}": r"\(it has none of"}.items():
        stored.write_text(text)
        with pytest.raises(ValueError, match=rf"stored\.json holds no result of a sweep {said}"):
            joined(both, {}, stored)


@pytest.fixture
def without_figures(monkeypatch):
    monkeypatch.setattr(page, "figures", lambda *of: ())


@pytest.mark.usefixtures("without_figures")
def test_a_sweep_with_a_further_axis_takes_the_place_of_the_smaller_one(tmp_path):
    """All its settings are called otherwise."""
    for k in (4, 6):
        write_run(tmp_path / "sweep", k, 0, 50.0, 100)
    report(tmp_path / "sweep", store=tmp_path / "n.json")
    for k in (4, 6):
        write_run(tmp_path / "sweep", k, 0, 50.0, 100, hidden_size=8)
    report(tmp_path / "sweep", store=tmp_path / "n.json")
    assert len(json.loads((tmp_path / "n.json").read_text())["rows"]) == 4


@pytest.mark.usefixtures("without_figures")
def test_sets_of_one_seed_keep_their_titles(tmp_path):
    write_run(tmp_path / "first", 4, 0, 50.0, 100)
    write_run(tmp_path / "replication", 4, 100, 50.0, 100)
    for name in ("first", "replication"):
        report(tmp_path / name, store=tmp_path / "n.json")
    told = json.loads((tmp_path / "n.json").read_text())["sets"]
    assert [one["title"] for one in told] == ["First (seed 0)", "Replication (seed 100)"]


def test_sweeps_that_looked_for_a_boundary_need_not_have_met_the_same_settings(tmp_path):
    """Of phase_shift each set has cells of its own; what both have must be alike."""
    content = json.loads((ROOT / "results" / "phase_shift.json").read_text())
    first, replication = (of_set(content, name) for name in ("first", "replication"))
    for one, name in ((first, "first"), (replication, "replication")):
        one["phases"] = [entry for entry in content["phases"] if entry["set"] == name]
    (stored := tmp_path / "n.json").write_text(json.dumps(first))
    told, _ = joined(replication, {}, stored)
    assert told["agreement"] == content["agreement"]
    assert [len(told[key]) for key in ("rows", "phases")] == [
        len(content[key]) for key in ("rows", "phases")
    ]


def test_rates_of_growth_are_compared_by_their_difference_and_slope(tmp_path):
    """Rates of 0.2 and 0.4 at 8 and 32 units: a difference of 0.2, of which log 4 is the unit."""
    for size, rate in ((8, 0.2), (32, 0.4)):
        for seed in range(3):
            for k in (4, 7, 10):
                tau = math.exp(4 + rate * (k - 4) + 0.05 * np.sin(7.0 * k + seed))
                write_run(tmp_path, k, seed, tau, steps=1500, hidden_size=size)
    sweep = Sweep(tmp_path)
    fits = growth(sweep)
    size = "model.hidden_size"
    less = {"quantity": "growth", "where": {size: 32}, "less": {size: 8}, "above": 0.1}
    slope = {"quantity": f"growth/{size}", "contains": 0}
    ((apart,), (along,)) = (findings(sweep, sweep.table, fits, one) for one in (less, slope))
    assert apart.estimate.setting == "hidden_size = 32 less hidden_size = 8"
    assert apart.estimate.value == pytest.approx(0.2, abs=0.03)
    assert apart.estimate.low < apart.estimate.value < apart.estimate.high
    assert apart.holds
    assert along.estimate.value == pytest.approx(apart.estimate.value / math.log(4))
    assert along.holds is False


def test_a_small_design_has_little_power():
    """Of two seeds at two memories with a wide spread an interval tells nothing."""
    rng = np.random.default_rng(0)
    k, seed = np.repeat([4.0, 8.0], 4), np.tile(np.arange(4), 2)
    law = laws.compare(k, np.exp(3 + 0.1 * k + rng.normal(size=8)), k > 9, seed).exponential
    tau, censored = laws.simulated(law, np.repeat(k, 500), 1e3, rng)
    assert np.log(tau[:2000]).std() == pytest.approx(law.sigma, rel=0.1)
    assert censored.sum() == (tau == 1e3).sum()


def test_a_large_fall_as_the_escape_leaves_a_report(tmp_path):
    """Falls by more than all of the level are none."""
    write_study(tmp_path, GROWS)
    for run in Sweep(tmp_path).runs:
        config = yaml.safe_load((run.folder / "config.yaml").read_text())
        config["callbacks"]["stop_after_escape"]["drop"] = 0.6
        (run.folder / "config.yaml").write_text(yaml.safe_dump(config))
    sweep = Sweep(tmp_path)
    (fit,) = growth(sweep)
    assert [*fit.by_drop] == pytest.approx([0.24, 0.3, 0.42, 0.6, 0.84])
    assert verdicts(sweep, [fit])[0].word == "supported"
