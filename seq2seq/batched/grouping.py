"""Which runs can share a program, how many at a time, and which can share none."""

import itertools
import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from omegaconf import DictConfig
from torch import Tensor, nn
from torch.func import functional_call, vmap

from seq2seq import memory, schema
from seq2seq.batched.chunk import Objective
from seq2seq.batched.member import Member, unheard_hooks
from seq2seq.build import threads
from seq2seq.footprint import footprint, kept_by
from seq2seq.models.batching import AttentionRule, batchable
from seq2seq.objective import Sampled
from seq2seq.runs import Run, resolved, run_folder
from seq2seq.schema import ConfigError
from seq2seq.tasks.task import SequenceTask
from seq2seq.training import build_callbacks, example, quiet

#: Members of a chunk below which a CPU spends more on calls than on sums.
FEWEST = 8
#: Bytes that the backward passes of a chunk may keep: with more, a CPU's cache is left.
CACHE = 24e6
#: Members per chunk on a CPU above which more bring nothing.
MOST = 128

#: Keys in which the members of a group may differ.
OWN_OPTIMIZER = ("lr", "weight_decay", "momentum")
OWN_TRAINER = ("enable_progress_bar", "enable_model_summary", "default_root_dir")
#: Trainer arguments that a chunk heeds or that concern only what Lightning itself prints.
TRAINER = (
    *OWN_TRAINER,
    "accelerator",
    "devices",
    "precision",
    "max_steps",
    "max_epochs",
    "val_check_interval",
    "log_every_n_steps",
)


def grouped(configs: Sequence[DictConfig]) -> list[list[Member]]:
    """The runs that are not complete, those of one shape together, the longest sequences first.

    Raises:
        ConfigError: one cannot be trained with others.
    """
    with quiet(), threads(1):
        groups = _of_one_shape(configs)
        for group in groups:
            for reason in reasons_against(group[0]):
                raise ConfigError(f"hydra/launcher=vmap {reason}; use hydra/launcher=basic")
    return [part for group in groups for part in by_length(group)]


def divided(
    configs: Sequence[DictConfig], workers: int
) -> tuple[list[list[Member]], dict[str, list[Member]]]:
    """The runs that are not complete: groups that gain by it as one program, the others by reason.

    A group is that of `grouped`. What `reasons_against` names cannot be batched. Nothing is gained
    by a run whose shape no other has; on a CPU by one that fills the cache by itself; and where
    there are no more runs than `workers`, as each then has one for itself.
    """
    together: list[list[Member]] = []
    apart: dict[str, list[Member]] = defaultdict(list)
    with quiet(), threads(1):
        groups = _of_one_shape(configs)
        few = sum(map(len, groups)) <= workers
        for group in groups:
            if few:
                apart["vmap gains nothing when every run has a core"] += group
            elif len(group) > 1 and (reason := next(reasons_against(group[0]), None)):
                apart[f"vmap {reason}"] += group
            elif not on_gpu(group[0].cfg) and kept_bytes(group[0]) > CACHE:
                apart["vmap gains nothing when one run fills the cache"] += group
            else:
                for part in by_length(group):
                    if len(part) > 1:
                        together.append(part)
                    else:
                        apart["no other run has their shape"] += part
    return together, apart


def _of_one_shape(configs: Sequence[DictConfig]) -> list[list[Member]]:
    """The runs that are not complete, those together that could share a program."""
    groups: dict[str, list[Member]] = defaultdict(list)
    for cfg in configs:
        run = Run(run_folder(cfg))
        if not run.is_done(cfg):
            member = Member(cfg, run)
            groups[shape(member)].append(member)
    return list(groups.values())


def by_length(group: Sequence[Member]) -> list[list[Member]]:
    """Parts of a group in which it pays to pad all sequences to the longest.

    A step costs about as much for each time as `FEWEST` members' sums at that time do. Padding M
    sequences of T steps to P saves that for T times, and adds the sums of M members for P − T.
    """
    lengths: dict[int, list[Member]] = defaultdict(list)
    for member in group:
        lengths[member.task.length].append(member)
    parts: list[list[Member]] = []
    for length, members in sorted(lengths.items(), reverse=True):
        longest = parts[-1][0].task.length if parts else 0
        if len(members) * (longest - length) < FEWEST * length and parts:
            parts[-1] += members
        else:
            parts.append(members)
    return parts


def shape(member: Member) -> str:
    """What members of one group have in common, as text.

    A chunk takes the loss and the counts of its first member for all, so that members may differ
    in nothing that these depend on.
    """
    plain = resolved(member.cfg)
    task, model = member.task, member.module.model
    optimizer = {k: v for k, v in plain["optimizer"].items() if k not in OWN_OPTIMIZER}
    scheduler = {k: v for k, v in (plain["scheduler"] or {}).items() if k != "max_lr"}
    length = None if may_be_padded(member) else task.length
    data = [type(task).__name__, length, task.batch_size, task.sizes["val"]]
    data += [task.sizes["test"], task.input_dim, task.output_dim]
    if not counts_every_step(task) or not task.uses_samples or task.curriculum is not None:
        # What is minimised may depend on the task's arguments, and so may the length of a batch.
        data += [{k: v for k, v in plain["task"].items() if k != "seed"}]
    common = {
        "task": data,
        "model": plain["model"],
        "state": {name: list(value.shape) for name, value in model.state_dict().items()},
        "objective": plain["objective"],
        "optimizer": optimizer,
        "scheduler": scheduler,
        "trainer": {k: v for k, v in plain["trainer"].items() if k not in OWN_TRAINER},
        "checkpoints": plain["callbacks"].get("checkpoints"),
        "callbacks": sorted(one["_target_"] for one in plain["callbacks"].values() if one),
        "threads": plain["threads"],
    }
    return json.dumps(common, sort_keys=True, default=str)


