"""Train groups of runs, chunk by chunk, in processes side by side."""

import contextlib
import itertools
import logging
import multiprocessing
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import wait
from multiprocessing.context import ForkProcess

import torch
from omegaconf import DictConfig

from seq2seq.batched.chunk import Chunk
from seq2seq.batched.grouping import FEWEST, chunk_size, grouped, kept_bytes, on_gpu, plan_chunks
from seq2seq.batched.member import Member
from seq2seq.build import threads
from seq2seq.processes import end_with_parent, keep_memory
from seq2seq.runs import LostLease, Run, run_folder
from seq2seq.runs.locks import Claims
from seq2seq.training import (
    begin,
    claim,
    interruptible,
    quiet,
    stopping_workers,
)

log = logging.getLogger("seq2seq")

#: Members, and whether they are trained as one program.
Piece = tuple[list[Member], bool]
#: Exit code of a process whose members could not be.
NOT_TRAINED = 75


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
    with stopping_workers():
        train_groups(grouped(configs), workers)
    return [Run(run_folder(cfg)) for cfg in configs]


def train_groups(
    groups: Sequence[Sequence[Member]],
    workers: int | None = None,
    meanwhile: Callable[[], None] = lambda: None,
    singles: Sequence[Member] = (),
    train_single: Callable[[Member], object] | None = None,
) -> None:
    """As `train_all`, for `groups` from `grouped`, but for members that another process trains.

    Args:
        groups: members of one shape each, that are trained as one program.
        workers: as for `train_all`.
        meanwhile: called once, when the workers have started.
        singles: members that are trained one by one, when all groups have begun.
        train_single: trains one of these, and in the end one of a group that could not be trained
            as one program; None: the members of such a group have failed.
    """
    if not groups and not singles:
        return meanwhile()
    if workers is None:
        workers = min(processes(group[0].cfg) for group in groups)
    with quiet(), threads(1):  # the longest first, so that the workers end together
        ordered = sorted(groups, key=lambda group: -kept_bytes(group[0]) * group[0].max_steps)
    with Claims() as claims:

        def train(members: list[Member], together: bool) -> bool:
            if together:
                return train_chunk(members, train_single is None)
            assert train_single is not None
            train_single(members[0])
            return True

        def left(members: list[Member]) -> list[Piece]:
            for member in members:
                claims.release(member.run.folder)  # whoever trains it alone claims it himself
            return [([member], False) for member in members if not member.run.result]

        begun: list[Member] = []
        chunks = _chunks(ordered, claims, workers, bool(singles), begun)
        batched = ((members, True) for members in chunks)
        alone = (([member], False) for member in singles)
        try:
            _train_pieces(itertools.chain(batched, alone), train, left, workers, meanwhile)
        except KeyboardInterrupt:
            for member in begun:
                with contextlib.suppress(LostLease):
                    if not member.run.result:  # its turn has not come
                        member.stop()
            raise


def processes(cfg: DictConfig) -> int:
    """How many processes to train with, side by side."""
    # Forked processes are at hand at once. After a fork, OpenMP must stay with one thread.
    if sys.platform != "linux" or cfg.threads > 1 or on_gpu(cfg):
        return 1
    return len(os.sched_getaffinity(0))


def _chunks(
    groups: Sequence[Sequence[Member]],
    claims: Claims,
    workers: int,
    more: bool,
    begun: list[Member],
) -> Iterator[list[Member]]:
    """The chunks of each group, which is claimed, and added to `begun`, when its turn comes.

    The last one, if no `more` work follows, is divided among all workers, however small it is.
    """
    for number, group in enumerate(groups, 1):
        free = [m for m in group if claim(claims, m.run) and not m.run.is_done(m.cfg)]
        if free:
            for member in free:
                begin(member.cfg, member.run)
                begun.append(member)
            with quiet(), threads(1):
                fewest = FEWEST if more or number < len(groups) else 1
                chunks = plan_chunks(free, chunk_size(free, workers, fewest))
            yield from chunks


def _train_pieces(
    pieces: Iterator[Piece],
    train: Callable[[list[Member], bool], bool],
    left: Callable[[list[Member]], list[Piece]],
    workers: int,
    meanwhile: Callable[[], None],
) -> None:
    """Train the pieces, `workers` at a time, each in a process of its own.

    Those that `train` returns False for are replaced by what is `left` of them, which comes last.
    """
    later: list[Piece] = []

    def following() -> Piece | None:
        return next(pieces, None) or (later.pop(0) if later else None)

    if workers == 1:
        meanwhile()
        while piece := following():
            if not train(*piece):
                later.extend(left(piece[0]))
        return
    running: dict[ForkProcess, Piece] = {}
    fork = multiprocessing.get_context("fork")

    def start() -> None:
        while len(running) < workers and (piece := following()):
            process = fork.Process(target=_child, args=(train, piece))
            process.start()
            running[process] = piece

    try:
        start()
        meanwhile()
        while running:
            ended = wait([process.sentinel for process in running])
            for process in [process for process in running if process.sentinel in ended]:
                process.join()
                members, _ = running.pop(process)
                if process.exitcode == NOT_TRAINED:
                    later += left(members)
            start()
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


def _child(train: Callable[[list[Member], bool], bool], piece: Piece) -> None:
    os.setpgrp()  # Ctrl-C reaches the parent alone, which tells its children once
    end_with_parent()
    keep_memory()
    with contextlib.suppress(KeyboardInterrupt), threads(piece[0][0].cfg.threads):
        if not train(*piece):
            sys.exit(NOT_TRAINED)


def train_chunk(members: Sequence[Member], to_the_end: bool = True) -> bool:
    """Train one chunk; what has too little memory is trained in halves.

    Args:
        members: from `plan_chunks`.
        to_the_end: when they cannot be trained together, that is how all members end, as `failed`;
            else they are left as they are, and False is returned.

    Raises:
        KeyboardInterrupt: the user interrupted; all members have a checkpoint.
    """
    with quiet(), threads(members[0].cfg.threads), interruptible() as interruption:
        left = [member for member in members if _has_started(member)]
        if not left:
            return True
        chunk = None
        try:
            chunk = Chunk(left, lambda: bool(interruption.requested))
            chunk.train()
            return True
        except KeyboardInterrupt:
            for member in chunk.live if chunk else left:
                with contextlib.suppress(LostLease):
                    member.stop()
            raise
        except Exception as error:
            left = chunk.live if chunk else left
            if not _is_out_of_memory(error) or len(left) == 1:
                for member in left:
                    if to_the_end:
                        member.fail(error)
                    else:
                        member.close()
                if not to_the_end:
                    reason = (str(error).splitlines() or [type(error).__name__])[0][:200]
                    what = (
                        f"{len(left)} run{'s' * (len(left) > 1)} cannot be trained as one program"
                    )
                    print(f"{what} ({reason}); training them one by one", file=sys.stderr)
                return to_the_end
    del chunk
    log.warning("out of memory with %d runs together; going on with half as many", len(left))
    again = [Member(member.cfg, member.run) for member in left]
    halves = plan_chunks(again, -(-len(left) // 2))
    trained = [train_chunk(half, to_the_end) for half in halves]
    return all(trained)


def _has_started(member: Member) -> bool:
    try:
        member.start()
    except Exception as error:
        member.fail(error)
        return False
    return True


def _is_out_of_memory(error: Exception) -> bool:
    known = isinstance(error, (torch.OutOfMemoryError, MemoryError))
    return known or "allocate memory" in str(error)
