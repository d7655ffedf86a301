"""Sweeps over all choices of a group."""

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import shell
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra

from hydra_plugins.seq2seq_sweeper import RunSweeper
from seq2seq import schema
from seq2seq.sweep.sweeper import expand


@pytest.mark.parametrize(
    ("group", "pattern"), [("model", "*"), ("model", "[l*,*_schema]"), ("task/filter", "*")]
)
def test_globs_pick_choices_and_no_schemas(group, pattern, monkeypatch):
    schema.register()
    monkeypatch.setattr(sys, "argv", ["train.py", "-m"])
    sweeper, override = RunSweeper({group: f"glob({pattern})"}), f"{group}=glob({pattern})"
    with initialize_config_dir(str(schema.CONFIGS), version_base="1.3"):
        sweeper.hydra_context = SimpleNamespace(
            config_loader=GlobalHydra.instance().config_loader()
        )
        for arguments in ([], [override]):
            picked = [one.partition("=")[2] for (one,) in expand(sweeper._parse(arguments, True))]
            known = schema.choices()[group]
            assert picked == [name for name in known if "l*" not in pattern or name[0] == "l"]


EXPERIMENT = """\
# @package _global_
name: {name}
claim: None is made.
hydra: {{sweeper: {{params: {{task.k: "{k}", seed: "range(2)"}}}}}}
"""


def test_several_experiments_have_their_own_sweeps(tmp_path):
    """A folder of them, picked by a pattern: the jobs of each, and none of what they share."""
    folder = tmp_path / "conf" / "experiment" / "group"
    folder.mkdir(parents=True)
    for name, k in (("one", "2,3"), ("two", "4"), ("_base", "5")):
        (folder / f"{name}.yaml").write_text(EXPERIMENT.format(name=f"group/{name}", k=k))
    quick = ["model.hidden_size=4", "trainer.max_steps=2", "callbacks.figures=null", "logger=none"]
    quick += ["task.train_size=32", "task.val_size=8", "task.test_size=8", "--config-dir=conf"]
    command = [shell.TRAIN, "-m", "experiment=glob(group/*)", *quick, "--json"]
    done = shell.run(*command, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    told = [(Path(job["folder"]).parent.name, job["job"]) for job in json.loads(done.stdout)]
    assert told == [
        ("one", "one/k=2-seed=0"),
        ("one", "one/k=2-seed=1"),
        ("one", "one/k=3-seed=0"),
        ("one", "one/k=3-seed=1"),
        ("two", "two/k=4-seed=0"),
        ("two", "two/k=4-seed=1"),
    ]
    again = json.loads(shell.run(*command, cwd=tmp_path).stdout)
    assert all(job["already_done"] for job in again)
    alone = shell.run(shell.TRAIN, "-m", "experiment=group/one", *quick, "--json", cwd=tmp_path)
    assert [job["already_done"] for job in json.loads(alone.stdout)] == [True] * 4


@pytest.mark.parametrize(
    ("experiments", "said"),
    [
        ("plateau_shift,hparams_search", "experiment=hparams_search has a sweeper of its own"),
        ("plateau_shift,atlas/parit", "experiment=atlas/parit: no such experiment; did you mean"),
        ("glob(nothing*)", "experiment=glob(nothing*) has no values; correct it"),
    ],
)
def test_experiments_that_cannot_be_swept_together_are_one_line(experiments, said, tmp_path):
    done = shell.run(shell.TRAIN, "-m", f"experiment={experiments}", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith(f"train.py: {said}")
    assert done.stderr.count("\n") == 1
    assert not [*tmp_path.iterdir()]
