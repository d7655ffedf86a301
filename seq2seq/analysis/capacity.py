"""How many bits of the past a trained model delivers, and how many of its state it needs for them.

**Recalled bits.** Where the answers y_j that a sequence asks for are independent, and uniform for
whoever knows the present alone, a model of cross-entropy CE recalls

    R = Σ_j (H(y_j) − CE_j)/ln 2,

of `mqar` K·(log₂ V_v − CE/ln 2) with V_v values. The cross-entropy of any predictor is at least
the conditional entropy, so R is a lower bound of the information that the state carries about the
answers, and itself bounded by their entropy, the `source`. Independent they are if drawn *with*
replacement: distinct values have less entropy, and R could exceed it. Guessing among the values of
the context earns bits, too, about K·(log₂ V_v − log₂ K): the `shortcut`.

Of independent Gaussian inputs at lags k a model that reconstructs them with NMSE_k recalls
R = ½ Σ_k log₂(1/NMSE_k) bits (Shannon 1959: the rate at that distortion); a lag that 0 would
predict better counts as none.

**Bits used.** The state is rounded to b bits a number between any two steps, and the answers are
scored again, their scale (the inverse temperature of scores) fitted anew on other sequences. What
a state of n numbers of b bits keeps is at most n·b bits.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from scipy.optimize import minimize_scalar
from torch import Tensor

from seq2seq import checks
from seq2seq.analysis.quantisation import quantiser
from seq2seq.analysis.stepping import numbers, stepwise

#: The share of the recalled bits that a state of enough bits keeps.
KEPT = 0.9


@dataclass(frozen=True)
class Recall:
    """What a model's answers tell of a sequence.

    Attributes:
        bits: R, per sequence; negative where the answers are worse than a guess.
        accuracy: share of right ones; None for real-valued answers.
    """

    bits: float
    accuracy: float | None


@dataclass(frozen=True)
class Capacity:
    """What a trained model recalls, and from what.

    Attributes:
        recall: as it is.
        numbers: real numbers in its state after a whole sequence; attention's grows up to there.
        source: bits that all answers of a sequence have; infinite for real-valued ones.
        shortcut: bits of guessing among the symbols of the context; None where a task has no such
            reference.
        quantised: by bits per number of the state, what it recalls then.
    """

    recall: Recall
    numbers: int
    source: float
    shortcut: float | None
    quantised: dict[int, Recall] = field(default_factory=dict)

    @property
    def per_number(self) -> float:
        """R per number of the state."""
        return self.recall.bits / self.numbers

    @property
    def used(self) -> int | None:
        """The fewest bits, of those tried, with which it still recalls `KEPT` of R; None: none."""
        enough = [b for b, one in self.quantised.items() if one.bits >= KEPT * self.recall.bits > 0]
        return min(enough, default=None)


@torch.inference_mode()
def capacity(model: Any, task: Any, bits: Sequence[int] = ()) -> Capacity:
    """What a model recalls of the test sequences of a task.

    Args:
        model: trained, in evaluation mode.
        task: one whose `independent` is true.
        bits: numbers of them that each number of the state is rounded to, one after the other.

    Raises:
        ValueError: the answers of the task are not independent, the model has no step form, or a
            number of bits is none.
    """
    for b in bits:
        checks.integer("bits", b)
    check(model, task)
    parameter = next(model.parameters())
    (fitting, wanted), (x, y) = (_pairs(task, split, parameter) for split in ("val", "test"))
    found = {}
    for b in bits:
        outputs = stepwise(model, torch.cat([fitting, x]), quantiser(model, b))
        factor = best_scale(outputs[: len(fitting)], wanted)
        found[b] = recalled(task, factor * outputs[len(fitting) :], y)
    references = task.reference_losses()
    return Capacity(
        recalled(task, model(x), y),
        numbers(model, x),
        math.inf if y.is_floating_point() else _bits(task, y, 0.0),
        _bits(task, y, references["in_context"]) if "in_context" in references else None,
        found,
    )


def check(model: Any, task: Any) -> None:
    """Raise ValueError unless it can be counted what the model recalls on the task."""
    if not getattr(task, "independent", False):
        raise ValueError(
            f"bits add up where the answers of a sequence are independent, which those of "
            f"{type(task).__name__} are not as it is set; take task=mqar with task.distinct=false "
            "task.supervise=answer, selective_copy, copy_memory, or reconstruct of white inputs"
        )
    if not hasattr(model, "step") or getattr(model, "has_step", True) is False:
        raise ValueError("a model without a step form has no state to count; give it `step`")


def recalled(task: Any, output: Tensor, y: Tensor) -> Recall:
    """R and the accuracy of a model's outputs (batch, time, channels), by targets y."""
    if y.is_floating_point():
        last = output[:, -y.shape[1] :]
        nmse = (last - y).square().mean((0, 1)) / y.square().mean((0, 1))
        return Recall(float(0.5 * nmse.double().log2().neg().clamp(min=0).sum()), None)
    right, asked, *_ = task.counts(output, y).tolist()
    return Recall(_bits(task, y, float(task.loss(output, y))), right / asked)


def best_scale(output: Tensor, y: Tensor) -> float:
    """The factor of the outputs with which they answer best: of scores, 1/temperature.

    The one of least cross-entropy, convex in it (Guo et al., "On calibration of modern neural
    networks", 2017), or of least squared error.
    """
    if y.is_floating_point():
        last = output[:, -y.shape[1] :]
        return float((last * y).sum() / last.square().sum().clamp(min=1e-30))
    asked = y >= 0
    scores, wanted = output[asked], y[asked]

    def loss(logarithm: float) -> float:
        return float(torch.nn.functional.cross_entropy(math.exp(logarithm) * scores, wanted))

    return math.exp(minimize_scalar(loss, bounds=(-7, 3), method="bounded").x)


def _bits(task: Any, y: Tensor, loss: float) -> float:
    """R of a mean cross-entropy in nats over what y asks."""
    asked = float((y >= 0).sum()) / len(y)
    return asked * (task.reference_losses()["memoryless"] - loss) / math.log(2)


def _pairs(task: Any, split: str, like: Tensor) -> tuple[Tensor, Tensor]:
    """All sequences of a split."""
    pairs = task.split(split)
    x, y = (p.to(like) if p.is_floating_point() else p.to(like.device) for p in (pairs.x, pairs.y))
    return x, y
