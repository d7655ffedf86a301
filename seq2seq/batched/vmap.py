"""`hydra/launcher=vmap`: train the runs of a sweep that share a shape as one tensor program."""

import contextlib
import itertools
import json
import logging
import multiprocessing
import os
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import wait
from multiprocessing.context import ForkProcess
from pathlib import Path
from typing import Any

import torch
from hydra.core.utils import JobReturn, JobStatus, setup_globals
from hydra.types import HydraContext
from omegaconf import DictConfig, OmegaConf, open_dict
from torch import Tensor, nn
from torch.func import functional_call, vmap

from seq2seq import schema
from seq2seq.batched.chunk import Absent, Chunk, Objective, Slot, members_of
from seq2seq.batched.member import PLANNED, Member, unheard_hooks
from seq2seq.batched.stack import AttentionRule, batchable
from seq2seq.build import threads
from seq2seq.objective import Sampled
from seq2seq.runs import (
    FINAL,
    Run,
    checkpoint_step,
    load_checkpoint,
    resolved,
    run_folder,
    score,
    write_atomically,
)
from seq2seq.runs.locks import Claims
from seq2seq.schema import ConfigError
from seq2seq.seeds import generator
from seq2seq.tasks.task import SequenceTask
from seq2seq.training import (
    begin,
    build_callbacks,
    claim,
    find_checkpoint,
    interruptible,
    quiet,
)

log = logging.getLogger("seq2seq")

#: Bytes that the backward passes of a chunk may keep: with more, a CPU's cache is left.
CACHE = 24e6
#: Members per chunk on a CPU: with fewer, calls cost more than sums; more bring nothing.
FEWEST, MOST = 8, 128

#: Keys in which the members of a group may differ.
OWN_OPTIMIZER = ("lr", "weight_decay", "momentum")
OWN_TRAINER = ("enable_progress_bar", "enable_model_summary", "default_root_dir")
#: Trainer arguments that a chunk heeds or that concern only what Lightning itself prints.
TRAINER = (
    "accelerator",
    "devices",
    "precision",
    "max_steps",
    "max_epochs",
    "val_check_interval",
    "check_val_every_n_epoch",
    "log_every_n_steps",
    "num_sanity_val_steps",
    "enable_checkpointing",
    "enable_progress_bar",
    "enable_model_summary",
    "default_root_dir",
    "logger",
)


@dataclass
class Plan:
    """A chunk to be trained: who is in which slot, from which step, from which checkpoint.

    `length` is that to which a chunk that is resumed had padded its sequences.
    """

    step: int
    slots: list[Slot]
    checkpoints: dict[str, Path]
    length: int | None = None


def launch(
    compose: Callable[[Sequence[str]], DictConfig],
    context: HydraContext,
    jobs: Sequence[list[str]],
    first: int = 0,
    workers: int | None = None,
) -> list[JobReturn]:
    """Train jobs as one of Hydra's launchers does: each has its folder, `.hydra` and `JobReturn`.

    Args:
        compose: gives a job's config from its overrides.
        context: whose callbacks are told of each job.
        jobs: the overrides of each.
        first: number of the first job.
        workers: as for `train_all`.

    Raises:
        ConfigError: a job cannot be trained in this way; nothing was written.
    """
    setup_globals()
    composed = [compose(overrides) for overrides in jobs]
    own = [OmegaConf.masked_copy(cfg, [str(k) for k in cfg if k != "hydra"]) for cfg in composed]
    groups = grouped(own)
    returns: list[JobReturn] = []

    def begin_jobs() -> None:
        for number, (cfg, its_own) in enumerate(zip(composed, own, strict=True), first):
            returns.append(_job_return(number, cfg, its_own))
            context.callbacks.on_job_start(config=cfg, task_function=lambda _: None)

    train_groups(groups, workers, begin_jobs)
    for cfg, one in zip(composed, returns, strict=True):
        run = Run(run_folder(cfg))
        one.status, one.return_value = JobStatus.COMPLETED, score(run.result)
        if run.status in ("failed", "killed"):
            error = run.result.get("error", "the process that trained it was killed")
            one.status, one.return_value = JobStatus.FAILED, RuntimeError(error)
        context.callbacks.on_job_end(config=cfg, job_return=one)
    return returns


