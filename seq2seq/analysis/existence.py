"""Of a model that was trained in vain: could it have solved its task at all?

*impossible*: what it sees, or what its state can hold, does not suffice for the target, by a bound
that holds for the task as it was posed. *exists but was not found*: weights by which a model of
that shape reaches the target are known, set by hand (`seq2seq.models.constructions`) or found by
another run. *not decided*: neither is known. Nothing is trained; the bounds are what tasks and
models say of themselves.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from omegaconf import DictConfig

from seq2seq.build import build_model, build_task, refusing
from seq2seq.models.constructions import NoConstruction, construct
from seq2seq.seeds import generator
from seq2seq.theory import limits
from seq2seq.theory.machines import Automaton

Word = Literal["impossible", "exists but was not found", "not decided"]

#: Bits of a number in the precision of training.
PRECISION = 32

#: Sequences on which weights set by hand are tested.
SEQUENCES = 32

#: What is measured on some sequences scatters: a bound refuses losses, or shares of wrong answers,
#: that are lower than what it allows by this factor.
MARGIN = 1.1

#: Keys of a task that say what it is trained on and not what it is.
OF_TRAINING = (
    *("curriculum", "online", "train_size", "val_size", "test_size", "batch_size", "seed"),
)


@dataclass(frozen=True)
class Bound:
    """What a model cannot exceed on its task.

    Attributes:
        reason: what it lacks, in words.
        best: metrics that no model with that lack surpasses, by name.
    """

    reason: str
    best: Mapping[str, float]


@dataclass(frozen=True)
class Existence:
    """Whether a solution exists, and why one knows; `limits` holds what is known beside that."""

    word: Word
    reason: str
    limits: Sequence[str] = field(default=())

    @property
    def sentence(self) -> str:
        """The reason, and what else is known of the model on such a task."""
        return "; ".join([self.reason, *self.limits])


def bounds(task: Any, model: Any) -> Iterator[Bound]:
    """The bounds of a model on a task that exclude anything."""
    window, states = (getattr(model, name, None) for name in ("receptive_field", "state_size"))
    if window is not None and (best := task.best_within(window)):
        yield Bound(f"it sees the latest {window:,} inputs alone", best)
    if states is None:
        return
    if getattr(model, "is_linear", False) and (best := task.best_with_states(states)):
        yield Bound(f"it is linear and keeps {_numbers(states)}", best)
    if best := task.best_with_bits(PRECISION * states):
        yield Bound(f"its {_numbers(states)} hold {PRECISION * states:,} bits", best)


def _numbers(count: int) -> str:
    return f"{count:,} number" + "s" * (count != 1)


def existence(
    cfg: DictConfig,
    metric: str,
    target: float,
    found: Sequence[str] = (),
    expected: str = "",
) -> Existence:
    """Whether a model of this config can reach the target on its task.

    Args:
        cfg: of a run.
        metric: as a validation logs it, such as `val/accuracy` or `val/nmse`.
        target: what it must reach.
        found: who has found a solution by the same model, in words.
        expected: how long it would take to find one, in words.
    """
    try:
        task = build_task(cfg)
        with refusing("model", cfg.model), torch.random.fork_rng(devices=[]):
            model: Any = build_model(cfg.model, task)
    except (ValueError, OSError) as error:
        reason = f"the model cannot be built here: {error}"
        return _known(found, expected) or Existence("not decided", reason)
    name, rises = metric.rpartition("/")[2], metric.rpartition("/")[2] in task.rising
    for bound in bounds(task, model):
        best = bound.best.get(name)
        if best is not None and _misses(best, target, rises):
            said = f"{bound.reason}, so that {name} is at {'most' if rises else 'least'}"
            return Existence("impossible", f"{said} {best:.3g}, where {target:g} is asked for")
    unbounded = [*_unbounded(task, model)]
    by_hand = _by_hand(task, model, name)
    if isinstance(by_hand, float) and (by_hand >= target if rises else by_hand <= target):
        told = f"weights set by hand reach {name} {by_hand:.3g}"
        return Existence("exists but was not found", _joined([told, *found, expected]), unbounded)
    if known := _known(found, expected, unbounded):
        return known
    reason = by_hand if isinstance(by_hand, str) else "no construction is known"
    return Existence("not decided", f"no bound excludes it, and {reason}", unbounded)


def _misses(best: float, target: float, rises: bool) -> bool:
    least, wanted = (1 - best, 1 - target) if rises else (best, target)
    return least > MARGIN * wanted


def _known(found: Sequence[str], expected: str, also: Sequence[str] = ()) -> Existence | None:
    """That it exists, if somebody found it."""
    if not found:
        return None
    return Existence("exists but was not found", _joined([*found, expected]), also)


def _joined(parts: Sequence[str]) -> str:
    return "; ".join(part for part in parts if part)


def _unbounded(task: Any, model: Any) -> Iterator[str]:
    machine = task.machine
    if isinstance(machine, Automaton):
        yield from limits.unbounded(
            machine,
            getattr(model, "has_nonnegative_eigenvalues", False),
            getattr(model, "has_real_eigenvalues", False),
            getattr(model, "is_diagonal", False),
            getattr(model, "num_layers", 1),
        )


@torch.no_grad()
def _by_hand(task: Any, model: Any, metric: str) -> float | str:
    """The metric that a construction reaches, or why there is none."""
    try:
        construct(model, task.machine)
    except NoConstruction as error:
        return str(error)
    x, y = task.sample(SEQUENCES, generator(task.seed, "construction"))
    output = model.eval()(x)
    loss = float(task.loss(output, y))
    counts = task.counts(output, y)
    told = {"loss": loss} | (
        task.scores(counts.tolist()) if len(counts) else {"nmse": loss / float(y.square().mean())}
    )
    return float(told[metric]) if metric in told else f"constructions are not judged by {metric}"


def alike(one: Mapping[str, Any], other: Mapping[str, Any], start: Sequence[str] = ()) -> bool:
    """Whether two runs, given by their plain configs, differ in their training alone.

    They pose the same task to the same model, wherever its weights start.

    Args:
        start: arguments of the model that set where they do, `SequenceModel.start`.
    """
    kept = [
        (
            {k: v for k, v in config["task"].items() if k not in OF_TRAINING},
            {k: v for k, v in config["model"].items() if k not in ("dropout", *start)},
        )
        for config in (one, other)
    ]
    return kept[0] == kept[1]
