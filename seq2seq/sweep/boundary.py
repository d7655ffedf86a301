"""`hydra/sweeper=boundary`: rounds of runs where the success of the earlier ones begins to fail.

Which runs a round has follows from how those of the rounds before ended (`seq2seq.sweep.design`).
So the same command goes through the same rounds again, finds their runs complete, and goes on where
it was stopped.
"""

import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from hydra.core.override_parser.types import Override
from omegaconf import DictConfig

from seq2seq import checks
from seq2seq.analysis.phases import Success
from seq2seq.errors import nearest
from seq2seq.runs import FINAL, Run, flatten
from seq2seq.schema import ConfigError
from seq2seq.sweep import jobs as job_list
from seq2seq.sweep import progress
from seq2seq.sweep.design import Point, coarse, fitted, informative
from seq2seq.sweep.sweeper import expand, run_missing
from seq2seq.sweep.table import lines

#: Of the bootstrap that says how well the contour is known.
RESAMPLES = 500


@dataclass
class Contour:
    """The runs of a grid that differ in memory, size and seed alone.

    Attributes:
        name: the other settings that tell it from further ones; empty where there is one contour.
        points, jobs: of each run of the grid.
        tried: which of them succeeded, of those that have ended.
        launched: those that were asked for.
        over: whether no further run is wanted.
    """

    name: str
    points: list[Point] = field(default_factory=list)
    jobs: list[job_list.Job] = field(default_factory=list)
    tried: dict[int, bool] = field(default_factory=dict)
    launched: list[int] = field(default_factory=list)
    over: bool = False

    def next(self, number: int) -> list[int]:
        """The runs of its next round."""
        if not self.launched:
            return coarse(self.points)
        return informative(self.points, self.tried, number, self.launched)

    def read(self, half_width: float | None) -> None:
        """See how the launched runs ended, and whether that is enough."""
        for index in self.launched:
            run = self.jobs[index].run
            if run.status in FINAL:  # one that diverged has not succeeded
                self.tried[index] = bool(run.result.get("success"))
        alike = len({*self.tried.values()}) < 2
        spent = len(self.launched) == len(self.points)
        self.over = alike or spent or (half_width is not None and self.width() <= half_width)

    def told(self, memory: float) -> str:
        """A memory of the contour, of which nothing is known beyond those of the grid."""
        memories = [point.memory for point in self.points]
        if memory < min(memories):
            return f"<{min(memories):g}"
        return f">{max(memories):g}" if memory > max(memories) else f"{memory:.3g}"

    def width(self) -> float:
        """Half the interval of the contour, the mean over its sizes."""
        low, high = self.law().interval(self.sizes)
        return float(np.mean(high - low) / 2)

    def law(self) -> Success:
        """The law of success of the runs that have ended.

        Raises:
            ValueError: all succeeded or all failed.
        """
        return fitted(self.points, self.tried, RESAMPLES)

    @property
    def interrupted(self) -> bool:
        """Whether a run that was asked for has not come to its end."""
        ended = (*FINAL, "failed")
        return any(self.jobs[index].run.status not in ended for index in self.launched)

    @property
    def sizes(self) -> list[float]:
        """The sizes of the grid."""
        return sorted({point.size for point in self.points})