def _job_return(number: int, cfg: DictConfig, own: DictConfig) -> JobReturn:
    """Write `.hydra` into the folder of a job as Hydra does; what Hydra is to be told of it.

    Hydra's own `run_job` takes 45 ms for that, as it copies the config five times.
    """
    folder = Path(cfg.hydra.sweep.dir, cfg.hydra.sweep.subdir).absolute()
    with open_dict(cfg):
        cfg.hydra.job.id = cfg.hydra.job.num = number
        cfg.hydra.runtime.output_dir = str(folder)
    hydra = OmegaConf.masked_copy(cfg, "hydra")
    overrides = cfg.hydra.overrides.task
    if cfg.hydra.output_subdir is not None:
        target = folder / cfg.hydra.output_subdir
        target.mkdir(parents=True, exist_ok=True)
        for name, part in (("config", own), ("hydra", hydra), ("overrides", overrides)):
            (target / f"{name}.yaml").write_text(OmegaConf.to_yaml(part), encoding="utf-8")
    return JobReturn(
        overrides=list(overrides),
        cfg=own,
        hydra_cfg=hydra,
        working_dir=os.getcwd(),
        task_name=cfg.hydra.job.name,
    )


def train_all(configs: Sequence[DictConfig], workers: int | None = None) -> list[Run]:
    """Train the runs that `configs` describe, or finish training them, many at a time.

    Every run's folder holds what training it alone would have written; on CPU its numbers are
    those of the run alone up to rounding. Groups are split into chunks that fit the cache, which
    `workers` processes train side by side.

    Args:
        configs: as for `seq2seq.training.run`.
        workers: processes; None for as many as there are cores.

    Raises:
        ConfigError: a run cannot be trained in this way; none has been started.
        KeyboardInterrupt: the user interrupted; all runs have a checkpoint.
    """
    train_groups(grouped(configs), workers)
    return [Run(run_folder(cfg)) for cfg in configs]


def grouped(configs: Sequence[DictConfig]) -> list[list[Member]]:
    """The runs that are not complete, those of one shape together, the longest sequences first.

    Raises:
        ConfigError: one cannot be trained with others.
    """
    groups: dict[str, list[Member]] = defaultdict(list)
    with quiet(), threads(1):
        for cfg in configs:
            run = Run(run_folder(cfg))
            if not _is_done(run, cfg):
                member = Member.of(cfg, run)
                groups[shape(member)].append(member)
        for group in groups.values():
            refuse_unbatchable(group[0])
    return [part for group in groups.values() for part in by_length(group)]


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


def train_groups(
    groups: Sequence[Sequence[Member]],
    workers: int | None = None,
    meanwhile: Callable[[], None] = lambda: None,
) -> None:
    """Train all members of all groups to their ends, but for those that another process trains.

    Args:
        groups: from `grouped`.
        workers: as for `train_all`.
        meanwhile: called once, when the workers have started.

    Raises:
        KeyboardInterrupt: the user interrupted; all runs have a checkpoint.
    """
    if not groups:
        return meanwhile()
    if workers is None:
        workers = min(_workers(group[0].cfg) for group in groups)
    with quiet(), threads(1):  # the longest first, so that the workers end together
        ordered = sorted(groups, key=lambda group: -kept_bytes(group[0]) * group[0].max_steps)
    with Claims() as claims:
        _run_all(_plans(ordered, claims, workers), workers, meanwhile)


def _plans(groups: Sequence[Sequence[Member]], claims: Claims, workers: int) -> Iterator["Plan"]:
    """The chunks of each group, which is claimed when its turn comes."""
    for group in groups:
        free = [m for m in group if claim(claims, m.run) and not _is_done(m.run, m.cfg)]
        if free:
            with quiet(), threads(1):
                plans = plan_chunks(free, workers)
            yield from plans


def _is_done(run: Run, cfg: DictConfig) -> bool:
    return Run(run.folder).status in FINAL and not cfg.force


# ------------------------------------------------------------------------------------- grouping


