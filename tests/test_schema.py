"""Schemas from signatures, and the checks of composed configs."""

import inspect
import math
import re
import shlex
import sys

import pytest
import shell
from composed import composed
from hydra.errors import OverrideParseException
from hydra.utils import get_object, instantiate
from omegaconf import OmegaConf

from seq2seq import schema, training
from seq2seq.schema import ConfigError
from seq2seq.schema.criteria import METRICS

ESCAPE = "callbacks.stop_after_escape"
#: A function of a package that the project trusts for its trainer; it reads pickles.
PICKLES = "lightning.fabric.utilities.cloud_io._load"
GROUPS = ("task", "model", "objective", "optimizer", "trainer", "callbacks", "logger")


def choices(group: str) -> list[str]:
    return sorted(path.stem for path in (schema.CONFIGS / group).glob("*.yaml"))


@pytest.mark.parametrize("model", choices("model"))
def test_every_model_is_built_from_its_config(model):
    cfg = composed(f"model={model}")
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
    schema.check(composed(f"{group}={choice}"))


def test_criteria_may_be_about_the_metrics_of_every_task():
    targets = {composed(f"task={name}").task["_target_"] for name in schema.choices()["task"]}
    every = [get_object(target).metric_names for target in targets]
    # Of other tasks it is a property, which gives loss and nmse, or loss and accuracy.
    named = {one for names in every if isinstance(names, tuple) for one in names}
    assert {"scaled", "perplexity"} <= named <= {*METRICS}


@pytest.mark.parametrize("experiment", schema.choices()["experiment"])
def test_every_experiment_is_legal_and_states_its_claim(experiment):
    cfg = composed(f"experiment={experiment}", hydra=True)
    assert cfg.name
    assert cfg.claim
    assert cfg.refuted_if
    schema.check(cfg)
    for key in cfg.hydra.sweeper.params or {}:
        path = key.split("/")[0]
        assert OmegaConf.select(cfg, path, throw_on_missing=False) is not None, key


def registered() -> list[str]:
    """Every class that a config of the project names."""
    texts = [path.read_text() for path in schema.CONFIGS.rglob("*.yaml")]
    targets = {name for text in texts for name in re.findall(r"_target_:\s*([\w.]+)", text)}
    return sorted(name for name in targets if not name.startswith("hydra_plugins."))


@pytest.mark.parametrize("target", registered())
def test_signatures_from_source_are_those_that_python_tells(target):
    told = inspect.signature(get_object(target)).parameters.values()
    variable = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    told = [p for p in told if p.kind not in variable and p.name not in schema.RUN_TIME]
    read = schema.signature(target)
    assert [p.name for p in read] == [p.name for p in told]
    for ours, theirs in zip(read, told, strict=True):
        if ours.default is schema.UNKNOWN:  # read from the environment
            assert (target.rsplit(".")[-1], ours.name) == ("MLFlowLogger", "tracking_uri")
        elif ours.default is schema.NO_DEFAULT:
            assert theirs.default is inspect.Parameter.empty
        elif repr(theirs.default) != "<factory>":
            assert ours.default == theirs.default
            assert type(ours.default) is type(theirs.default)


SOURCE = """
import abc
import dataclasses
import math
from dataclasses import KW_ONLY, dataclass, field
from typing import ClassVar, Optional, Union

import torch
from torch import nn

import seq2seq.models as models
from seq2seq.theory.kernels import Exponential

SIZES = (4, 2 * 4)
DEPTH: int = 2
TWICE = 1
TWICE = 2


@dataclass
class Base(abc.ABC):
    kind: ClassVar[str] = "base"
    length: int
    rate: float = -math.inf
    hidden: int = field(default=3, init=False)
    sizes: list[int] = field(default_factory=lambda: [1, 2])
    _: KW_ONLY
    seed: int = 7


@dataclass(kw_only=True)
class Derived(Base):
    length: int = 64
    phase: float = 2 * math.pi / 3
    names: dict = dataclasses.field(default_factory=dict)
    late: Optional[int] = None


class Plain(Derived):
    length = 5
    changes_course = False


class Own(models.RNN):
    def __init__(
        self,
        input_dim: int,
        output_dim: int,
        hidden_size: int = SIZES[0] if False else 4,
        num_layers: int = DEPTH,
        sizes: tuple[int, ...] = SIZES,
        far: float = float("inf"),
        root: float = math.sqrt(2) - 1,
        twice: int = TWICE,
        call=torch.tanh,
        flag: Union[bool, None] = not True,
    ) -> None:
        super().__init__(input_dim, output_dim, hidden_size=4, num_layers=num_layers)
        self.call, self.sizes = call, sizes


class Inherits(models.LRU):
    pass


class Bare(nn.Module):
    pass


class Shut(nn.Module):
    def __init__(self, width: int = 3) -> None:
        super().__init__()


class Open(Own):
    def __init__(self, **others) -> None:
        super().__init__(**others)
"""


