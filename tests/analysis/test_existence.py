"""Whether a solution exists: bounds against enumeration and simulation, and the three words."""

import itertools
import json
import math

import numpy as np
import pytest
import torch
import yaml
from composed import composed
from test_report import write_run

from seq2seq.analysis.existence import Existence, alike, bounds, existence
from seq2seq.analysis.report import Sweep, growth, numbers
from seq2seq.analysis.report.page import as_json, content
from seq2seq.analysis.report.parts import parts
from seq2seq.analysis.report.tables import existences
from seq2seq.analysis.report.unsolved import Unsolved, unsolved
from seq2seq.build import build_model, build_task
from seq2seq.runs import resolved
from seq2seq.schema import CONFIGS
from seq2seq.tasks import (
    AR1,
    GP,
    MQAR,
    Convolution,
    CopyMemory,
    GroupWord,
    Parity,
    Reconstruct,
    Shift,
    Signs,
    White,
)
from seq2seq.theory.limits import least_losses, unbounded

MODELS = sorted(path.stem for path in (CONFIGS / "model").glob("*.yaml"))

# ------------------------------------------------------------------------------------- bounds


@pytest.mark.parametrize("values", [3, 4])
def test_no_encoder_does_better_than_its_bits_allow(values):
    """All ways to put one of M values into two states, read in the best way."""
    entropies, accuracies = [], []
    for code in itertools.product((0, 1), repeat=values):
        counts = np.bincount(code, minlength=2)
        kept = counts[counts > 0]
        entropies.append(float(kept @ np.log(kept)) / values)
        accuracies.append(len(kept) / values)
    loss, accuracy = least_losses(1, values, math.log2(values), 1.0)
    assert loss <= min(entropies) + 1e-12
    assert max(accuracies) <= accuracy + 1e-12
    if values == 4:
        assert loss == pytest.approx(min(entropies))


def test_with_enough_bits_nothing_is_lost_and_with_none_all_is_guessed():
    assert least_losses(8, 32, 40.0, 40.0) == (0.0, 1.0)
    loss, accuracy = least_losses(8, 32, 40.0, 0.0)
    assert (loss, accuracy) == (pytest.approx(math.log(32)), pytest.approx(1 / 32))
    one_bit_missing = least_losses(8, 32, 40.0, 39.0)
    assert one_bit_missing[0] == pytest.approx(math.log(2) / 8)


def least_squares(task, process, window):
    """The error of the best linear answers that may know the time, and the mean square of y."""
    x = process.sample(20_000, task.length, 1, torch.Generator().manual_seed(0)).double()
    y = task.targets(x)
    last = y.shape[1] == 1
    errors = []
    for t in range(task.length - 1 if last else 0, task.length):
        seen, wanted = x[:, max(0, t + 1 - window) : t + 1, 0], y[:, 0 if last else t]
        weights = torch.linalg.lstsq(seen, wanted, driver="gelsd").solution
        errors.append(float((wanted - seen @ weights).square().mean()))
    return np.mean(errors), float(y.square().mean())


@pytest.mark.parametrize("window", [1, 3, 8])
@pytest.mark.parametrize("process", [White(), GP(length_scale=1.0), Signs(), AR1()])
def test_the_best_within_a_window_is_that_of_least_squares(process, window):
    for task in (
        Shift(k=8, length=20, input=process),
        Convolution(filter=[0.3, 1, -2, 0, 1, 0, 0, 0, 0.7], length=20, input=process),
        Reconstruct(m=9, length=20, input=process),
    ):
        best, (found, power) = task.best_within(window), least_squares(task, process, window)
        if isinstance(process, GP) and window == 8:  # so smooth that rounding hides what it tells
            assert best == {}
            continue
        assert best["loss"] == pytest.approx(found, rel=0.03, abs=1e-6)
        assert best["nmse"] == pytest.approx(found / power, rel=0.04, abs=1e-6)
        assert task.best_within(9) == {}