def shape(member: Member) -> str:
    """What members of one group have in common, as text."""
    plain = resolved(member.cfg)
    task, model = member.task, member.module.model
    optimizer = {k: v for k, v in plain["optimizer"].items() if k not in OWN_OPTIMIZER}
    scheduler = {k: v for k, v in (plain["scheduler"] or {}).items() if k != "max_lr"}
    length = None if may_be_padded(member) else task.length
    data = [type(task).__name__, length, task.batch_size, task.sizes["val"]]
    data += [task.sizes["test"], task.input_dim, task.output_dim]
    if type(task).loss is not SequenceTask.loss or not task.uses_samples:
        # What is minimised may depend on the task's arguments.
        data += [{k: v for k, v in plain["task"].items() if k != "seed"}]
    common = {
        "task": data,
        "model": plain["model"],
        "parameters": [list(p.shape) for p in model.parameters()],
        "objective": plain["objective"],
        "optimizer": optimizer,
        "scheduler": scheduler,
        "trainer": {k: v for k, v in plain["trainer"].items() if k not in OWN_TRAINER},
        "checkpoints": plain["callbacks"].get("checkpoints"),
        "threads": plain["threads"],
    }
    return json.dumps(common, sort_keys=True, default=str)


def may_be_padded(member: Member) -> bool:
    """Whether a mean over all times of an error that vanishes at zero is minimised."""
    objective = member.module.objective
    mean = type(objective) is Sampled and objective.horizon == "average"
    return mean and type(member.task).loss is SequenceTask.loss


def refuse_unbatchable(member: Member) -> None:
    """Refuse what cannot be trained together with others of its shape.

    Raises:
        ConfigError: with the reason and the launcher to use instead.
    """
    reason = next(_reasons(member), None)
    if reason is not None:
        raise ConfigError(f"{reason}; use hydra/launcher=basic")


def _reasons(member: Member) -> Iterator[str]:
    cfg, module = member.cfg, member.module
    if module._random:
        yield "hydra/launcher=vmap cannot reproduce the dropout of single runs"
    if module.restarts is not None:
        yield "hydra/launcher=vmap cannot carry a state from batch to batch"
    if any(isinstance(part, nn.modules.batchnorm._NormBase) for part in module.model.modules()):
        yield "hydra/launcher=vmap cannot keep running statistics"
    trainer = cfg.trainer
    if trainer.get("precision", "32-true") not in ("32-true", "64-true", 32, 64, "32", "64"):
        yield f"hydra/launcher=vmap knows no trainer.precision={trainer.precision}"
    if not isinstance(trainer.get("val_check_interval"), int):
        yield "hydra/launcher=vmap counts trainer.val_check_interval in steps"
    if trainer.get("check_val_every_n_epoch") is not None:
        yield "hydra/launcher=vmap needs trainer.check_val_every_n_epoch=null"
    for parameter in schema.signature(str(trainer._target_)):
        value = trainer.get(parameter.name, parameter.default)
        if parameter.name not in TRAINER and value != parameter.default:
            yield f"hydra/launcher=vmap knows no trainer.{parameter.name}={value}"
    for callback in build_callbacks(cfg):
        for hook in unheard_hooks(callback):
            yield f"hydra/launcher=vmap never calls {type(callback).__name__}.{hook}"
    try:
        _trial(member)
    except Exception as error:
        yield f"hydra/launcher=vmap cannot batch this model or objective: {_first_line(error)}"


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]


def _trial(member: Member) -> None:
    """One evaluation of the objective as a batch of two members, on two sequences."""
    x, y = _example(member.task, 2)
    module = member.module
    objective = Objective(batchable(module.model), module.objective, module.loss)
    parameters = {name: p.detach() for name, p in objective.named_parameters()}

    def one(own: dict[str, Tensor], x: Tensor, y: Tensor) -> Any:
        return functional_call(objective, own, (x, y, None, None))

    pairs = {name: torch.stack([p, p]) for name, p in parameters.items()}
    with AttentionRule(), torch.no_grad():
        vmap(one)(pairs, torch.stack([x, x]), torch.stack([y, y]))


def _example(task: Any, n: int) -> tuple[Tensor, Tensor]:
    """A few pairs, without drawing the task's data where it can do so."""
    try:
        x, y = task.sample(n, generator(0, "example"))
    except ValueError:
        x, y = (part[:n] for part in task.split("val"))
    return x, y


# --------------------------------------------------------------------------------------- chunks


