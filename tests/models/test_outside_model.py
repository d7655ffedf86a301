"""A model that the package has never heard of: one file and one YAML in another folder."""

import sys
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
import shell
import torch

from seq2seq import train
from seq2seq.analysis.figures import architecture
from seq2seq.build import load_model
from seq2seq.generate import rollout
from seq2seq.runs import Run
from seq2seq.schema import ConfigError
from seq2seq.training import configure

PROGRAM = Path(__file__).parents[2] / "train.py"

#: h_t = z_t h_{t−1} + (1 − z_t) U x_t with z_t = σ(V x_t), and o_t = C h_t.
GATED = """
import torch
from torch import nn

from seq2seq.models.model import RecurrentModel


class Forgetting(RecurrentModel):
    def __init__(self, input_dim, output_dim, hidden_size: int = 4, num_layers: int = 1):
        super().__init__()
        self.input_dim, self.output_dim = input_dim, output_dim
        self.hidden_size, self.num_layers = hidden_size, num_layers
        self.gate = nn.Linear(input_dim, hidden_size)
        self.inputs = nn.Linear(input_dim, hidden_size)
        self.readout = nn.Linear(hidden_size, output_dim)

    def forward(self, x, state=None, return_state=False):
        h = self.initial_state(len(x), x.device, x.dtype) if state is None else state
        outputs = []
        for x_t in x.unbind(1):
            y_t, h = self.step(x_t, h)
            outputs.append(y_t)
        y = torch.stack(outputs, 1)
        return (y, h) if return_state else y

    def step(self, x_t, state):
        z = self.gate(x_t).sigmoid()
        h = z * state + (1 - z) * self.inputs(x_t)
        return self.readout(h), h

    def initial_state(self, batch_size, device, dtype):
        return torch.zeros(batch_size, self.hidden_size, device=device, dtype=dtype)
"""

#: A model with nothing to train.
FIXED = """
from torch import nn


class Fixed(nn.Module):
    def __init__(self, input_dim, output_dim, width: int = 4):
        super().__init__()
        if width < 1:
            raise ValueError("width must be at least 1")

    def forward(self, x):
        return x
"""

#: A map and nothing else: o_t = C σ(U x_t + V x_{t−1}).
PLAIN = """
from torch import nn


class Pair(nn.Module):
    def __init__(self, input_dim, output_dim, width: int = 4):
        super().__init__()
        self.recurrent = nn.Conv1d(input_dim, width, 2, padding=1)
        self.out = nn.Linear(width, output_dim)

    def forward(self, x):
        z = self.recurrent(x.mT)[..., :-1].mT
        return self.out(z.tanh())
"""

TINY = [
    "task=shift",
    "task.k=1",
    "task.length=8",
    "task.batch_size=8",
    "task.train_size=40",
    "task.val_size=16",
    "task.test_size=16",
    "trainer.accelerator=cpu",
    "trainer.val_check_interval=3",
    "callbacks.progress=null",
]