class Boundary:
    """The grid, and the keys on its axes.

    Args:
        config: the sweep's own config.
        overrides: as parsed; those with several values make the grid.
        compose: gives a job's config from its overrides, as `schema.plain` does.
        launch: runs jobs, given the overrides of each.
        memory, size: the keys that success falls and rises with.

    Raises:
        ConfigError: a key is missing, is no number or has one value only; a job has no target or
            cannot be run. Nothing was written.
    """

    def __init__(
        self,
        config: DictConfig,
        overrides: Sequence[Override],
        compose: Callable[[Sequence[str]], Mapping[str, Any]],
        launch: Callable[[Sequence[Sequence[str]]], Any],
        memory: str | None,
        size: str | None,
    ) -> None:
        self.config, self.launch = config, launch
        self.memory, self.size = _axes(overrides, memory, size)
        composed = ((one, compose(one)) for one in expand(overrides))
        self.contours = self._contours(composed)

    def _contours(
        self, composed: Iterator[tuple[tuple[str, ...], Mapping[str, Any]]]
    ) -> list[Contour]:
        found: dict[tuple[str, ...], Contour] = {}
        shared: set[str] | None = None
        axes = tuple(f"{key}=" for key in (self.memory, self.size, "seed"))
        for job in job_list.plan(composed):
            others = tuple(text for text in job.overrides if not text.startswith(axes))
            shared = {*others} if shared is None else shared & {*others}
            contour = found.setdefault(others, Contour(""))
            contour.points.append(self._point(job))
            contour.jobs.append(job)
        for others, contour in found.items():
            contour.name = ", ".join(text for text in others if text not in (shared or ()))
        return [*found.values()]

    def _point(self, job: job_list.Job) -> Point:
        target = ((job.nodes.get("callbacks") or {}).get("stop_at_target") or {}).get("target")
        if target is None:
            raise ConfigError(
                "hydra/sweeper=boundary asks which runs succeed, and they have no target; "
                "set callbacks.stop_at_target.target=0.1"
            )
        values = dict(flatten(job.nodes))
        return Point(
            _number("memory", values, self.memory),
            _number("size", values, self.size),
            values["seed"],
        )

    def run(
        self,
        n_runs: int | None,
        per_round: int,
        half_width: float | None,
        shell: bool = True,
        as_json: bool = False,
    ) -> tuple[list[Run], int]:
        """Go on to `n_runs` runs; all of them, and how many did not finish.

        Raises:
            ConfigError: `n_runs` is not enough for the first round; nothing was written.
            ValueError: `per_round` or `half_width` is not positive.
        """
        checks.integer("hydra.sweeper.per_round", per_round)
        if half_width is not None:
            checks.positive("hydra.sweeper.half_width", half_width)
        every = sum(len(contour.points) for contour in self.contours)
        rounds = [contour.next(0) for contour in self.contours]
        least = sum(map(len, rounds))
        n_runs = max(least, -(-every // 3)) if n_runs is None else n_runs
        if n_runs < least:
            raise ConfigError(
                f"hydra.sweeper.n_runs must be at least {least}, the runs of the first round, "
                f"got {n_runs}; raise it, or sweep fewer settings beside the two keys"
            )
        if self.config.dry_run:
            return self._estimate(rounds, n_runs, every, as_json), 0
        told = sys.stderr if as_json or not shell else sys.stdout
        if shell:
            print(f"at most {n_runs} of the grid's {every} runs, {least} first", file=told)
        spent = 0
        while True:
            self._train(rounds, shell)
            spent += sum(map(len, rounds))
            for contour in self.contours:
                contour.read(half_width)
            if shell:
                print(f"{spent} of at most {n_runs} runs: {self._said()}", file=told)
            if any(contour.interrupted for contour in self.contours):
                break  # the next round follows from how these runs end
            rounds = self._round(min(per_round, n_runs - spent))
            if not any(rounds):
                break
        jobs = [contour.jobs[i] for contour in self.contours for i in contour.launched]
        runs = [job.run for job in jobs]
        failed = sum(run.status not in FINAL for run in runs)
        if shell:
            job_list.show_json(jobs) if as_json else self._show(every)
        return runs, failed

    def _train(self, rounds: Sequence[Sequence[int]], shell: bool) -> None:
        """Run what is missing of a round, and note it among the runs that are wanted."""
        now = []
        for contour, indices in zip(self.contours, rounds, strict=True):
            reserved = job_list.reserve(contour.jobs[index] for index in indices)
            for index, job in zip(indices, reserved, strict=True):
                contour.jobs[index] = job
            contour.launched += indices
            now += reserved
        missing = [job for job in now if not job.is_done]
        if not missing:
            return
        wanted = [contour.jobs[i] for contour in self.contours for i in contour.launched]
        job_list.write_plan(wanted)
        try:
            with progress.told(now) if shell else nullcontext():
                run_missing(missing, self.launch)
        except ConfigError:  # of the launcher: nothing was begun
            job_list.give_up(missing)
            raise

    def _round(self, number: int) -> list[list[int]]:
        """The runs of the next round of each contour, which share `number` of them."""
        going = [contour for contour in self.contours if not contour.over]
        rounds = []
        for contour in self.contours:
            share = 0
            if contour in going:
                share = -(-number // len(going))
                going.remove(contour)
            number -= share
            rounds.append(contour.next(share) if share else [])
        return rounds

    def _estimate(
        self, rounds: Sequence[Sequence[int]], n_runs: int, every: int, as_json: bool
    ) -> list[Run]:
        from seq2seq.sweep.estimate import show_estimate

        pairs = zip(self.contours, rounds, strict=True)
        jobs = [contour.jobs[index] for contour, indices in pairs for index in indices]
        show_estimate(jobs, as_json)
        most = f"at most {min(n_runs, every)} of the grid's {every} runs"
        more = f"these are the first round; then more, to {most}"
        told = sys.stderr if as_json else sys.stdout
        print(more if len(jobs) < n_runs else f"these are all, {most}", file=told)
        return [job.run for job in jobs]

    def _said(self) -> str:
        """How well each contour is known."""
        told = []
        for contour in self.contours:
            try:
                said = f"{self.memory} ± {contour.width():.2g}"
            except ValueError as error:
                said = str(error)
            told.append(f"{contour.name}: {said}" if contour.name else said)
        return "; ".join(told)

    def _show(self, every: int) -> None:
        """Print the contours, and how many runs ended in which way."""
        rows = []
        for contour in self.contours:
            try:
                law = contour.law()
            except ValueError:  # said after its last round
                continue
            for size, at, low, high in zip(
                contour.sizes, law.contour(contour.sizes), *law.interval(contour.sizes), strict=True
            ):
                told = (contour.told(memory) for memory in (at, low, high))
                rows.append((contour.name, f"{size:g}", *told))
        columns = ("setting", self.size, f"{self.memory} of half", "from", "to")
        if rows:
            print("\n".join(lines(columns, rows, columns[1:])))
        ended = Counter(
            contour.jobs[i].run.status for contour in self.contours for i in contour.launched
        )
        counts = ", ".join(f"{count} {status}" for status, count in ended.items())
        parent = self.contours[0].jobs[0].folder.parent
        print(f"{ended.total()} of the grid's {every} runs: {counts}; below {parent}")
        for contour in self.contours:
            for job in (contour.jobs[i] for i in contour.launched):
                if job.run.status == "failed":
                    print(f"{job.folder}: {job.run.result.get('error', '')}")


def _axes(overrides: Sequence[Override], memory: str | None, size: str | None) -> tuple[str, str]:
    """The keys of both axes, if the overrides sweep them and the seed."""
    last = {one.get_key_element(): one for one in overrides}
    swept = [key for key, one in last.items() if one.is_sweep_override()]
    for name, key, example in (("memory", memory, "task.k"), ("size", size, "model.hidden_size")):
        if key is None:
            raise ConfigError(
                "hydra/sweeper=boundary needs the keys that success falls and rises with; "
                f"set hydra.sweeper.{name}={example}"
            )
        if key not in swept:
            raise ConfigError(
                f"hydra.sweeper.{name}={key} is not swept{nearest(key, swept)}; "
                f"give it several values, as in -m {key}=4,8,16"
            )
    if memory == size:
        raise ConfigError(f"hydra.sweeper.memory and size are both {size}; name two keys")
    if "seed" not in swept:
        raise ConfigError("a share of successes needs several seeds; add 'seed=range(8)'")
    assert memory is not None
    assert size is not None
    return memory, size


def _number(name: str, values: Mapping[str, Any], key: str) -> float:
    value = values.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
        raise ConfigError(
            f"hydra.sweeper.{name}={key} must be positive numbers, got {value!r}; name another key"
        )
    return float(value)