@pytest.fixture
def outside(tmp_path, monkeypatch):
    """A module from outside and, for its models, YAMLs that list their schema first."""
    (tmp_path / "from_outside.py").write_text(SOURCE)
    monkeypatch.syspath_prepend(str(tmp_path))
    folder = tmp_path / "conf" / "model"
    folder.mkdir(parents=True)
    for name in ("Own", "Inherits", "Bare", "Shut", "Open"):
        text = f"defaults: [{name.lower()}_schema, _self_]\n_target_: from_outside.{name}\n"
        (folder / f"{name.lower()}.yaml").write_text(text)
    yield tmp_path
    for cached in ("_find", "all_parameters", "class_attribute"):
        getattr(schema.signatures, cached).cache_clear()
    schema.component_schema.cache_clear()
    sys.modules.pop("from_outside", None)


@pytest.mark.parametrize("name", ["Base", "Derived", "Plain", "Own", "Inherits"])
def test_dataclasses_and_constants_are_read_as_python_makes_them(name, outside):
    told = inspect.signature(get_object(f"from_outside.{name}")).parameters
    read = {p.name: p.default for p in schema.signature(f"from_outside.{name}")}
    assert list(read) == [key for key in told if key not in schema.RUN_TIME]
    unknown = {key for key, default in read.items() if default is schema.UNKNOWN}
    assert unknown == ({"hidden_size", "twice", "call", "flag"} if name == "Own" else set())
    for key, default in read.items():
        if repr(told[key].default) == "<factory>":
            assert default == {"sizes": [1, 2], "names": {}}[key]
        elif default is schema.NO_DEFAULT:
            assert told[key].default is inspect.Parameter.empty
        elif default is not schema.UNKNOWN:
            assert default == told[key].default


def test_what_a_class_says_of_itself_is_read_through_those_it_is_derived_from(outside):
    assert schema.class_attribute("from_outside.Plain", "changes_course", True) is False
    assert schema.class_attribute("from_outside.Plain", "seed", None) == 7
    assert schema.class_attribute("from_outside.Derived", "changes_course", True) is True
    assert schema.class_attribute("lightning.pytorch.callbacks.Timer", "changes_course", 3) == 3


def ask(outside, *overrides):
    path = f"hydra.searchpath=[file://{outside}/conf]"
    return training.configure([path, "allow=[from_outside]", *overrides])


