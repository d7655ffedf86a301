"""SequenceTask: what every task shares, so that a new one states its relation and little else."""

import itertools
import logging
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import torch
import torch.nn.functional as F
from lightning import LightningDataModule
from torch import Tensor

from seq2seq import checks, memory
from seq2seq.errors import nearest
from seq2seq.seeds import generator
from seq2seq.tasks.inputs import InputProcess, White
from seq2seq.theory import predictors
from seq2seq.theory.machines import Machine

log = logging.getLogger("seq2seq")

#: Steps whose batches a `GeneratedTask` draws together, and time steps of all of them, at most.
MOST_TOGETHER, LARGEST = 16, 2**18

#: Whole numbers that say how much is drawn, not what; a curriculum grows others.
NOT_GROWN = ("train_size", "val_size", "test_size", "batch_size", "seed")

#: Values that a curriculum may pass through.
MOST_STAGES = 1000


class Pairs(NamedTuple):
    """Inputs and targets of one split, the first axis counting sequences."""

    x: Tensor
    y: Tensor


class SequenceTask(LightningDataModule):
    """A relation x ↦ y between sequences, with its data, its loss and its reference predictors.

    It also says whatever the rest of the program must know of a task, so that nothing else names
    one. Real batches are (batch, time, channels), tokens (batch, time) integers. All data live in
    memory; a training batch is a pure function of (seed, step), so resuming needs no state and any
    number of processes agree.

    A task is a dataclass, `@dataclass(eq=False)`, whose fields are its arguments. One that is posed
    on an input process is a `DrivenTask` and says little but `targets`; others state their sizes
    themselves and `sample`. What no config sets is an attribute without an annotation.

    Attributes:
        length: time steps per sequence.
        input_dim, output_dim: channels of x and of y.
        affine: give the reference predictors a constant term, for data that are not centred.
        skip: steps at the start of a sequence that the loss, and what follows from it, leave out.
        input: the process that x is drawn from; None for tasks that draw in their own way.
        train_size, val_size, test_size: sequences per split.
        batch_size: sequences per optimisation step, over all processes together.
        online: draw a fresh batch each step in place of passing over a training set.
        curriculum: how a key grows with the steps of training, see `GeneratedTask`.
        seed: root of every random stream; see `seq2seq.seeds`.
        uses_samples: False where the loss needs no training data; none are drawn then, and
            training batches are empty.
        embedding_size: width of a token's vector; None for the model's hidden_size.
        tied: score tokens by their embeddings, in place of weights of their own.
        reads_on: whether batches can continue one another.
        contiguous: whether they do, for a model that carries its state; see `restarts`.

    Raises:
        ValueError: a size below 1, named by its config key.
    """

    length: int
    input: InputProcess | None = None
    train_size: int
    val_size: int
    test_size: int
    batch_size: int
    seed: int
    input_dim = 1
    output_dim = 1
    affine = False
    skip = 0
    online = False
    curriculum: Mapping[str, Any] | None = None
    uses_samples = True
    embedding_size: int | None = None
    tied = False
    reads_on = False
    contiguous = False

    def __post_init__(self) -> None:
        super().__init__()
        self.device = torch.device("cpu")
        self._splits: dict[str, Pairs] = {}
        self._losses: dict[str, float] | None = None
        self._rows: tuple[Pairs | None, Pairs | None] = (None, None)
        self._current_order: tuple[int, Tensor] = (-1, torch.empty(0))
        self._mean_squares: dict[str, float] = {}
        checks.integer("task.length", self.length)
        memory.fit("a sequence", 16 * self.length, f"lower task.length={self.length}")
        checks.integer("task.batch_size", self.batch_size)
        checks.integer("task.seed", self.seed, 0)
        for name in ("train_size", "val_size", "test_size"):  # a task may have other splits
            checks.integer(f"task.{name}", getattr(self, name, 1))

    @property
    def sizes(self) -> dict[str, int]:
        """Sequences per split that are kept in memory."""
        return {name: getattr(self, f"{name}_size", 0) for name in ("train", "val", "test")}

    # --------------------------------------------------------------------- the model's side

    @property
    def vocabulary_size(self) -> int | None:
        """How many tokens there are; None for real channels."""
        return None

    def model_dims(self, hidden_size: int | None) -> tuple[int, int]:
        """Channels into and out of a model of that width; a token enters by its embedding."""
        if self.vocabulary_size is None:
            return self.input_dim, self.output_dim
        width = self.embedding_size or hidden_size
        if width is None:
            raise ValueError("a model without hidden_size needs a width; set task.embedding_size")
        return width, width if self.tied else self.vocabulary_size

    def scaling(self) -> tuple[Tensor, ...] | None:
        """Mean and deviation of x, then of y, (channels,) each, for a model to work in these units.

        None where it sees x, and answers y, as they are.
        """
        return None

    def admit(self, trained: "SequenceTask") -> None:
        """Raise ValueError unless what was trained on that task can be tested on this one.

        It must have as many channels of x and of y, or no symbols that the other lacks.
        """
        for name, unit in (("input_dim", "channels of x"), ("output_dim", "channels of y")):
            own, known = getattr(self, name), getattr(trained, name)
            if own != known and self.vocabulary_size is None:
                raise ValueError(
                    f"the model was trained with {known} {unit}, the changed task has {own}; "
                    "change only what keeps their number"
                )
        symbols, known = self.vocabulary_size or 0, trained.vocabulary_size or 0
        if symbols > known:
            raise ValueError(
                f"the model was trained with {known} symbols, the changed task has {symbols}; "
                "change only what adds none"
            )

    def restarts(self, step: int) -> bool:
        """Whether the batch of `step` does not continue the one before it."""
        return True

    @property
    def arguments(self) -> dict[str, Any]:
        """What a task like this one is built from."""
        if not is_dataclass(self):
            raise ValueError(f"{type(self).__name__} must be a dataclass, @dataclass(eq=False)")
        return {one.name: getattr(self, one.name) for one in fields(self) if one.init}

    def changed(self, changes: Mapping[str, Any]) -> "SequenceTask":
        """The same task with other values of some arguments, and data of its own.

        Raises:
            ValueError: it has no such argument, or refuses the value.
        """
        for name in changes:
            if name not in self.arguments:
                raise ValueError(f"unknown key task.{name}{nearest(name, self.arguments)}")
        return type(self)(**{**self.arguments, **changes})

    def store(self, folder: Path) -> None:
        """Write into a run's folder what its trained model needs of the data."""

    def restore(self, folder: Path) -> None:
        """Take over what `store` wrote."""

    def show(self, model: Any, sequences: int) -> dict[str, Any]:
        """What to look at while `model` trains, by name: texts, and what a picture takes.

        `predictions` are x, y, the model's answer and the memoryless one for the first `sequences`
        of the validation set; `answers` are symbols, see `TokenTask.show`. Tasks with tokens have
        nothing to show unless they say so.
        """
        if self.vocabulary_size is not None:
            return {}
        parameter = next(model.parameters())
        x, y = (part[:sequences].to(parameter) for part in next(iter(self.val_dataloader())))
        prediction = model(x).cpu()
        x, y = x.cpu(), y.cpu()
        return {"predictions": (x, y, prediction, self.memoryless_prediction(x))}

    # ------------------------------------------------------------------- the relation

    def targets(self, x: Tensor) -> Tensor:
        """y for given inputs x, (batch, time, input_dim) -> (batch, time, output_dim), same dtype.

        Raises:
            ValueError: the task has no rule that extends to new inputs.
        """
        raise ValueError(f"{type(self).__name__} has no rule for new inputs; use its own pairs")

    @property
    def has_rule(self) -> bool:
        """Whether `targets` extends to new inputs."""
        return type(self).targets is not SequenceTask.targets

    @property
    def lacks_targets(self) -> bool:
        """Whether all its pairs would come from `targets`, which it does not define."""
        return False

    def sample(self, n: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """n fresh pairs (x, y), drawn from `generator`."""
        raise ValueError(f"{type(self).__name__} draws no pairs afresh; use its splits")

    def loss(self, output: Tensor, y: Tensor) -> Tensor:
        """Mean squared error over sequences, time and channels."""
        return F.mse_loss(self.counted(output), self.counted(y))

    def counted(self, part: Tensor) -> Tensor:
        """The steps that the loss counts, of (batch, time, channels) up to the last step."""
        return part[:, self.skip - self.length :] if self.skip else part

    @property
    def asks_at_end(self) -> bool:
        """Whether the loss looks at the last step, as `objective.horizon=last` needs."""
        return True

    @property
    def independent(self) -> bool:
        """Whether the answers of a sequence are independent, so that bits known of each add up.

        For whoever knows the present alone each has the entropy of the reference `memoryless`, or
        is Gaussian with mean 0.
        """
        return False

    def check_pairs(self, x: Tensor, y: Tensor) -> None:
        """Raise ValueError unless a few pairs are finite and of the shapes that they should have.

        With a `loss` of its own a task may have targets of any shape.
        """
        channels = {"x": self.input_dim, "y": self.output_dim}
        parts = {"x": x, "y": y} if type(self).loss is SequenceTask.loss else {"x": x}
        for name, part in parts.items():
            shape: tuple[int, ...] = (len(x), self.length)
            if self.vocabulary_size is None:
                shape += (channels[name],)
            if tuple(part.shape) != shape:
                raise ValueError(
                    f"{name} of {len(x)} sequences must have the shape {shape}, got "
                    f"{tuple(part.shape)}; correct it in {type(self).__name__}"
                )
        if not (x.isfinite().all() and y.isfinite().all()):
            raise ValueError(f"x and y must be finite; correct them in {type(self).__name__}")

    def metrics(self, stage: str, loss: float) -> dict[str, float]:
        """nmse = loss / mean(y²) on the split `stage` (train, val, test): 1 is the zero predictor.

        It is NaN, and a warning says so, where y is zero, or beyond what float32 can square.
        Fresh training batches have no split of their own; they are measured against val's.
        """
        split = "val" if stage == "train" and self.online else stage
        if split not in self._mean_squares:
            power = float(self.counted(self.split(split).y).double().square().mean())
            if not 1e-30 <= power <= 1e30:
                log.warning(
                    "%s/nmse is undefined: the targets of the %s split have the mean square %.3g",
                    *(split, split, power),
                )
                power = math.nan
            self._mean_squares[split] = power
        return {"nmse": loss / self._mean_squares[split]}

    def counts(self, output: Tensor, y: Tensor) -> Tensor:
        """What `scores` needs of a few sequences, (m,), as sums over them; nothing by default."""
        return output.new_zeros(0)

    def scores(self, counts: Sequence[float]) -> dict[str, float]:
        """What else is logged of a split: numbers that follow from the sums of its `counts`."""
        return {}

    @property
    def metric_names(self) -> tuple[str, ...]:
        """What is logged of a split: `loss`, and the keys of `metrics` and of `scores`."""
        return "loss", "nmse"

    @property
    def rising(self) -> tuple[str, ...]:
        """Those of `metric_names` that are the better the higher they are."""
        return ()

    @property
    def reference_names(self) -> tuple[str, ...]:
        """The keys of `reference_losses`, without working it out."""
        return "zero", *predictors.tap_names(self.length * self.input_dim, self.input_dim)

    @property
    def memory(self) -> int | None:
        """How many past steps the target needs; None where that has no bound or is not known."""
        return None

    @property
    def machine(self) -> Machine | None:
        """The smallest machine that does it; None where none is known."""
        return None

    def best_within(self, window: int) -> dict[str, float]:
        """The best that is possible from the latest `window` inputs, the current one included.

        By metric, as many as are known: nothing where nothing is, or nothing is missing.
        """
        return {}

    def best_with_states(self, states: int) -> dict[str, float]:
        """The same from so many real numbers, for models whose answers are linear in the inputs."""
        return {}

    def best_with_bits(self, bits: float) -> dict[str, float]:
        """The same from a state that holds so many bits."""
        return {}

    def kernel(self) -> Tensor | None:
        """The true impulse response, (length,), float64; None where the relation has none."""
        return None

    def reference_losses(self) -> dict[str, float]:
        """Mean squared errors of the `zero`, `memoryless` and m-tap (`taps_<m>`) predictors.

        They are the best linear predictors (`affine`: with constant terms), estimated here from at
        most 2000 training sequences and judged on the test split; tasks with a closed form
        override this with exact values.
        """
        channels = self.input_dim + self.affine
        taps = max(1, min(self.length, predictors.MAX_FEATURES // channels))
        train, test = (self._data_moments(split, taps) for split in ("train", "test"))
        return predictors.tap_losses(train, test)

    def references(self) -> dict[str, float]:
        """`reference_losses` as they are logged: `reference/<name>`, in the unit of the loss.

        Beside them, where there is a `zero`, stand their shares of it: `reference_nmse/<name>`.
        """
        if self._losses is None:  # estimates take seconds, and a run asks more than once
            self._losses = self.reference_losses()
        losses = self._losses
        zero = losses.get("zero")
        shares = (
            {} if zero is None else {k: v / zero if zero else math.nan for k, v in losses.items()}
        )
        units = {"reference": losses, "reference_nmse": shares}
        return {f"{unit}/{k}": v for unit, values in units.items() for k, v in values.items()}

    def ignorance(self) -> float:
        """The largest finite reference loss, that of the predictor that knows least; 0 of none."""
        told = [v for k, v in self.references().items() if k.startswith("reference/")]
        return max((value for value in told if math.isfinite(value)), default=0.0)

    def memoryless_prediction(self, x: Tensor) -> Tensor:
        """ŷ_t = Wᵀx_t (+ c), the best answer of its kind to x (batch, time, input_dim)."""
        weights = predictors.tap_weights(self._data_moments("train", 1), taps=1)
        return (self._features(x) @ torch.from_numpy(weights)).to(x.dtype)

    def _data_moments(self, split: str, taps: int) -> predictors.Moments:
        x, y = (part[:2000].cpu() for part in self.split(split))
        return predictors.data_moments(self._features(x).numpy(), y.numpy(), taps, self.skip)

    def _features(self, x: Tensor) -> Tensor:
        """What a reference predictor weighs of x, float64: `affine`, standardised beside a 1."""
        if not self.affine:
            return x.double()
        mean, deviation = (part.cpu() for part in spread(self.split("train").x))
        return F.pad((x - mean) / deviation, (0, 1), value=1.0)

    # ----------------------------------------------------------------------- the data

    def draw(self, split: str) -> Pairs:
        """The data of one split from its own random stream; called once per split."""
        return Pairs(*self.sample(self.sizes[split], generator(self.seed, "data", split)))

    def split(self, name: str) -> Pairs:
        """The data of `train`, `val` or `test`, drawn at the first call, on the task's device."""
        if name not in self._splits:
            self._splits[name] = self.draw(name)
        pairs = self._splits[name]
        if pairs.x.device != self.device:
            pairs = self._splits[name] = Pairs(pairs.x.to(self.device), pairs.y.to(self.device))
        return pairs

    def release(self) -> None:
        """Let go of the data; they are drawn again when asked for."""
        self._splits.clear()
        self._rows = (None, None)

    def setup(self, stage: str | None = None) -> None:
        """Draw what Lightning's `stage` (fit, validate, test, None for all) needs."""
        needed = {"fit": ("train", "val"), "validate": ("val",), "test": ("test",)}
        for name in needed.get(stage or "", ("train", "val", "test")):
            if name != "train" or (self.uses_samples and not self.online):
                self.split(name)

    def to(self, device: torch.device | str) -> "SequenceTask":
        """Keep the data on `device`, so that no batch is ever copied there again."""
        self.device = torch.device(device)
        return self

    def batch(self, step: int, rank: int = 0, world_size: int = 1) -> tuple[Tensor, Tensor]:
        """The training batch of optimisation step `step`: this rank's share of (x, y).

        It holds positions step·batch_size … (step+1)·batch_size − 1 of the endless sequence of
        epochs, each a fresh permutation of the training set, so every batch is full and every
        sample occurs once per epoch. With `online` it is a fresh draw.
        """
        share = self.share(world_size)
        if self.online:
            x, y = self.fresh(step)
            mine = slice(rank * share, (rank + 1) * share)
            return x[mine].to(self.device), y[mine].to(self.device)
        x, y = self._stored()
        index = self._positions(step * self.batch_size + rank * share, share)
        return x.index_select(0, index), y.index_select(0, index)

    def _stored(self) -> Pairs:
        """The training set with each sequence in one piece of memory, as it is then copied fast."""
        pairs, rows = self.split("train"), self._rows[1]
        if rows is None or self._rows[0] is not pairs:
            rows = Pairs(pairs.x.contiguous(), pairs.y.contiguous())
            self._rows = pairs, rows
        return rows

    def fresh(self, step: int) -> tuple[Tensor, Tensor]:
        """With `online`, all of the batch of a step."""
        return self.sample(self.batch_size, generator(self.seed, "online", step))

    def share(self, world_size: int) -> int:
        """Sequences of a batch for each process.

        Raises:
            ValueError: batch_size is not divisible by their number.
        """
        if self.batch_size % world_size:
            raise ValueError(
                f"batch_size must be divisible by the {world_size} processes, got "
                f"batch_size={self.batch_size}; set task.batch_size to a multiple of {world_size}"
            )
        return self.batch_size // world_size

    def _positions(self, start: int, count: int) -> Tensor:
        first, offset = divmod(start, self.train_size)
        last = (start + count - 1) // self.train_size
        if first == last:
            return self._order(first)[offset : offset + count]
        orders = [self._order(epoch) for epoch in range(first, last + 1)]
        return torch.cat(orders)[offset : offset + count]

    def _order(self, epoch: int) -> Tensor:
        known, order = self._current_order
        if known != epoch or order.device != self.device:
            stream = generator(self.seed, "order", epoch)
            order = torch.randperm(self.train_size, generator=stream).to(self.device)
            self._current_order = epoch, order
        return order

    # ------------------------------------------------------------------ Lightning's view

    def train_dataloader(self) -> "TrainingBatches":
        return TrainingBatches(self)

    def val_dataloader(self) -> Iterable[tuple[Tensor, Tensor]]:
        return self._held_out("val")

    def test_dataloader(self) -> Iterable[tuple[Tensor, Tensor]]:
        return self._held_out("test")

    def _held_out(self, split: str) -> Iterable[tuple[Tensor, Tensor]]:
        rank, world_size = self._share()
        return Slices(self.split(split), 8 * self.batch_size, rank, world_size)

    def _share(self) -> tuple[int, int]:
        """This process's rank and how many there are, having moved the data to its device."""
        if self.trainer is None:
            return 0, 1
        self.to(self.trainer.strategy.root_device)
        return self.trainer.global_rank, self.trainer.world_size


@dataclass(eq=False, kw_only=True)
class DrivenTask(SequenceTask):
    """A task posed on an input process: x is drawn from it, and y = targets(x).

    Args:
        input: the process; None for the task's own, `default_input`.
        train_size, val_size, test_size, batch_size, online, seed: see `SequenceTask`.
    """

    input: InputProcess = None  # type: ignore[assignment]  # it has one once it is built
    train_size: int = 10000
    val_size: int = 1000
    test_size: int = 1000
    batch_size: int = 128
    online: bool = False
    seed: int = 0
    default_input: ClassVar[InputProcess] = White()

    def __post_init__(self) -> None:
        self.input = self.input or self.default_input
        super().__post_init__()

    @property
    def lacks_targets(self) -> bool:
        usual = all(
            getattr(type(self), name) is getattr(DrivenTask, name)
            for name in ("sample", "draw", "split")
        )
        return usual and not self.has_rule

    def sample(self, n: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        x = self.input.sample(n, self.length, self.input_dim, generator)
        return x, self.targets(x)


@dataclass(eq=False, kw_only=True)
class GeneratedTask(SequenceTask):
    """A task that draws its pairs in a way of its own, by `sample`.

    Args:
        train_size, val_size, test_size, batch_size, online, seed: see `SequenceTask`.
        curriculum: {start: 3, every: 200, factor: 1.5, key: length} begins to train with this value
            of a key, whose bounds keep their least one, and makes it so many times as large, or
            with {add: 2} so much larger, every so many steps until it is that of the task, which
            validation and test have from the start. It grows by 1 at least.
    """

    train_size: int = 10000
    val_size: int = 1000
    test_size: int = 1000
    batch_size: int = 64
    online: bool = False
    seed: int = 0
    curriculum: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        self._stages = [*self._curriculum()] if self.curriculum is not None else []
        self._together = max(1, min(MOST_TOGETHER, LARGEST // (self.batch_size * self.length)))
        self._drawn: tuple[int, Any] = (-1, None)

    def fresh(self, step: int) -> tuple[Tensor, Tensor]:
        """Cut from the batches of several steps, as many small draws cost more than a large one."""
        if self._stages:
            reached = step // self.curriculum["every"]  # type: ignore[index]
            if 0 < reached <= len(self._stages):
                self._stages[reached - 1]._drawn = (-1, None)
            if reached < len(self._stages):
                return self._stages[reached].fresh(step)
        block, place = divmod(step, self._together)
        if self._drawn[0] != block:
            count = self._together * self.batch_size
            self._drawn = block, self.sample(count, generator(self.seed, "online", block))
        x, y = self._drawn[1]
        rows = slice(place * self.batch_size, (place + 1) * self.batch_size)
        return x[rows], y[rows]

    def changed(self, changes: Mapping[str, Any]) -> "SequenceTask":
        """The same task with other values; without its curriculum, which led to those it has."""
        return super().changed({"curriculum": None, **changes})

    def _curriculum(self) -> Iterator["GeneratedTask"]:
        """The task at each value that comes before its own."""
        if not isinstance(self.curriculum, Mapping):
            raise ValueError(
                "curriculum must say where to start and how often to grow, got "
                f"curriculum={self.curriculum!r}; set task.curriculum='{{start: 3, every: 200}}'"
            )
        usual = {"key": "length", "factor": 1.0, "add": 0}
        known = (*usual, "start", "every")
        if unknown := [str(name) for name in self.curriculum if name not in known]:
            raise ValueError(
                f"unknown key task.curriculum.{unknown[0]}{nearest(unknown[0], known)}"
            )
        told = {**usual, **self.curriculum}
        for name in ("start", "every"):
            checks.integer(f"task.curriculum.{name}", told.get(name))
        checks.integer("task.curriculum.add", told["add"], 0)
        checks.within("task.curriculum.factor", told["factor"], "[1, inf)", 1.5)
        if not self.online:
            checks.refuse("task.online", False, "be true for a curriculum", "true")
        grown = {key: _bounds(last) for key, last in self.arguments.items() if key not in NOT_GROWN}
        low, high = grown.get(told["key"], (None, None))
        if high is None:
            keys = [key for key, (_, most) in grown.items() if most is not None]
            rule = f"name a whole number of what is drawn, one of {', '.join(keys)}"
            checks.refuse("task.curriculum.key", told["key"], rule, keys[0] if keys else "length")
        value = told["start"]
        if value >= high:
            raise ValueError(
                f"task.curriculum.start must lie below the task's own {told['key']}, {high}, got "
                f"start={value}; set a smaller start, or task.{told['key']}={value + 1}"
            )
        for _ in range(MOST_STAGES):
            if value >= high:
                return
            bounds = value if low is None or value <= low else [low, value]
            try:
                task = self.changed({told["key"]: bounds})
            except ValueError as error:
                refused = str(error).partition("; set ")[0]
                raise ValueError(
                    f"task.curriculum comes to {told['key']}={bounds}, where {refused}; "
                    "set another start, factor or add"
                ) from None
            assert isinstance(task, GeneratedTask)
            yield task
            value = max(value + 1, int(value * told["factor"]) + told["add"])
        raise ValueError(
            f"task.curriculum takes more than {MOST_STAGES} steps from {told['start']} to {high}; "
            "set its factor to 1.5, or a larger add"
        )


def _bounds(value: Any) -> tuple[int | None, int | None]:
    """The least and the most of [least, most]; of a whole number, None and itself; else no most."""
    low, high = value if isinstance(value, Sequence) and len(value) == 2 else (None, value)
    return (low, high) if isinstance(high, int) and not isinstance(high, bool) else (None, None)


class AskedLast(SequenceTask):
    """A task that looks at the last output only: y is (batch, 1, channels)."""

    def loss(self, output: Tensor, y: Tensor) -> Tensor:
        """Mean squared error of the last output."""
        return F.mse_loss(output[:, -1:], y)

    def show(self, model: Any, sequences: int) -> dict[str, Any]:
        """Nothing: one answer is no curve."""
        return {}


def spread(part: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of each channel of (batch, time, channels), float64.

    A deviation that is rounding of the mean in float32 counts as 1.
    """
    deviation, mean = torch.std_mean(part.double(), (0, 1), correction=0)
    return mean, torch.where(deviation > 1e-7 * mean.abs(), deviation, 1.0)


class TrainingBatches:
    """Endless training batches, starting at the step that the trainer has reached."""

    def __init__(self, task: SequenceTask) -> None:
        self.task = task

    def __iter__(self) -> Iterator[tuple[Tensor, ...]]:
        trainer, shard = self.task.trainer, self.task._share()
        if trainer is not None and not self.task.uses_samples:
            return itertools.repeat(())
        steps = itertools.count(trainer.global_step if trainer else 0)
        return (self.task.batch(step, *shard) for step in steps)


class Slices:
    """One rank's share of a split in fixed slices of at most `most` sequences, in order.

    Every sample belongs to exactly one rank, and every rank has as many slices as the others, so
    that none waits for another's.
    """

    def __init__(self, pairs: Pairs, most: int, rank: int = 0, world_size: int = 1) -> None:
        n = len(pairs.x)
        if n < world_size:
            raise ValueError(
                f"val_size and test_size must be at least the {world_size} processes, got {n}; "
                "raise task.val_size and task.test_size"
            )
        count = -(-n // (world_size * most))
        bounds = [n * i // (world_size * count) for i in range(world_size * count + 1)]
        mine = bounds[rank * count : (rank + 1) * count + 1]
        self.slices = [(pairs.x[a:b], pairs.y[a:b]) for a, b in itertools.pairwise(mine)]

    def __len__(self) -> int:
        return len(self.slices)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        return iter(self.slices)
