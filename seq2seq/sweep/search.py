"""`hydra/sweeper=optuna`: trials are runs, chosen by Optuna from what the earlier ones reached."""

import hashlib
import json
import math
import sys
from collections.abc import Callable, Sequence
from typing import Any

import optuna
from hydra.core.override_parser.types import IntervalSweep, Override
from omegaconf import DictConfig
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.samplers import TPESampler
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, Trial, TrialState

from seq2seq.runs import Run, ending, score, short
from seq2seq.runs.locks import Claims
from seq2seq.schema import ConfigError
from seq2seq.sweep.jobs import Job, make_parent, plan, reserve
from seq2seq.sweep.sweeper import launch_jobs
from seq2seq.sweep.table import print_table

#: The study's storage, beside its runs.
JOURNAL = "study.journal"


class Search:
    """A study: its space, its fixed overrides, and its journal, from which a killed one goes on.

    Args:
        config: the sweep's own config.
        overrides: as parsed; those with several values make the space.
        compose: gives a job's config from its overrides.
        launch: runs jobs, given the overrides of each.

    Raises:
        ConfigError: nothing is searched, or the runs cannot be made.
    """

    def __init__(
        self,
        config: DictConfig,
        overrides: Sequence[Override],
        compose: Callable[[Sequence[str]], DictConfig],
        launch: Callable[[Sequence[Sequence[str]]], Any],
    ) -> None:
        self.config, self.compose, self.launch = config, compose, launch
        last = {override.get_key_element(): override for override in overrides}
        self.space = {k: distribution(o) for k, o in last.items() if o.is_sweep_override()}
        if not self.space:
            raise ConfigError(
                "hydra/sweeper=optuna has nothing to search; "
                "add hydra.sweeper.params or -m 'optimizer.lr=tag(log, interval(1e-4, 1e-1))'"
            )
        self.fixed = [
            key if o.is_delete() else f"{key}={o.get_value_element_as_str()}"
            for key, o in last.items()
            if key not in self.space
        ]
        self.base = self._job(self.fixed)
        self.folder = self.base.folder.parent
        # Another space, or other fixed values, are another study in the same journal.
        space = {k: optuna.distributions.distribution_to_json(d) for k, d in self.space.items()}
        base = ending(self.base.folder.name)
        digest = hashlib.sha256(json.dumps([base, space]).encode()).hexdigest()
        self.name = digest[:8]

    def run(
        self,
        n_trials: int,
        parallel: int,
        startup_trials: int,
        prune_after: int | None,
        as_json: bool = False,
    ) -> tuple[list[Run], int]:
        """Go on to `n_trials` runs and print the best; the runs, and how many failed.

        Raises:
            ConfigError: another process is at this study.
        """
        self._told = sys.stderr if as_json else sys.stdout
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        if self.config.dry_run:
            from seq2seq.sweep.estimate import show_estimate

            show_estimate([self.base], as_json)
            told = f"{n_trials} runs as this one, but for {', '.join(self.space)}"
            print(told, file=self._told)
            return [], 0
        make_parent(self.base)
        with Claims() as claims:
            if not claims.claim(self.folder):
                raise ConfigError(
                    f"another process searches in {self.folder}; "
                    "set name=<other>, or let one process launch several: hydra.sweeper.parallel"
                )
            study = self._study(startup_trials, parallel)
            begun = study.get_trials(deepcopy=False, states=[TrialState.RUNNING])
            trials = [Trial(study, trial._trial_id) for trial in begun]  # of a killed process
            while True:
                left = n_trials - len(study.get_trials(deepcopy=False)) + len(trials)
                while len(trials) < min(parallel, left):
                    trials.append(study.ask())
                if not trials:
                    break
                self._try(study, trials[:parallel], startup_trials, prune_after)
                del trials[:parallel]
        tried = study.get_trials(deepcopy=False)
        show_json(tried) if as_json else self.show(study)
        runs = [Run(t.user_attrs["folder"]) for t in tried if "folder" in t.user_attrs]
        unended = (TrialState.FAIL, TrialState.RUNNING)
        return runs, sum(trial.state in unended for trial in tried)

    def _study(self, startup_trials: int, parallel: int) -> optuna.Study:
        storage = JournalStorage(JournalFileBackend(str(self.folder / JOURNAL)))
        study = optuna.create_study(
            study_name=self.name, storage=storage, direction="minimize", load_if_exists=True
        )
        study.sampler = TPESampler(
            n_startup_trials=startup_trials,
            constant_liar=parallel > 1,
            seed=self.config.seed + len(study.trials),  # going on, it draws on
        )
        return study

    def _try(
        self,
        study: optuna.Study,
        trials: Sequence[Trial],
        startup_trials: int,
        prune_after: int | None,
    ) -> None:
        jobs, valid = [], []
        for trial in trials:
            chosen = [f"{key}={suggest(trial, key, d)}" for key, d in self.space.items()]
            extra = [] if prune_after is None else self._pruning(trial, startup_trials, prune_after)
            try:
                jobs.append(self._job([*self.fixed, *chosen, *extra]))
            except ConfigError as error:  # these values do not go together
                trial.set_user_attr("error", str(error))
                study.tell(trial, state=TrialState.FAIL)
                continue
            valid.append(trial)
        if not jobs:
            return
        jobs = reserve(jobs)
        for trial, job in zip(valid, jobs, strict=True):
            trial.set_user_attr("folder", str(job.folder))
        for trial, job, value in zip(valid, jobs, launch_jobs(jobs, self.launch), strict=True):
            run = job.run
            if value is None and run.status == "finished":
                value = score(run.result)  # the launcher ended before it could tell
            if run.result.get("pruned"):
                study.tell(trial, state=TrialState.PRUNED)
            elif run.status in ("stopped", "killed"):
                pass  # it is begun, and goes on when the search is asked for again
            elif run.status == "diverged":
                study.tell(trial, math.inf)
            elif value is None:
                study.tell(trial, state=TrialState.FAIL)
            else:
                study.tell(trial, value)
            line = f"trial {trial.number}: {run.status}  {_shown(trial.params)}"
            print(line if value is None else f"{line}  error {value:.4g}", file=self._told)

    def _job(self, overrides: Sequence[str]) -> Job:
        (job,) = plan([(overrides, self.compose(overrides))], shared=self.fixed)
        return job

    def _pruning(self, trial: Trial, startup_trials: int, prune_after: int) -> list[str]:
        values = {
            "_target_": "seq2seq.callbacks.Pruning",
            "journal": f"'{self.folder / JOURNAL}'",
            "study": f"'{self.name}'",
            "trial": trial.number,
            "startup_trials": startup_trials,
            "warmup_steps": prune_after,
        }
        return [f"+callbacks.pruning.{key}={value}" for key, value in values.items()]

    def show(self, study: optuna.Study, most: int = 10) -> None:
        """Print the best runs, and how many ended in which way."""
        complete = study.get_trials(deepcopy=False, states=[TrialState.COMPLETE])
        rows = [
            (str(t.number), f"{t.value:.4g}", _shown(t.params), str(t.user_attrs["folder"]))
            for t in sorted(complete, key=lambda t: t.value or 0.0)[:most]
        ]
        print_table(("trial", "val error", "values", "folder"), rows)
        ended = [trial.state.name.lower() for trial in study.get_trials(deepcopy=False)]
        counts = ", ".join(f"{ended.count(s)} {s}" for s in ("complete", "pruned", "fail"))
        print(f"{len(ended)} trials: {counts}; study in {self.folder / JOURNAL}")