def test_a_default_that_the_source_does_not_tell_is_the_constructors(outside):
    cfg = ask(outside, "model=own")
    assert cfg.model.num_layers == 2
    assert cfg.model.far == math.inf
    assert "call" not in cfg.model
    assert "hidden_size" not in cfg.model
    model = instantiate(cfg.model, input_dim=1, output_dim=1)
    assert model.call is get_object("torch.tanh")
    assert model.sizes == [4, 8]
    assert ask(outside, "model=own", "model.call=3").model.call == 3


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (
            ["model=own", "model.num_layer=3"],
            "unknown key model.num_layer; did you mean 'model.num_layers'",
        ),
        (["model=own", "model.num_layers=a"], "model.num_layers must be a whole number, got a"),
        (
            ["model=own", "model.num_layers=null"],
            "model.num_layers must be a whole number, got null; set model.num_layers=2",
        ),
        (["model=own", "allow=[]"], "add allow=[from_outside]"),
        (["model=bare"], "from_outside.Bare must take input_dim and output_dim, the channels of"),
        (["model=shut"], "by name; it takes width: add"),
        (["model=inherits", "model.max_phase=-1"], "model.max_phase must be positive"),
        (["model=rnn", "task=convolution", "task.filter=[[a],3]"], "task.filter must hold"),
    ],
)
def test_schemas_of_outside_models_refuse_as_the_projects_own_do(outside, overrides, message):
    with pytest.raises(ConfigError) as caught:
        ask(outside, *overrides)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_constructor_that_takes_whatever_it_is_given_may_be_a_model(outside):
    assert ask(outside, "model=open").model._target_ == "from_outside.Open"


def test_the_command_line_finds_schemas_of_further_folders(outside):
    (outside / "conf" / "mine.yaml").write_text(
        f"defaults: [train, _self_]\nhydra:\n  searchpath: ['file://{outside}/conf']\n"
    )
    places = [f"--config-dir={outside}/conf"], ["hydra.searchpath=[conf]"]
    for place in (*places, ["--config-dir=conf", "--config-name=mine"]):
        own = [*place, "model=own", "model.num_layer=3"]
        done = shell.run(shell.TRAIN, *own, cwd=outside, env={"PYTHONPATH": str(outside)})
        assert done.returncode == 2
        assert "unknown key model.num_layer; did you mean 'model.num_layers'?" in done.stderr


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


@pytest.mark.parametrize(
    "text", ["/a=b", "/a[b]/{c}", "it's", "~/o", "a'b\"c", 'a\\"b', "(x)", "x;y#z", "'x", "[1"]
)
def test_texts_that_hydra_cannot_read_are_given_back_quoted(text):
    with pytest.raises(OverrideParseException) as caught:
        composed(f"paths.outputs={text}")
    line = schema.explain(caught.value)
    assert line.startswith(f"cannot read paths.outputs={text};")
    (override,) = shlex.split(line.partition(" write ")[2])
    assert composed(override).paths.outputs == text