def plan_chunks(group: Sequence[Member], workers: int) -> list[Plan]:
    """Split a group into chunks; runs that were interrupted together go on together."""
    fresh: list[Member] = []
    begun: dict[tuple[Any, ...], list[tuple[Member, Path]]] = defaultdict(list)
    for member in group:
        begin(member.cfg, member.run)
        path = find_checkpoint(member.run, member.module)
        if path is None:
            fresh.append(member)
            continue
        slots = tuple(load_checkpoint(path).get("slots", ()))
        together = path.parents[1].name in slots
        begun[slots if together else ("", checkpoint_step(path))].append((member, path))
    plans = []
    size = chunk_size(group, workers)
    again = _take_planned(fresh, begun)
    for slots, members in begun.items():
        if slots[0] == "" and len(slots) == 2 and isinstance(slots[1], int):
            plans += [_plan(part) for part in _split(members, size)]
        else:
            plans += _rejoin([str(name) for name in slots], members)
    for part in again + _split(fresh, size):
        names = json.dumps([member.run.name for member in part]).encode()
        for member in part:
            write_atomically(member.run.folder / PLANNED, names)
        plans.append(Plan(0, part, {}))
    return plans


def _take_planned(
    fresh: list[Member], begun: dict[tuple[Any, ...], list[tuple[Member, Path]]]
) -> list[list[Member]]:
    """Take out the chunks that were planned but have not all got to their first checkpoint."""
    by_name = {member.run.name: member for member in fresh}
    by_name |= {member.run.name: member for some in begun.values() for member, _ in some}
    found = []
    for member in list(fresh):
        try:
            names = tuple(json.loads((member.run.folder / PLANNED).read_text()))
        except (OSError, ValueError):
            continue
        if member in fresh and by_name.keys() >= set(names):
            found.append([by_name[name] for name in names])
            begun.pop(names, None)
            fresh[:] = [other for other in fresh if other not in found[-1]]
    return found


def _rejoin(slots: Sequence[str], members: Sequence[tuple[Member, Path]]) -> list[Plan]:
    """The chunk as it was, from the last step of which all its members have a checkpoint."""
    step = min(checkpoint_step(path) for _, path in members)
    by_name: dict[str, Slot] = {}
    checkpoints, alone = {}, []
    for member, path in members:
        common = path.with_name(f"step={step}.ckpt")
        if common.exists():
            by_name[path.parents[1].name] = member
            checkpoints[member.run.name] = common
        else:
            alone.append(_plan([(member, path)]))
    parent = members[0][0].run.folder.parent
    for name in slots:
        ended = Run(parent / name).result.get("steps", 0) if name else 0
        if name not in by_name and ended > step:
            # A task that reads its sequences has no length in its config.
            length = Run(parent / name).config.task.get("length") or members[0][0].task.length
            by_name[name] = Absent(name, ended, int(length))
    padded = load_checkpoint(next(iter(checkpoints.values()))).get("length")
    return [Plan(step, [by_name.get(name) for name in slots], checkpoints, padded), *alone]


def _plan(members: Sequence[tuple[Member, Path]]) -> Plan:
    step = checkpoint_step(members[0][1])
    return Plan(step, [m for m, _ in members], {m.run.name: path for m, path in members})


