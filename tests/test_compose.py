"""Configs composed from what a sweep's jobs share are those that Hydra composes for each."""

import re
import shutil
from pathlib import Path

import pytest
from hydra import compose as compose_alone
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.utils import setup_globals
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import OmegaConf

from seq2seq import schema
from seq2seq.compose import Composer, compose
from seq2seq.runs import chosen, trajectory_hash
from seq2seq.schema import ConfigError
from seq2seq.sweep.sweeper import expand

JOBS = [
    ["task.k=4", "seed=0"],
    ["task.k=5", "seed=1", "hydra.sweep.subdir='x'"],
    ["model=rnn", "task/input=white", "task.input.scale=2", "task.k=6"],
    ["model=rnn", "task/input=white", "task.input.scale=3", "~callbacks.figures"],
    ["model.hidden_size=4", "model={hidden_size:3}", "model=rnn"],
    ["experiment=plateau_shift", "+trainer.gradient_clip_val=1", "task.k=3"],
    ["task.filter=[1,0.5]", "task=convolution", "optimizer=sgd", "optimizer.lr=0.1"],
]


@pytest.fixture
def composer():
    schema.register()
    setup_globals()
    with initialize_config_dir(str(schema.CONFIGS), version_base="1.3"):
        loader = GlobalHydra.instance().config_loader()
        config = loader.load_configuration("train", ["trainer.max_steps=7"], RunMode.MULTIRUN)
        yield Composer(loader, config)


def test_every_job_has_the_config_that_hydra_gives_it(composer):
    expected = [composer.loader.load_sweep_config(composer.config, job) for job in JOBS]
    for job, config in [*zip(JOBS, expected, strict=True)] * 2:
        assert OmegaConf.to_yaml(composer(job)) == OmegaConf.to_yaml(config), job


def test_a_config_composed_again_is_that_of_hydra(composer, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    expected = [compose_alone("train", job, return_hydra_config=True) for job in JOBS]
    for job, config in [*zip(JOBS, expected, strict=True)] * 2:
        assert OmegaConf.to_yaml(compose(job)) == OmegaConf.to_yaml(config), job


def test_a_config_follows_the_files_that_it_comes_from(monkeypatch, tmp_path):
    configs = Path(shutil.copytree(schema.CONFIGS, tmp_path / "configs"))
    monkeypatch.setattr(schema, "CONFIGS", configs)
    with initialize_config_dir(str(configs), version_base="1.3"):
        assert compose(["model=rnn"]).model.cell == "tanh"
        file = configs / "model" / "rnn.yaml"
        file.write_text(file.read_text().replace("cell: tanh", "cell: relu"))
        assert compose(["model=rnn"]).model.cell == "relu"


@pytest.mark.parametrize("job", [["task.k=4,8"], ["model=rnm"], ["task.k='"], ["task.delay=3"]])
def test_what_cannot_be_composed_is_refused_as_by_hydra(composer, job):
    with pytest.raises(HydraException) as ours:
        compose(job)
    with pytest.raises(HydraException) as theirs:
        compose_alone("train", job, return_hydra_config=True)
    assert str(ours.value) == str(theirs.value)


#: Jobs that share a config, changed from one to the next, and some that cannot.
SWEPT = [
    *JOBS,
    ["trainer.max_epochs=2", "task.batch_size=10", "task.k=3"],
    ["trainer.max_epochs=3", "task.batch_size=20", "task.k=3"],
    [
        "callbacks.figures=null",
        "+callbacks.own._target_=seq2seq.callbacks.Figures",
        "optimizer.lr=1",
    ],
    [
        "callbacks.figures=null",
        "+callbacks.own._target_=seq2seq.callbacks.Figures",
        "optimizer.lr=1e-4",
    ],
    ["callbacks.figures=null", "callbacks.figures=null", "task.k=1"],
    ["paths.outputs=/a", "seed=1", "task.seed=${threads}"],
    ["paths.outputs='/b c'", "seed=2", "task.seed=${threads}"],
    ["paths.outputs='/b c'", "seed=3", "task.seed=7"],
    ["name=${hydra.job.config_name}", "seed=5"],
    ["name=${hydra.job.config_name}", "seed=6"],
    ["model=rnn", "model.cell=gru", "model.hidden_size=4"],
    ["model=rnn", "model.cell=tanh", "model.hidden_size=???"],
]


def test_a_job_is_checked_on_the_values_that_hydra_gives_it(composer):
    expected = [composer.loader.load_sweep_config(composer.config, job) for job in SWEPT]
    both = [*zip(SWEPT, expected, strict=True)]
    for job, config in [*both, *reversed(both)]:
        found = dict(composer.plain(job))
        assert found.pop("command") == {"choices": chosen(config.hydra)}
        assert repr(found) == repr(schema.plain(config)), job
        assert trajectory_hash(found) == trajectory_hash(config), job


def test_values_that_are_refused_leave_the_jobs_after_them_as_they_are(composer):
    def plain(seed, k):
        return composer.plain([f"seed={seed}", f"task.k={k}"])

    first = plain(0, 4)
    with pytest.raises(HydraException, match="many"):
        plain(1, "many")
    assert repr(plain(0, 4)) == repr(first)
    assert plain(2, 4)["model"] is plain(3, 5)["model"]
    assert plain(2, 4)["task"]["seed"] == 2


def test_files_are_merged_once_for_the_same_choices(composer, monkeypatch):
    composer(["model=rnn", "seed=0"])
    monkeypatch.setattr(composer.loader, "load_sweep_config", None)
    assert composer(["model=rnn", "seed=1"]).seed == 1


@pytest.mark.parametrize("job", [["task.delay=3"], ["task.k=many"], ["model=rnm"]])
def test_what_hydra_refuses_is_refused(composer, job):
    with pytest.raises(HydraException):
        composer(job)


def test_a_mapping_is_merged_beside_a_choice_of_its_group(composer):
    parser = OverridesParser.create(config_loader=composer.loader)
    overrides = parser.parse_overrides(
        ["model={hidden_size:3}", "model={num_layers:2}", "model=rnn"]
    )
    ((*job,),) = expand(overrides)
    model = composer(job).model
    assert (model.cell, model.hidden_size, model.num_layers) == ("tanh", 3, 2)


@pytest.mark.parametrize(
    "sweep", ["task.k=range(1,0)", "model=glob(x*)", "seed=range(0,1000000000)"]
)
def test_a_sweep_of_no_or_endless_jobs_is_refused(composer, sweep):
    parser = OverridesParser.create(config_loader=composer.loader)
    with pytest.raises(ConfigError, match=re.escape(sweep)):
        expand(parser.parse_overrides([sweep]))