def may_be_padded(member: Member) -> bool:
    """Whether a mean over all times of an error that vanishes at zero is minimised."""
    objective = member.module.objective
    mean = type(objective) is Sampled and objective.horizon == "average"
    return mean and counts_every_step(member.task) and member.task.curriculum is None


def counts_every_step(task: SequenceTask) -> bool:
    """Whether, whatever its arguments, the mean squared error of all steps is measured alone."""
    own = type(task)
    usual = all(
        getattr(own, name) is getattr(SequenceTask, name) for name in ("loss", "counted", "counts")
    )
    return usual and not task.skip


def plan_chunks(members: Sequence[Member], size: int) -> list[list[Member]]:
    """Chunks of at most `size`, all about as large, of members that go on from the same step."""
    reached: dict[int, list[Member]] = defaultdict(list)
    for member in members:
        member.find_checkpoint()
        reached[member.step].append(member)
    chunks = []
    for some in reached.values():
        count = -(-len(some) // size)
        bounds = [len(some) * i // count for i in range(count + 1)]
        chunks += [some[a:b] for a, b in itertools.pairwise(bounds)]
    return chunks


def chunk_size(group: Sequence[Member], workers: int, fewest: int = FEWEST) -> int:
    """How many members of a group to train as one: by cache and cores on a CPU, else by memory.

    The group is divided among `workers` down to the `fewest` members.
    """
    member = group[0]
    kept = kept_bytes(member)
    task = member.task
    pairs = sum(part[0].numel() * part.element_size() for part in example(task, 1))
    data = pairs * (2 * task.sizes["train"] + task.sizes["val"] + task.sizes["test"])
    if on_gpu(member.cfg):
        free, _ = torch.cuda.mem_get_info()
        return max(1, int(0.5 * free / (4 * kept + data)))
    fits = int(0.5 * memory.available() / workers / (4 * kept + data))
    share = max(fewest, -(-len(group) // workers))
    return max(1, min(MOST, max(FEWEST, int(CACHE / kept)), share, fits))


def side_by_side(singles: Sequence[Member], workers: int) -> int:
    """How many of `workers` there is memory for, when each may have the largest of `singles`."""
    if workers == 1 or not singles:
        return workers
    needed = [sum(footprint(m.cfg, m.task)) for m in {shape(m): m for m in singles}.values()]
    return max(1, min(workers, int(memory.available() / max(needed))))


def kept_bytes(member: Member) -> int:
    """How many bytes one member's step keeps for its backward pass."""
    module = member.module
    batch = example(member.task, member.task.batch_size)
    return max(1, kept_by(lambda: module.objective(module.model, batch, module.loss))[0])


def on_gpu(cfg: DictConfig) -> bool:
    """Whether a run's trainer will choose a GPU."""
    wanted = cfg.trainer.get("accelerator", "auto") in ("auto", "cuda", "gpu")
    return wanted and torch.cuda.is_available()


def reasons_against(member: Member) -> Iterator[str]:
    """What `hydra/launcher=vmap` cannot do for a run, if anything."""
    cfg, module = member.cfg, member.module
    if module._random:
        yield "cannot reproduce the dropout of single runs"
    if module.restarts is not None:
        yield "cannot carry a state from batch to batch"
    if any(isinstance(part, nn.modules.batchnorm._NormBase) for part in module.model.modules()):
        yield "cannot keep running statistics"
    trainer = cfg.trainer
    if trainer.get("precision", "32-true") not in ("32-true", "64-true", 32, 64, "32", "64"):
        yield f"knows no trainer.precision={trainer.precision}"
    for parameter in schema.signature(str(trainer._target_)):
        value = trainer.get(parameter.name, parameter.default)
        heeded = schema.TRAINER.get(parameter.name, ()) is None
        if heeded and parameter.name not in TRAINER and value != parameter.default:
            yield f"knows no trainer.{parameter.name}={value}"
    for callback in build_callbacks(cfg):
        for hook in unheard_hooks(callback):
            yield f"never calls {type(callback).__name__}.{hook}"
    try:
        _trial(member)
    except Exception as error:
        first = (str(error).splitlines() or [type(error).__name__])[0][:200]
        yield f"cannot batch this model or objective: {first}"


def _trial(member: Member) -> None:
    """One evaluation of the objective as a batch of two members, on two sequences."""
    x, y = example(member.task, 2)
    module = member.module
    objective = Objective(batchable(module.model), module.objective, module.loss)
    parameters = {name: p.detach() for name, p in objective.named_parameters()}

    def one(own: dict[str, Tensor], x: Tensor, y: Tensor) -> Any:
        return functional_call(objective, own, (x, y, None, None))

    pairs = {name: torch.stack([p, p]) for name, p in parameters.items()}
    with AttentionRule(), torch.no_grad():
        vmap(one)(pairs, torch.stack([x, x]), torch.stack([y, y]))