@pytest.fixture
def house(tmp_path, monkeypatch):
    """A folder with both classes and a YAML for each, and what makes them known."""
    (tmp_path / "elsewhere.py").write_text(GATED + PLAIN)
    (tmp_path / "configs" / "model").mkdir(parents=True)
    for name, target in (("forgetting", "Forgetting"), ("pair", "Pair")):
        yaml = tmp_path / "configs" / "model" / f"{name}.yaml"
        yaml.write_text(f"_target_: elsewhere.{target}\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    yield tmp_path
    sys.modules.pop("elsewhere", None)


def known(house: Path) -> list[str]:
    return [
        f"hydra.searchpath=[file://{house / 'configs'}]",
        "allow=[elsewhere]",
        f"paths.outputs={house / 'outputs'}",
    ]


def command(house: Path, *overrides: str) -> None:
    done = shell.run(shell.TRAIN, *TINY, *known(house), *overrides, cwd=house)
    assert done.returncode == 0, done.stdout + done.stderr


def opened(house: Path) -> list[Run]:
    folders = sorted((house / "outputs").glob("**/result.json"))
    return [Run(path.parent, allow=["elsewhere"]) for path in folders]


@pytest.mark.parametrize("name", ["forgetting", "pair"])
def test_it_is_trained_and_loaded(house, name):
    command(house, f"model={name}", "trainer.max_steps=6", "logger=none")
    (run,) = opened(house)
    assert run.result["status"] == "finished"
    assert ("state_size" in run.result) == (name == "forgetting")
    assert load_model(run)(torch.zeros(2, 5, 1)).shape == (2, 5, 1)


@pytest.mark.parametrize("name", ["forgetting", "pair"])
def test_it_is_swept_with_many_runs_as_one(house, name):
    many = ["-m", "seed=0,1", "hydra/launcher=vmap", "logger=none", "trainer.max_steps=6"]
    command(house, f"model={name}", *many)
    runs = opened(house)
    assert [run.result["status"] for run in runs] == ["finished", "finished"]
    alone = trained(house, name, "seed=1", steps=6, folder="alone")
    together = next(run for run in runs if run.config.seed == 1)
    assert together.result["val/loss"] == pytest.approx(alone.result["val/loss"], rel=1e-4)


def trained(house: Path, name: str, *overrides: str, steps: int, folder: str = "outputs") -> Run:
    run = train(
        [
            *TINY,
            *known(house),
            f"model={name}",
            "logger=none",
            f"trainer.max_steps={steps}",
            *overrides,
            f"paths.outputs={house / folder}",
        ]
    )
    return Run(run.folder, allow=["elsewhere"])


@pytest.mark.parametrize("name", ["forgetting", "pair"])
def test_it_goes_on_where_it_stopped(house, name):
    trained(house, name, steps=5)
    longer, whole = (trained(house, name, steps=9, folder=f) for f in ("outputs", "whole"))
    assert np.array_equal(longer.history["loss"], whole.history["loss"])
    for key, value in load_model(whole).state_dict().items():
        assert torch.equal(load_model(longer).state_dict()[key], value)


def test_what_it_says_of_itself_is_drawn(house):
    import elsewhere

    model, x = elsewhere.Forgetting(1, 1), torch.randn(2, 6, 1)
    found = architecture.graph(model, 6)
    assert [row.name for row in found.rows] == ["layer 1: Forgetting", "output y"]
    assert found.rows[0].detail == "state of 4"
    assert found.reached[0].all()
    labels = [t.get_text() for t in architecture.draw(model, x).axes[0].get_yticklabels()]
    assert "layer 1: Forgetting\nstate of 4" in labels
    assert rollout(model, x, 3).shape == (2, 3, 1)


def test_what_needs_more_than_a_map_says_so(house):
    import elsewhere

    model, x = elsewhere.Pair(1, 1), torch.randn(2, 6, 1)
    with pytest.raises(ValueError, match="Pair has no drawing; give it a method rows"):
        architecture.draw(model, x)
    with pytest.raises(ValueError, match="Pair has no step form; give it initial_state"):
        rollout(model, x, 3)
    with pytest.raises(ConfigError, match="objective=population needs a linear model, got Pair"):
        trained(house, "pair", "objective=population", steps=2)


def test_a_model_with_nothing_to_train_or_of_no_width_is_refused(house):
    (house / "elsewhere.py").write_text((house / "elsewhere.py").read_text() + FIXED)
    sys.modules.pop("elsewhere", None)
    for key, complaint in (
        ("+model.width=4", "model=elsewhere.Fixed has no parameters to train"),
        ("+model.width=0", "model: width must be at least 1; look at model.width=0"),
    ):
        with pytest.raises(ConfigError, match=complaint):
            trained(house, "pair", "model._target_=elsewhere.Fixed", key, steps=2, folder="none")
    assert not (house / "none").exists()


#: Models that a claim about memory cannot be made of.
FAULTY = """
import torch
from torch import nn


class Faulty(nn.Module):
    def __init__(self, input_dim, output_dim, hidden_size: int = 4, fault: str = "no"):
        super().__init__()
        self.fault = fault
        self.read = nn.Linear(input_dim, output_dim)

    def forward(self, x):
        y = self.read(x)
        if self.fault == "ahead":
            return y - y.mean(1, keepdim=True)
        if self.fault == "beside":
            return y.cumsum(0)
        return y * torch.nan if self.fault == "number" else y.cumsum(1)
"""


@pytest.mark.parametrize(
    ("fault", "complaint"),
    [
        ("ahead", "model=elsewhere.Faulty answers with inputs that come later"),
        ("beside", "model=elsewhere.Faulty answers a sequence with others of its batch"),
        ("number", "model=elsewhere.Faulty answers finite inputs by NaN"),
        ("nothing", None),
    ],
)
@pytest.mark.parametrize("task", ["shift", "shift task.input.scale=1e4", "parity", "copy_memory"])
def test_a_model_that_is_not_causal_is_refused(house, fault, complaint, task):
    (house / "elsewhere.py").write_text(FAULTY)
    sys.modules.pop("elsewhere", None)
    chosen = [*f"task={task}".split(), "model._target_=elsewhere.Faulty", f"+model.fault={fault}"]
    expected = pytest.raises(ConfigError, match=complaint) if complaint else nullcontext()
    with expected:
        configure([*known(house), "model=pair", "+model.hidden_size=4", *chosen])


def test_what_is_no_module_is_refused(house):
    (house / "elsewhere.py").write_text("class Sum:\n    def __init__(self, **dims): pass\n")
    sys.modules.pop("elsewhere", None)
    with pytest.raises(ConfigError, match=r"elsewhere\.Sum is no torch\.nn\.Module"):
        configure([*known(house), "model=pair", "model._target_=elsewhere.Sum"])
