"""The phase diagram of a report, from run folders written by hand whose law is known."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import yaml

from seq2seq.analysis.report import Sweep, figures, growth, report, verdicts
from seq2seq.analysis.report.phases import read
from seq2seq.analysis.report.power import power
from seq2seq.analysis.report.verdict import findings

MEMORIES = (2, 4, 8, 12, 16, 20, 24, 32)
SIZES = (8, 16, 32)
STEPS = 1000
CONDITIONS = [
    {"quantity": "contour/times", "excludes": 0},
    {
        "quantity": "contour",
        "where": {"optimizer.lr": 0.2},
        "less": {"optimizer.lr": 0.02},
        "below": 0,
    },
]


def write(folder: Path, k: int, width: int, seed: int, rate: float, tau: float) -> None:
    """A run that succeeds after `tau` steps, if it has as many."""
    folder.mkdir(parents=True)
    config = {
        "task": {"_target_": "seq2seq.tasks.Shift", "k": k, "length": 3 * k, "seed": seed},
        "model": {"_target_": "seq2seq.models.RNN", "hidden_size": width},
        "optimizer": {"_target_": "torch.optim.Adam", "lr": rate},
        "trainer": {"max_steps": STEPS},
        "callbacks": {"stop_at_target": {"target": 0.5}},
        "seed": seed,
        "name": "phases",
        "claim": "The boundary is a matter of time.",
        "refuted_if": CONDITIONS,
    }
    success = tau <= STEPS
    result = {
        "status": "finished",
        "steps": int(min(tau, STEPS)),
        "seconds": 1.0,
        "success": success,
        "success/step": int(tau) if success else None,
        "test/nmse": np.random.default_rng([k, width, seed, round(100 * rate)]).uniform(0.3, 0.9),
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    (folder / "result.json").write_text(json.dumps(result))


def contour(width: float, start: float) -> float:
    """The memory that takes STEPS steps in the median."""
    return (np.log(STEPS) - start + 0.9 * np.log(width)) / 0.25


@pytest.fixture(scope="module")
def sweep(tmp_path_factory):
    """Times that grow with k and fall with the width; those of the larger rate are shorter."""
    root, random = tmp_path_factory.mktemp("phases"), np.random.default_rng(0)
    for rate, start in ((0.02, 5.5), (0.2, 4.5)):
        for k in MEMORIES:
            for width in SIZES:
                for seed in range(6):
                    logs = start + 0.25 * k - 0.9 * np.log(width) + 0.3 * random.normal()
                    name = f"k={k}-w={width}-s={seed}-{rate}"
                    write(root / name, k, width, seed, rate, float(np.exp(logs)))
    return root


def test_the_contours_of_each_setting_are_those_of_the_truth(sweep):
    found = read(Sweep(sweep))
    assert [one.group for one in found] == ["lr = 0.02", "lr = 0.2"]
    for one, start in zip(found, (5.5, 4.5), strict=True):
        assert (one.memory, one.size) == ("task.k", "model.hidden_size")
        assert one.cells["runs"].tolist() == [6] * 24
        at = [contour(width, start) for width in SIZES]
        assert one.law.contour(SIZES) == pytest.approx(at, abs=1.2)
        assert one.times.contour == pytest.approx(at, abs=1.2)
        assert one.times.holds
        assert "the two agree" in one.sentence(Sweep(sweep))


def test_the_diagram_shows_every_cell_and_both_contours(sweep):
    own = Sweep(sweep)
    panel = next(p for p in figures(own, growth(own)) if p.name == "phases")
    axes = [ax for ax in panel.figure.axes if ax.get_title(loc="left")]
    assert [ax.get_title(loc="left") for ax in axes] == [
        "lr\u00a0=\u00a00.02",
        "lr\u00a0=\u00a00.2",
    ]
    for ax in axes:
        texts = [text.get_text() for text in ax.texts]
        assert len(texts) == len(MEMORIES) * len(SIZES)
        assert {"0/6", "6/6"} <= {*texts}
        assert len(ax.lines) == 2
    assert panel.data["successes"].sum() == own.table["success"].sum()


def test_conditions_on_the_contour_are_judged(sweep):
    own = Sweep(sweep)
    (verdict,) = verdicts(own, growth(own))
    assert verdict.word == "supported"
    times, moved = verdict.findings[:2], verdict.findings[2]
    assert [one.estimate.setting for one in times] == ["lr = 0.02", "lr = 0.2"]
    assert moved.estimate.setting == "lr = 0.2 less lr = 0.02"
    assert moved.estimate.low < 1 / 0.25 < moved.estimate.high
    assert moved.estimate.high - moved.estimate.low < 5
    (told,) = power(own, [], verdict)
    assert told.truth == "what was found"
    assert told.shares["supported"] > 0.5


def test_the_page_and_the_stored_numbers_have_the_diagram(sweep, tmp_path):
    page = report(sweep, store=tmp_path / "phases.json")
    assert "half of the runs succeed at delay k" in page.read_text()
    stored = json.loads((tmp_path / "phases.json").read_text())
    assert [one["group"] for one in stored["phases"]] == ["lr = 0.02", "lr = 0.2"]
    for one in stored["phases"]:
        assert [row["size"] for row in one["contour"]] == [*SIZES]
        assert all(row["low"] < row["memory"] < row["high"] for row in one["contour"])
        assert one["difference"]["low"] < one["difference"]["mean"] < one["difference"]["high"]
        assert one["budget"] == STEPS
        assert one["agree"] is True
    assert (tmp_path / "phases" / "phases.svg").stat().st_size > 0


def test_runs_that_all_succeed_have_a_diagram_without_contours(tmp_path):
    for k in MEMORIES[:3]:
        for width in SIZES:
            write(tmp_path / f"k={k}-w={width}", k, width, 0, 0.02, 10.0)
    own = Sweep(tmp_path)
    (one,) = read(own)
    assert "all 9 runs succeeded" in one.sentence(own)
    panel = next(p for p in figures(own, growth(own)) if p.name == "phases")
    assert not panel.figure.axes[0].lines


def test_a_setting_without_a_contour_leaves_the_claim_undecided(tmp_path):
    """All runs of one rate fail, and one at another rate has a single memory."""
    rng = np.random.default_rng(0)
    for seed, k, width in [(s, k, w) for s in range(4) for k in MEMORIES for w in SIZES]:
        tau = np.exp(3 + 0.25 * k - 0.9 * np.log(width) + 0.3 * rng.normal())
        write(tmp_path / f"a-{k}-{width}-{seed}", k, width, seed, 0.02, float(tau))
        write(tmp_path / f"b-{k}-{width}-{seed}", k, width, seed, 0.2, math.inf)
    write(tmp_path / "c", 4, 8, 0, 2.0, 10.0)
    own = Sweep(tmp_path)
    low = {"quantity": "contour", "below": 2.0}
    found = [*findings(own, own.table, growth(own), low)]
    assert [one.holds for one in found] == [False, None, None]
    assert "all 96 runs failed" in found[1].estimate.reason
    assert found[2].estimate.reason == "a boundary needs 3 memories and 2 sizes of numbers"
    against = low | {"where": {"optimizer.lr": 0.02}, "less": {"optimizer.lr": 0.2}}
    (one,) = findings(own, own.table, growth(own), against)
    assert one.holds is None
    assert one.estimate.setting == "lr = 0.02 less lr = 0.2"
    assert "all 96 runs failed" in one.estimate.reason