@pytest.mark.parametrize("window", [1, 2, 4])
@pytest.mark.parametrize(
    "task", [Parity(length=[2, 5]), GroupWord(group="Z3", length=5), Parity(length=4)]
)
def test_the_best_within_a_window_is_that_of_all_words(task, window):
    """The most frequent answer to each window, over all words of all lengths."""
    told = []
    low, high = task.lengths
    tokens = 2 if isinstance(task, Parity) else 3
    asked = (
        [(n, [n]) for n in range(low, high + 1)]
        if isinstance(task, Parity)
        else [(high, range(1, high + 1))]
    )
    for length, steps in asked:
        words = torch.tensor([*itertools.product(range(tokens), repeat=length)])
        answers = task.targets(words)
        for t in steps:
            seen = words[:, max(0, t - window) : t].tolist()
            groups = {}
            for key, answer in zip(map(tuple, seen), answers[:, t - 1].tolist(), strict=True):
                groups.setdefault(key, []).append(answer)
            right = sum(max(np.bincount(found)) for found in groups.values()) / len(words)
            told.append(right)
    best = task.best_within(window)
    expected = float(np.mean(told))
    assert best.get("accuracy", 1.0) == pytest.approx(expected)


def test_a_shift_register_is_as_small_as_it_can_be():
    task = Shift(k=5, length=200, input=White())
    assert task.best_with_states(6)["nmse"] < 1e-12
    for states in (1, 3, 5):
        least = task.best_with_states(states)["nmse"]
        assert least == pytest.approx(1 - states / 6, abs=0.03)
    assert Shift(k=5, input=GP()).best_with_states(1) == {}
    reconstruct = Reconstruct(m=8)
    assert reconstruct.best_with_states(8)["loss"] == 0
    references = reconstruct.reference_losses()
    assert reconstruct.best_with_states(4)["loss"] == pytest.approx(references["order_4"])


def test_recall_needs_bits():
    """Eight of 32 values without repetition are log2(32·31⋯25) bits."""
    task = MQAR(V=64, K=8)
    entropy = math.log2(math.perm(32, 8))
    assert task.best_with_bits(entropy) == {}
    assert task.best_with_bits(entropy - 8)["loss"] == pytest.approx(math.log(2))
    copy = CopyMemory(T=20)
    assert copy.best_with_bits(30) == {}
    assert copy.best_with_bits(0)["loss"] == pytest.approx(copy.reference_losses()["memoryless"])
    assert copy.best_within(30)["accuracy"] == copy.reference_accuracies()["memoryless"]
    assert copy.best_within(31) == {}


# ------------------------------------------------------------------- kinds of recurrence


@pytest.mark.parametrize(
    ("group", "nonnegative", "real", "diagonal", "layers", "sources"),
    [
        ("Z2", True, True, True, 1, ["theorem 1"]),
        ("Z2", False, True, True, 1, []),
        ("Z4", False, True, True, 1, []),
        ("Z3", True, True, True, 1, ["theorem 2"]),
        ("Z6", False, True, True, 3, ["theorem 2"]),
        ("Z6", False, True, False, 3, []),
        ("S3", False, True, False, 1, ["theorem 2"]),
        ("S3", False, False, True, 1, ["Shakerinava"]),
        ("S3", False, False, True, 2, []),
        ("S4", True, True, False, 2, ["theorem 1"]),
        ("A5", False, False, True, 1, ["Shakerinava"]),
        ("A5", False, False, True, 3, ["Merrill"]),
        ("S5", False, False, False, 1, []),
    ],
)
def test_what_is_known_of_kinds_of_recurrence(group, nonnegative, real, diagonal, layers, sources):
    machine = GroupWord(group=group).machine
    said = [*unbounded(machine, nonnegative, real, diagonal, layers)]
    assert all(source in one for source, one in zip(sources, said, strict=True))
    assert all("unbounded length" in one for one in said)


@pytest.mark.parametrize("name", MODELS)
@torch.no_grad()
def test_a_model_that_claims_real_or_nonnegative_eigenvalues_has_them(name):
    cfg = composed("task=parity", f"model={name}", "model.hidden_size=8")
    task = build_task(cfg)
    chosen = cfg.model.get("delta") or cfg.model.get("gate") not in ("none", "fixed")
    for given in [[0, 1], [-1, 1]] if "eigenvalues" in cfg.model and chosen else [None]:
        if given:
            cfg.model.eigenvalues = given
        inner = build_model(cfg.model, task).model
        if not inner.has_real_eigenvalues:
            assert not inner.has_nonnegative_eigenvalues
            continue
        for module in inner.modules():  # far from where training starts
            if isinstance(module, torch.nn.Linear):
                module.weight.mul_(5)
        for spectrum in inner.spectra(torch.randn(3, 20, inner.input_dim)):
            assert spectrum.imag.abs().max() < 1e-3
            assert spectrum.real.min() > -1e-3 or not inner.has_nonnegative_eigenvalues