def test_whole_numbers_given_for_rates_are_stored_as_numbers_with_a_point():
    one, other = (composed(f"optimizer.lr={lr}") for lr in ("1", "1.0"))
    assert one.optimizer.lr == 1.0
    assert isinstance(one.optimizer.lr, float)
    assert one == other


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["+model.gian=2"], "unknown key model.gian; did you mean 'model.gain'?"),
        (["+optimizer.momentum=0.9"], "unknown key optimizer.momentum"),
        ([f"{ESCAPE}.drop=0.1"], f"write +{ESCAPE}._target_=seq2seq.callbacks.StopAfterEscape,"),
        (["experiment=plateau_shift", f"{ESCAPE}.drop=0.1"], f"write +{ESCAPE}.drop=<value>"),
        (["experiment=plateau_shift", f"{ESCAPE}.drp=0.1"], f"did you mean '+{ESCAPE}.drop'?"),
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
        (["name=../../x"], "name must be that of a folder below paths.outputs, got '../../x'"),
        (["name=a/../../x"], "name must be that of a folder below paths.outputs"),
        (["name=/abs"], "name must be that of a folder below paths.outputs, got '/abs'"),
        (["name=.hidden"], "name must be that of a folder below paths.outputs"),
        (["name="], "name must be that of a folder below paths.outputs, got ''"),
        (["name='a\x1b[1mb'"], "name must be that of a folder below paths.outputs"),
        (["paths.outputs="], "paths.outputs must name a folder"),
        (["task.k=null"], "task.k must be a whole number, got null; set task.k=8"),
        (["optimizer.lr=null"], "optimizer.lr must be a number, got null; set optimizer.lr=0.001"),
        (["optimizer.betas=null"], "optimizer.betas must have a value, got null; its default is"),
        (["paths.outputs=null"], "paths.outputs must be a text, got null; set paths.outputs=outp"),
        (["threads=null"], "threads must be a whole number, got null; set threads=1"),
        (["optimizer.lr=inf"], "optimizer.lr must be finite, got inf"),
        (["optimizer.betas=[0.9,nan]"], "optimizer.betas must be finite, got [0.9, nan]"),
        (["task=lorenz96", "task.h_x=nan"], "task.h_x must be finite, got nan"),
        (["task.input.scale=-inf"], "task.input.scale must be finite, got -inf"),
        (["task=convolution", "task.filter=[1,nan]"], "task.filter must be finite, got [1, nan]"),
        (["model.gain=inf"], "model.gain must be finite"),
        (["gradient_clip_val=inf"], "gradient_clip_val must be"),
        (["callbacks.checkpoints.every_n_seconds=nan"], "every_n_seconds must be finite, got nan"),
        (["optimizer.betas=[0.9]"], "optimizer.betas must be 2 numbers, got [0.9]; its default is"),
        (["optimizer.betas=[a,b]"], "optimizer.betas must be 2 numbers, got ['a', 'b']"),
        (["optimizer.betas=3"], "optimizer.betas must be 2 numbers, got 3"),
        (
            ["++task._target_=seq2seq.tasks.Nope"],
            "seq2seq.tasks has no 'Nope'; known: AR1, GP, InputP",
        ),
        (["task.k=1e9"], "task.k must be a whole number, got 1000000000.0; write 1000000000"),
        (["allow=os"], "allow must be a list of texts, got os; write allow=[os]"),
        (
            ["refuted_if=[{quantitty: growth, above: 0}]"],
            "unknown key refuted_if[0].quantitty; did you mean 'quantity'?",
        ),
        (
            ["refuted_if=[{quantity: growth, abov: 0}]"],
            "unknown key refuted_if[0].abov; did you mean 'above'?",
        ),
        (
            ["refuted_if=[{quantity: sucess, above: 0}]"],
            "refuted_if[0].quantity is not known: sucess; did you mean 'success'?",
        ),
        (
            ["refuted_if=[{quantity: steps, where: {model.cel: gru}, above: 0}]"],
            "unknown key refuted_if[0].where.model.cel; did you mean 'model.cell'?",
        ),
        (
            ["refuted_if=[{quantity: test/nmsee, above: 0}]"],
            "refuted_if[0].quantity is not known: test/nmsee; did you mean 'test/nmse'?",
        ),
        (
            ["refuted_if=[{quantity: plateau/lenght, above: 0}]"],
            "refuted_if[0].quantity is not known: plateau/lenght; did you mean 'plateau/length'?",
        ),
        (
            ["refuted_if=[{quantity: growth/model.hidden_siz, above: 0}]"],
            "refuted_if[0].quantity.model.hidden_siz; did you mean 'model.hidden_size'?",
        ),
        (
            ["refuted_if=[{quantity: steps, where: {test/nmsee: 3}, above: 0}]"],
            "refuted_if[0].where is not known: test/nmsee; did you mean 'test/nmse'?",
        ),
        (["refuted_if=[{quantity: steps, above: one}]"], "unknown key refuted_if[0].above=one"),
        (
            ["refuted_if=[{quantity: steps, above: nan}]"],
            "refuted_if[0].above must be a number, got nan; correct it",
        ),
        (
            ["refuted_if=[{quantity: steps, alike: parameters, above: 1}]"],
            "refuted_if[0].alike chooses what over divides by; add over or leave it out",
        ),
        (
            ["refuted_if=[{quantity: success, below: 0.5}]"],
            "refuted_if[0].quantity is success, and no run has a target; set callbacks.stop_at",
        ),
        (
            ["refuted_if=[{quantity: contour, below: 5}]"],
            "refuted_if[0].quantity is contour, and no run has a target; set callbacks.stop_at",
        ),
        (
            ["refuted_if=[{quantity: steps, below: inf}]"],
            "refuted_if[0].below must be a number, got inf; correct it",
        ),
        (
            ["refuted_if=[{quantity: steps, below: 5, above: 6}]"],
            "nothing lies above 6 and below 5; write two conditions",
        ),
        (
            ["refuted_if=[{quantity: steps, over: {}, below: 5}]"],
            "refuted_if[0].over names nothing; write over: {model: tcn}",
        ),
        (
            ["refuted_if=[{quantity: steps, over: {seed: 1}, below: 5}]"],
            "refuted_if[0].over divides run by run of one seed; leave out seed",
        ),
        (
            ["refuted_if=[{quantity: steps, below: model}]"],
            "refuted_if[0].below must be a number or a key, got model",
        ),
        (
            ["refuted_if=[{quantity: test/nmse, below: test/nmse}]"],
            "refuted_if[0].below is the quantity itself; write a number",
        ),
        (["refuted_if=1"], "refuted_if must be a list, got 1"),
        (
            ["refuted_if=[{quantity: steps, where: {model: rnn}, over: {model: rnn}, above: 1}]"],
            "refuted_if[0].over compares runs with themselves; name others than where",
        ),
        (["refuted_if=[{above: 0}]"], "refuted_if[0] has no quantity; add quantity: test/nmse"),
        (
            ["refuted_if=[{quantity: steps, above: [1]}]"],
            "refuted_if[0].above must be a number or a key, got [1]",
        ),
        (
            ["refuted_if=[{quantity: steps, law: power}]"],
            "refuted_if[0].law is one of growth; write quantity: growth",
        ),
        (["claim=[1]"], "claim must be a text or null, got [1]"),
        (["~task.k"], "~task.k leaves no value; set task.k=8 instead"),
        (["~task.foo"], "~task.foo has nothing to take out; leave ~task.foo out"),
        (["~task"], "task has no value; add task=<value>"),
        (["task.k=???"], "task.k has no value; add task.k=<value>"),
    ],
)
def test_what_composing_lets_through_is_refused(overrides, message):
    with pytest.raises(Exception, match=r".") as caught:
        schema.check(composed("model=rnn", *overrides))
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
        (["optimizer.lr=-1"], "must not be negative, got lr=-1.0; set optimizer.lr=0.001"),
        (["task=convolution", "task.filter=[1e300]"], "task.filter must be finite"),
        (["task=convolution", "task.filter=[1e30]"], "task.filter must be finite"),
        (["task.input.length_scale=0"], "length_scale must be positive"),
        (["callbacks.checkpoints.every_n_steps=0"], "callbacks.checkpoints.every_n_steps"),
        (["trainer.max_time=5"], "trainer.max_time must be a text 'DD:HH:MM:SS' or a mapping"),
        (["trainer.accelerator=abacus"], "trainer: You selected an invalid accelerator"),
        (
            ["task=shift", "refuted_if=[{quantity: test/accuracy, above: 0.5}]"],
            "refuted_if[0].quantity is test/accuracy, which these runs do not have; ",
        ),
        (
            [
                *("task=shift", "task.k=2"),
                "refuted_if=[{quantity: test/accuracy, where: {task.k: [2.0, 3]}, above: 0.5}]",
            ],
            "refuted_if[0].quantity is test/accuracy, which these runs do not have; ",
        ),
        (
            ["task=shift", "refuted_if=[{quantity: steps, above: test/accuracy}]"],
            "refuted_if[0].above is test/accuracy, which these runs do not have; ",
        ),
        (
            [
                "task=parity",
                "callbacks.generalisation.values=[64,128]",
                "refuted_if=[{quantity: generalisation/accuracy/length_182, above: 0.5}]",
            ],
            "which these runs do not have; did you mean 'generalisation/accuracy/length_128'?",
        ),
    ],
)
def test_the_constructors_own_rules_are_told_in_one_line(overrides, message):
    with pytest.raises(ConfigError) as caught:
        training.check(composed(*overrides))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("where", ["{task: parity}", "{task.k: 7}", "{model: [lstm, gru]}"])
def test_criteria_about_other_runs_are_left_to_these(where):
    told = f"refuted_if=[{{quantity: test/accuracy, where: {where}, above: 0.5}}]"
    training.check(composed("task=shift", "task.k=2", "model=rnn", told))
