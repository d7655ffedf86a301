"""Every task's YAML composes, is checked key by key, and builds the task that it says."""

import pytest
import torch
from composed import composed
from hydra.errors import ConfigCompositionException
from hydra.utils import instantiate

from seq2seq import schema
from seq2seq.tasks import AR1, GP, Convolution, Lorenz96, SequenceTask, Shift, Signs, Uniform, White
from seq2seq.theory import kernels

SMALL = ["task.train_size=4", "task.val_size=2", "task.test_size=2"]


def build(*overrides):
    cfg = composed("model=rnn", *overrides)
    schema.check(cfg)
    return instantiate(cfg.task)


def names(group):
    return sorted(path.stem for path in (schema.CONFIGS / group).glob("*.yaml"))


@pytest.mark.parametrize(
    "name", [n for n in names("task") if n not in ("arrays", "labels") and not n.startswith("text")]
)
def test_every_task_builds(name, tmp_path):
    task = build(f"task={name}", f"paths.cache={tmp_path}", *SMALL)
    assert isinstance(task, SequenceTask)
    x, y = task.batch(0)
    if task.vocabulary_size is None:
        assert x.shape[1:] == (task.length, task.input_dim)
        assert y.shape[1:] in ((task.length, task.output_dim), (1, task.output_dim))
    else:
        assert x.shape[1:] == y.shape[1:] == (task.length,)
        assert x.max() < task.vocabulary_size


@pytest.mark.parametrize("name", names("task/filter"))
@pytest.mark.parametrize("task", ["convolution", "linear_functional"])
def test_every_filter_is_a_group_choice(task, name):
    built = build(f"task={task}", f"task/filter={name}", "task.length=128")
    assert torch.count_nonzero(built.kernel())


@pytest.mark.parametrize("name", names("task/input"))
def test_every_input_is_a_group_choice(name):
    kinds = {"white": White, "gp": GP, "uniform": Uniform, "ar1": AR1, "signs": Signs}
    task = build("task=shift", f"task/input={name}", "task.input.scale=2")
    assert task.input == kinds[name](scale=2.0)


def test_defaults_are_those_of_the_constructors():
    assert build("task=shift").input == Shift().input == GP()
    assert build("task=convolution").input == Convolution().input == Uniform()
    assert build("task=lorenz96").input == Lorenz96().input == GP()
    assert build("task=linear_functional").input == White()
    assert torch.equal(build("task=convolution").kernel(), Convolution().kernel())
    assert build("task=shift", "seed=7").seed == 7


def test_filters_from_the_command_line():
    listed = build("task=convolution", "task.filter=[1,0.5]")
    assert listed.kernel().tolist() == [1.0, 0.5] + [0.0] * 30
    named = build("task=convolution", "task/filter=exponential")
    assert torch.equal(named.kernel(), Convolution(filter="exponential").kernel())
    chosen = build("task=convolution", "task/filter=power_law", "task.filter.exponent=2")
    assert chosen.filter == kernels.PowerLaw(exponent=2.0)


@pytest.mark.parametrize(
    "overrides",
    [
        ("task=shift", "task.kk=8"),
        ("task=shift", "task.k=abc"),
        ("task=shift", "task.input=white"),
        ("task=shift", "task.input.lenth_scale=1"),
        ("task=linear_functional", "task/filter=power_law", "task.filter.exponnent=1"),
        ("task=linear_functional", "task/filter=power_law", "task.filter.exponent=abc"),
        ("task=lorenz96", "task.initial_state=random"),
    ],
)
def test_wrong_keys_and_types_are_refused(overrides):
    with pytest.raises((ConfigCompositionException, schema.ConfigError)):
        build(*overrides)
