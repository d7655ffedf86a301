"""Chunks: how many members of a group are trained as one, and from which step."""

import itertools
import os
import sys
from collections import defaultdict
from collections.abc import Sequence

import torch
from omegaconf import DictConfig
from torch import Tensor

from seq2seq.batched.grouping import FEWEST, example
from seq2seq.batched.member import Member

#: Bytes that the backward passes of a chunk may keep: with more, a CPU's cache is left.
CACHE = 24e6
#: Members per chunk on a CPU above which more bring nothing.
MOST = 128


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


def chunk_size(group: Sequence[Member], workers: int) -> int:
    """How many members of a group to train as one: by cache and cores on a CPU, else by memory."""
    member = group[0]
    kept = kept_bytes(member)
    task = member.task
    pairs = sum(part[0].numel() * part.element_size() for part in example(task, 1))
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
    batch = example(member.task, member.task.batch_size)
    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        module.objective(module.model, batch, module.loss)
    return max(1, sum(sizes.values()))


def on_gpu(cfg: DictConfig) -> bool:
    """Whether a run's trainer will choose a GPU."""
    wanted = cfg.trainer.get("accelerator", "auto") in ("auto", "cuda", "gpu")
    return wanted and torch.cuda.is_available()


def _free_memory() -> float:
    return float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_AVPHYS_PAGES"))


def processes(cfg: DictConfig) -> int:
    """How many processes to train with, side by side."""
    # Forked processes are at hand at once. After a fork, OpenMP must stay with one thread.
    if sys.platform != "linux" or cfg.threads > 1 or on_gpu(cfg):
        return 1
    return len(os.sched_getaffinity(0))