@pytest.mark.parametrize(
    ("overrides", "nonnegative", "diagonal"),
    [
        (["model=mamba"], True, False),
        (["model=mingru"], True, True),
        (["model=mingru", "model.eigenvalues=[-1,1]"], False, True),
        (["model=gla"], True, True),
        (["model=retnet"], False, True),
        (["model=deltanet"], True, False),
        (["model=gated_deltanet"], True, False),
        (["model=deltaproduct", "model.eigenvalues=[0,1]"], True, False),
        (["model=deltaproduct", "model.eigenvalues=[0,1]", "model.householders=3"], False, False),
        (["model=lru"], False, True),
        (["model=diagonal_rnn", "model.spectrum=real"], True, True),
        (["model=lstm"], False, False),
        (["model=slstm"], False, False),
    ],
)
def test_models_say_how_they_advance_their_state(overrides, nonnegative, diagonal):
    cfg = composed("task=parity", *overrides)
    model = build_model(cfg.model, build_task(cfg))
    assert model.has_nonnegative_eigenvalues == nonnegative
    assert model.is_diagonal == diagonal


# ---------------------------------------------------------------------------------- the words

PARITY = ("task=parity", "task.length=[3,40]")
WHITE = ("task=shift", "task/input=white", "task.length=200")


@pytest.mark.parametrize(
    ("overrides", "metric", "target", "word", "reason"),
    [
        (
            (*PARITY, "model=tcn", "model.num_layers=2"),
            *("val/accuracy", 0.99, "impossible", "latest 13 inputs alone"),
        ),
        (
            (*WHITE, "model=linear_rnn", "model.hidden_size=4"),
            *(
                "val/nmse",
                0.01,
                "impossible",
                "linear and keeps 4 numbers, so that nmse is",
            ),
        ),
        (
            (*WHITE, "model=tcn", "model.num_layers=1"),
            *("val/nmse", 0.5, "impossible", "latest 5 inputs alone, so that nmse is at least 1,"),
        ),
        (
            ("task=mqar", "task.K=8", "model=rnn", "model.hidden_size=1"),
            *("val/accuracy", 0.99, "impossible", "1 number hold 32 bits"),
        ),
        (
            (*WHITE, "model=linear_rnn", "model.hidden_size=9"),
            *("val/nmse", 0.01, "exists but was not found", "weights set by hand reach nmse 0"),
        ),
        (
            (*PARITY, "model=deltanet", "model.eigenvalues=[-1,1]"),
            *("val/scaled", 0.9, "exists but was not found", "by hand reach scaled 1"),
        ),
        (
            (*PARITY, "model=deltanet"),
            *("val/accuracy", 0.99, "not decided", "(Grazzi et al. 2025, theorem 1)"),
        ),
        ((*PARITY, "model=transformer"), "val/accuracy", 0.99, "not decided", "Transformer"),
        ((*WHITE, "model=lstm"), "val/nmse", 0.01, "not decided", "model.cell=linear or relu"),
        (("task=narma", "model=lstm"), "val/nmse", 0.01, "not decided", "known for the task"),
    ],
)
def test_each_word_where_it_is_due(overrides, metric, target, word, reason):
    found = existence(composed(*overrides), metric, target)
    assert (found.word, reason in found.sentence) == (word, True), found.sentence


def test_a_solution_of_another_run_counts_and_one_beyond_a_bound_does_not():
    cfg = composed(*PARITY, "model=transformer")
    found = existence(cfg, "val/accuracy", 0.99, ["2 of 8 runs found one"], "within a year")
    assert found.word == "exists but was not found"
    assert found.sentence == "2 of 8 runs found one; within a year"
    none = composed(*PARITY, "model=tcn", "model.num_layers=1")
    assert existence(none, "val/accuracy", 0.6, ["x"]).word == "impossible"


def test_a_model_from_elsewhere_is_not_decided():
    cfg = composed(*PARITY, "model=tcn")
    task = build_task(cfg)
    assert [*bounds(task, torch.nn.Linear(1, 1))] == []


