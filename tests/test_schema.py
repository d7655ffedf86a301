"""Schemas from signatures, and the checks of composed configs."""

import pytest
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from omegaconf import OmegaConf

from seq2seq import schema, training
from seq2seq.schema import ConfigError

#: A function of a package that the project trusts for its trainer; it reads pickles.
PICKLES = "lightning.fabric.utilities.cloud_io._load"
GROUPS = ("task", "model", "objective", "optimizer", "trainer", "callbacks", "logger")


@pytest.fixture(autouse=True)
def configs():
    schema.register()
    schema.register()
    with initialize_config_dir(str(schema.CONFIGS), version_base="1.3"):
        yield


def choices(group: str) -> list[str]:
    return sorted(path.stem for path in (schema.CONFIGS / group).glob("*.yaml"))


@pytest.mark.parametrize("model", choices("model"))
def test_every_model_is_built_from_its_config(model):
    cfg = compose("train", overrides=[f"model={model}"])
    schema.check(cfg)
    built = instantiate(cfg.model, input_dim=2, output_dim=3)
    assert built.hidden_size == cfg.model.hidden_size
    assert built.num_layers == cfg.model.num_layers


@pytest.mark.parametrize(
    ("group", "choice"),
    [
        (g, c)
        for g in ("optimizer", "scheduler", "trainer", "logger", "objective")
        for c in choices(g)
    ],
)
def test_every_other_choice_passes_the_check(group, choice):
    schema.check(compose("train", overrides=[f"{group}={choice}"]))


@pytest.mark.parametrize("experiment", choices("experiment"))
def test_every_experiment_is_legal_and_states_its_claim(experiment):
    cfg = compose("train", overrides=[f"experiment={experiment}"], return_hydra_config=True)
    assert cfg.name
    assert cfg.claim
    for key in cfg.hydra.sweeper.params or {}:
        path = key.split("/")[0]
        assert OmegaConf.select(cfg, path, throw_on_missing=False) is not None, key


def test_signatures_are_read_through_reexports_without_importing():
    names = [p.name for p in schema.signature("torch.optim.SGD")]
    assert names[:2] == ["lr", "momentum"]
    assert "params" not in names
    assert {p.name for p in schema.signature("lightning.Trainer")} >= {"max_steps", "precision"}


def test_annotations_become_config_types():
    types = {p.name: p.type for p in schema.signature("seq2seq.models.RNN")}
    assert types["hidden_size"] is int
    assert types["dropout"] is float
    trainer = {p.name: p.type for p in schema.signature("lightning.Trainer")}
    assert trainer["max_epochs"] == int | None


def test_whole_numbers_given_for_rates_are_stored_as_numbers_with_a_point():
    one, other = (compose("train", overrides=[f"optimizer.lr={lr}"]) for lr in ("1", "1.0"))
    assert one.optimizer.lr == 1.0
    assert isinstance(one.optimizer.lr, float)
    assert one == other


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["+model.gian=2"], "unknown key model.gian; did you mean 'gain'?"),
        (["+optimizer.momentum=0.9"], "unknown key optimizer.momentum"),
        (["model.cell=lsmt"], "model.cell must be one of tanh, relu, linear, lstm, gru; got lsmt"),
        (["+callbacks.foo._target_=builtins.eval"], "callbacks.foo._target_=builtins.eval is not"),
        (["+callbacks.foo=1"], "callbacks.foo must be a group choice"),
        (["++task.input._target_=os.system"], "task.input._target_=os.system is not"),
        (["++model._target_=seq2seq.models.RNNN"], "did you mean 'RNN'"),
        (["++model._target_=seq2seq.tasks.Shift"], "model._target_=seq2seq.tasks.Shift is not"),
        (["++model._target_=seq2seq.models.rnn.Tensor"], "rnn.Tensor is not a class of this"),
        (["++task._target_=seq2seq.tasks.corpora.fetch"], "corpora.fetch is not a class of this"),
        (["++task._target_=seq2seq.tasks.corpora.Path"], "corpora.Path is not a class of this"),
        ([f"++task._target_={PICKLES}"], f"task._target_={PICKLES} is not"),
        (
            ["task=convolution", f"task.filter=[1,{{_target_:{PICKLES},path_or_url:x}}]"],
            f"task.filter[1]._target_={PICKLES} is not",
        ),
        (
            ["task=convolution", f"task.filter=[{{a:{{_target_:{PICKLES}}}}}]"],
            f"task.filter[0].a._target_={PICKLES} is not",
        ),
        (["++model.hidden_size=abc"], "model.hidden_size must be a whole number"),
        (["gradient_clip_val=0"], "gradient_clip_val must be positive, got 0"),
        (["seed=-1"], "seed must not be negative, got -1; set seed=0"),
        (["task.seed=-2"], "task.seed must not be negative, got -2"),
        (["threads=0"], "threads must be at least 1, got 0"),
        (["task.k=???"], "task.k has no value; add task.k=<value>"),
    ],
)
def test_what_composing_lets_through_is_refused(overrides, message):
    with pytest.raises(Exception, match=r".") as caught:
        schema.check(compose("train", overrides=["model=rnn", *overrides]))
    line = schema.explain(caught.value)
    assert message in line
    assert "\n" not in line


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["task.k=40", "task.length=32"], "k must be smaller than length, got k=40, length=32"),
        (["model=transformer", "model.num_heads=5"], "num_heads"),
        (["model.hidden_size=-4"], "hidden_size"),
        (["task=convolution", "task.filter=[]"], "filter"),
        (["optimizer.lr=-1"], "optimizer: Invalid learning rate: -1.0"),
        (["task.input.length_scale=0"], "length_scale must be positive"),
        (["callbacks.checkpoints.every_n_steps=0"], "callbacks.checkpoints.every_n_steps"),
        (["trainer.accelerator=abacus"], "trainer: You selected an invalid accelerator"),
    ],
)
def test_the_constructors_own_rules_are_told_in_one_line(overrides, message):
    with pytest.raises(ConfigError) as caught:
        training.check(compose("train", overrides=overrides))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