def show_json(trials: Sequence[FrozenTrial]) -> None:
    """Print for each trial its values, its folder, how it ended and with which error."""
    told = [
        {"trial": trial.number, "values": trial.params, "folder": trial.user_attrs.get("folder")}
        | {"status": trial.state.name.lower(), "error": trial.value}
        for trial in trials
    ]
    print(json.dumps(told, indent=1))


def _shown(params: dict[str, Any]) -> str:
    """The values, each after its key in short."""
    names = short(params)
    return " ".join(
        f"{names[key]}={value:.4g}" if isinstance(value, float) else f"{names[key]}={value}"
        for key, value in params.items()
    )


def distribution(override: Override) -> BaseDistribution:
    """What Optuna draws from, for an override with several values.

    Raises:
        ConfigError: a logarithmic scale for values that have none.
    """
    sweep: Any = override.value()
    log = "log" in sweep.tags
    if isinstance(sweep, IntervalSweep):
        if isinstance(sweep.start, int) and isinstance(sweep.end, int):
            return IntDistribution(sweep.start, sweep.end, log=log)
        return FloatDistribution(float(sweep.start or 0), float(sweep.end or 0), log=log)
    if log:
        raise ConfigError(f"{override.input_line}: tag(log, ...) is for interval(a, b)")
    return CategoricalDistribution([str(value) for value in override.sweep_string_iterator()])


def suggest(trial: Trial, key: str, of: BaseDistribution) -> Any:
    """The trial's value for a key; that of a trial begun before stays."""
    if isinstance(of, IntDistribution):
        return trial.suggest_int(key, of.low, of.high, log=of.log)
    if isinstance(of, FloatDistribution):
        return trial.suggest_float(key, of.low, of.high, log=of.log)
    assert isinstance(of, CategoricalDistribution)
    return trial.suggest_categorical(key, of.choices)