def test_runs_are_alike_that_differ_in_their_training():
    one = {"task": {"k": 3, "seed": 0}, "model": {"width": 4, "gain": 1.0, "dropout": 0.0}}
    other = {"task": {"k": 3, "seed": 1, "curriculum": {}}, "model": {**one["model"], "gain": 2.0}}
    assert alike(one, other, ("gain",))
    assert not alike(one, other)
    assert not alike(one, {**one, "task": {"k": 4}})


# --------------------------------------------------------------------------------- the report


AIM = ("callbacks.stop_at_target.target=0.01",)


def write_sweep(root, seeds):
    """Linear networks on a shift of white noise: too small, large enough, started well or not."""
    for hidden_size, gain, k, seed in itertools.product(
        (4, 16), (0.5, 1.0), (6, 8, 10), range(seeds)
    ):
        tau = round(math.exp(2 + 0.4 * k + 0.02 * seed))
        success = hidden_size == 16 and gain == 1.0 and tau < 250
        folder = write_run(
            *(root / f"gain={gain}", k, seed, 90, 100, hidden_size),
            **{
                "success": success,
                "success/step": tau if success else None,
                "success/metric": "val/nmse",
                "success/threshold": 0.01,
            },
        )
        told = (f"task.k={k}", f"model.hidden_size={hidden_size}", f"model.gain={gain}")
        config = resolved(composed(*WHITE, "model=linear_rnn", *AIM, *told, f"seed={seed}"))
        (folder / "config.yaml").write_text(yaml.safe_dump(config))
        result = json.loads((folder / "result.json").read_text())
        result["steps"] = min(tau, 250)
        (folder / "result.json").write_text(json.dumps(result))


def test_a_report_says_of_each_failing_setting_whether_a_solution_exists(tmp_path):
    write_sweep(tmp_path, 1)
    sweep = Sweep(tmp_path)
    found = {one.label: one for one in unsolved(sweep, growth(sweep))}
    words = {label: one.existence.word for label, one in found.items()}
    assert words == {
        f"gain = {gain}, hidden_size = {size}, k = {k}": word
        for size, gain, word, ks in [
            (4, 0.5, "impossible", (6, 8, 10)),
            (4, 1, "impossible", (6, 8, 10)),
            (16, 0.5, "exists but was not found", (6, 8, 10)),
            (16, 1, "exists but was not found", (10,)),
        ]
        for k in ks
    }
    started = found["gain = 0.5, hidden_size = 16, k = 8"].existence.sentence
    assert "the same model found one with gain = 1, hidden_size = 16, k = 8" in started
    late = found["gain = 1, hidden_size = 16, k = 10"]
    assert (late.solved, late.runs) == (0, 1)
    every = [*parts(sweep)]
    said = content(sweep, every[0].fits, [], every[0].unsolved)
    rows = as_json(every, said)["tables"]["unsolved"]
    assert {row["setting"]: row["a solution"] for row in rows} == words
    assert rows[0]["why"] == found[rows[0]["setting"]].existence.sentence
    numbers.write(tmp_path / "numbers.json", every, [], {})
    stored = json.loads((tmp_path / "numbers.json").read_text())["rows"]
    assert {row["setting"]: row["existence"] for row in stored if "existence" in row} == words


@pytest.mark.parametrize(
    ("word", "solved", "said"),
    [
        ("exists but was not found", 0, "exists but was not found"),
        ("exists but was not found", 1, "exists, and not every run found it"),
        ("impossible", 1, "impossible"),
        ("not decided", 0, "not decided"),
    ],
)
def test_what_some_runs_found_is_not_said_to_be_missing(word, solved, said):
    one = Unsolved("k = 4", solved, 2, Existence(word, "a reason"))
    assert existences([one]).rows == [("k = 4", f"{solved} of 2", said, "a reason")]


def test_where_a_law_is_fitted_it_says_how_long_a_solution_takes(tmp_path):
    write_sweep(tmp_path, 2)
    sweep = Sweep(tmp_path)
    fits = growth(sweep)
    (fit,) = [fit for fit in fits if fit.laws]
    told = {one.label: one.existence.sentence for one in unsolved(sweep, fits)}
    sentence = told["gain = 1, hidden_size = 16, k = 10"]
    assert f"by the {fit.laws.best.kind} law half of the runs take" in sentence
    assert not any("by the" in other for other in told.values() if other is not sentence)
