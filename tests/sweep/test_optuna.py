"""`hydra/sweeper=optuna`: the search, its pruning, and going on after a kill."""

import math
import subprocess
import time
from pathlib import Path

import pytest
import shell
from hydra.core.override_parser.overrides_parser import OverridesParser

from seq2seq.runs import Run
from seq2seq.schema import ConfigError

optuna = pytest.importorskip("optuna")

TRAIN = Path(__file__).parents[2] / "train.py"
TINY = [
    "model=rnn",
    "task.length=12",
    "task.k=2",
    "task.train_size=64",
    "task.val_size=16",
    "task.test_size=16",
    "task.batch_size=8",
    "callbacks.figures=null",
    "logger=none",
    "name=search",
]
SPACE = ["-m", "optimizer.lr=tag(log, interval(1e-4, 1e-1))", "model.hidden_size=choice(2,4)"]


def start(folder: Path, *arguments: str) -> shell.Program:
    return shell.Program(shell.TRAIN, *TINY, "hydra/sweeper=optuna", *arguments, cwd=folder)


def call(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return shell.run(shell.TRAIN, *TINY, "hydra/sweeper=optuna", *arguments, cwd=folder)


def study(folder: Path) -> "optuna.Study":
    from optuna.storages.journal import JournalFileBackend, JournalStorage

    storage = JournalStorage(JournalFileBackend(str(folder / "outputs/search/study.journal")))
    return optuna.load_study(study_name=optuna.get_all_study_names(storage)[0], storage=storage)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("x=interval(0.5, 2)", optuna.distributions.FloatDistribution(0.5, 2.0)),
        (
            "x=tag(log, interval(1e-4, 1))",
            optuna.distributions.FloatDistribution(1e-4, 1, log=True),
        ),
        ("x=interval(1, 8)", optuna.distributions.FloatDistribution(1, 8)),
        ("x=tag(log, int(interval(1, 8)))", optuna.distributions.IntDistribution(1, 8, log=True)),
        ("x=2,4", optuna.distributions.CategoricalDistribution(["2", "4"])),
        ("x=choice(a, b)", optuna.distributions.CategoricalDistribution(["a", "b"])),
        ("x=range(1, 4)", optuna.distributions.CategoricalDistribution(["1", "2", "3"])),
    ],
)
def test_hydras_ranges_become_optunas(text, expected):
    from seq2seq.sweep.search import distribution

    assert distribution(OverridesParser.create().parse_override(text)) == expected


def test_a_logarithmic_choice_is_refused():
    from seq2seq.sweep.search import distribution

    override = OverridesParser.create().parse_override("x=tag(log, choice(1, 2))")
    with pytest.raises(ConfigError, match="is for interval"):
        distribution(override)


def test_it_searches_for_the_lowest_error_and_ends_the_others(tmp_path):
    arguments = ["trainer.max_steps=30", "trainer.val_check_interval=10"]
    arguments += ["hydra.sweeper.n_trials=6", "hydra.sweeper.startup_trials=2"]
    refused = call(tmp_path, *arguments)
    assert refused.returncode == 2
    assert "nothing to search" in refused.stderr

    dry = call(tmp_path, *SPACE, *arguments, "dry_run=true")
    assert dry.returncode == 0, dry.stderr
    assert "6 runs as this one, but for optimizer.lr" in dry.stdout
    assert not (tmp_path / "outputs").exists()

    done = call(tmp_path, *SPACE, *arguments)
    assert done.returncode == 0, done.stderr
    trials = study(tmp_path).trials
    assert len(trials) == 6
    for trial in trials:
        result = Run(tmp_path / trial.user_attrs["folder"]).result
        if trial.state.name == "PRUNED":
            assert (result["status"], result["pruned"]) == ("stopped", True)
            assert result["steps"] < 30
            assert list(trial.intermediate_values) == list(range(10, result["steps"] + 1, 10))
        else:
            assert result["status"] == "finished"
            assert result["val/nmse"] == trial.value
    assert len({trial.params["optimizer.lr"] for trial in trials}) == 6
    best = min((t.value for t in trials if t.value is not None), default=math.inf)
    first = next(
        line.split() for line in done.stdout.splitlines() if " lr=" in line and "trial " not in line
    )
    assert float(first[1]) == pytest.approx(best, rel=1e-3)


def test_models_of_text_are_judged_by_their_loss(tmp_path):
    (tmp_path / "text.txt").write_text("It was the best of times, it was the worst.\n" * 60)
    arguments = ["task=text", "task.path=text.txt", "task.length=16", "task.batch_size=8"]
    arguments += ["hydra/sweeper=optuna", "hydra.sweeper.n_trials=2", "trainer.max_steps=6"]
    arguments += ["model=rnn", *SPACE, "name=search", "logger=none"]
    done = shell.run(shell.TRAIN, *arguments, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    for trial in study(tmp_path).trials:
        assert trial.value == Run(tmp_path / trial.user_attrs["folder"]).result["val/loss"]


@pytest.mark.slow
def test_a_killed_study_goes_on_with_the_run_it_was_at(tmp_path):
    arguments = [*SPACE, "trainer.max_steps=1500", "hydra.sweeper.n_trials=3"]
    arguments += ["callbacks.checkpoints.every_n_steps=50"]
    with start(tmp_path, *arguments) as process:
        deadline = time.monotonic() + 240
        begun: set[Path] = set()
        while len(begun) < 2:
            begun = {path.parents[1] for path in tmp_path.glob("outputs/*/*/checkpoints/*.ckpt")}
            assert time.monotonic() < deadline
            time.sleep(0.02)
        process.kill()
    (cut,) = (folder for folder in begun if not Run(folder).result)
    before = study(tmp_path).trials[1]
    assert before.state.name == "RUNNING"
    done = call(tmp_path, *arguments)
    assert done.returncode == 0, done.stderr
    assert f"of {cut.relative_to(tmp_path)}" in done.stderr  # continuing from step ... of ...
    after = study(tmp_path).trials
    assert [trial.state.name for trial in after] == ["COMPLETE"] * 3
    assert after[1].params == before.params