def _split(members: Sequence[Any], size: int) -> list[list[Any]]:
    """In as few parts of at most `size` as there can be, all about as large."""
    count = -(-len(members) // size)
    bounds = [len(members) * i // count for i in range(count + 1)] if count else [0]
    return [list(members[a:b]) for a, b in itertools.pairwise(bounds)]


def chunk_size(group: Sequence[Member], workers: int) -> int:
    """How many members of a group to train as one: by cache and cores on a CPU, else by memory."""
    member = group[0]
    kept = kept_bytes(member)
    task = member.task
    pairs = sum(part[0].numel() * part.element_size() for part in _example(task, 1))
    data = pairs * (2 * task.sizes["train"] + task.sizes["val"] + task.sizes["test"])
    if on_gpu(member.cfg):
        free, _ = torch.cuda.mem_get_info()
        return max(1, int(0.5 * free / (4 * kept + data)))
    fits = int(0.5 * _free_memory() / workers / (4 * kept + data))
    share = max(FEWEST, -(-len(group) // workers))
    return max(1, min(MOST, max(FEWEST, int(CACHE / kept)), share, fits))


def kept_bytes(member: Member) -> int:
    """How many bytes one member's step keeps for its backward pass."""
    sizes: dict[int, int] = {}

    def note(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        sizes[storage.data_ptr()] = storage.nbytes()
        return tensor

    module = member.module
    batch = _example(member.task, member.task.batch_size)
    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        module.objective(module.model, batch, module.loss)
    return max(1, sum(sizes.values()))


def on_gpu(cfg: DictConfig) -> bool:
    """Whether a run's trainer will choose a GPU."""
    accelerator = cfg.trainer.get("accelerator", "auto")
    wants = accelerator in ("gpu", "cuda") or accelerator == "auto"
    return wants and torch.cuda.is_available()


def _free_memory() -> float:
    return float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_AVPHYS_PAGES"))


def _workers(cfg: DictConfig) -> int:
    # Forked processes are at hand at once. After a fork, OpenMP must stay with one thread.
    if sys.platform != "linux" or cfg.threads > 1 or on_gpu(cfg):
        return 1
    return len(os.sched_getaffinity(0))


# ------------------------------------------------------------------------------------- training


def _run_all(plans: Iterator[Plan], workers: int, meanwhile: Callable[[], None]) -> None:
    """Train the chunks, `workers` at a time, each in a process of its own."""
    if workers == 1:
        meanwhile()
        for plan in plans:
            run_chunk(plan)
        return
    running: list[ForkProcess] = []
    try:
        _start(plans, workers, running)
        meanwhile()
        while running:
            ended = wait([process.sentinel for process in running])
            running[:] = [process for process in running if process.sentinel not in ended]
            _start(plans, workers, running)
    except BaseException:
        try:
            for process in running:
                process.terminate()
            for process in running:
                process.join()
        finally:
            for process in running:
                process.kill()
        raise


def _start(plans: Iterator[Plan], workers: int, running: list[ForkProcess]) -> None:
    """Start processes for the next chunks until `workers` are running."""
    for plan in itertools.islice(plans, workers - len(running)):
        process = multiprocessing.get_context("fork").Process(
            target=_child, args=(plan, os.getpid())
        )
        process.start()
        running.append(process)


def _child(plan: Plan, parent: int) -> None:
    os.setpgrp()  # Ctrl-C reaches the parent alone, which tells its children once
    with contextlib.suppress(KeyboardInterrupt):
        run_chunk(plan, parent)


def run_chunk(plan: Plan, parent: int | None = None) -> None:
    """Train one chunk; what has too little memory is trained in halves.

    Args:
        plan: who, and from where.
        parent: the process whose end also ends this one.

    Raises:
        KeyboardInterrupt: the user interrupted; all members have a checkpoint.
    """
    first = members_of(plan.slots)[0]
    with quiet(), threads(first.cfg.threads), interruptible() as interruption:

        def stops() -> bool:
            return interruption.requested or parent not in (None, os.getppid())

        slots: list[Slot] = []
        for slot in plan.slots:
            slots.append(_started(slot, plan) if isinstance(slot, Member) else slot)
        if not members_of(slots):
            return
        chunk = None
        try:
            chunk = Chunk(slots, plan.step, stops, plan.length)
            chunk.train()
            return
        except KeyboardInterrupt:
            for member in members_of(chunk.slots if chunk else slots):
                member.stop()
            raise
        except Exception as error:
            left = members_of(chunk.slots if chunk else slots)
            if not _is_out_of_memory(error) or len(left) == 1:
                for member in left:
                    member.fail(error)
                return
    del chunk
    log.warning("out of memory with %d runs together; going on with half as many", len(left))
    for half in _split(left, -(-len(left) // 2)):
        for again in _from_checkpoints([Member.of(member.cfg, member.run) for member in half]):
            run_chunk(again, parent)


def _from_checkpoints(members: Sequence[Member]) -> list[Plan]:
    """One chunk for each step that some of the members have reached."""
    reached: dict[int, list[tuple[Member, Path | None]]] = defaultdict(list)
    for member in members:
        path = find_checkpoint(member.run, member.module)
        reached[checkpoint_step(path) if path else 0].append((member, path))
    return [
        Plan(step, [m for m, _ in some], {m.run.name: path for m, path in some if path})
        for step, some in reached.items()
    ]


def _started(member: Member, plan: Plan) -> Member | None:
    try:
        member.start(plan.checkpoints.get(member.run.name))
    except Exception as error:
        member.fail(error)
        return None
    return member


def _is_out_of_memory(error: Exception) -> bool:
    return isinstance(error, (torch.OutOfMemoryError, MemoryError)) or (
        isinstance(error, RuntimeError) and "allocate memory" in str(error)
    )
