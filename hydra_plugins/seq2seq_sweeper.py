"""Hydra's view of `seq2seq.sweep`: Hydra finds sweepers and launchers only in `hydra_plugins`."""

import sys
from collections.abc import Iterator, Sequence
from typing import Any

from hydra.core.object_type import ObjectType
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, Glob, Override, ValueType
from hydra.core.plugins import Plugins
from hydra.plugins.launcher import Launcher
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, RunMode, TaskFunction
from omegaconf import DictConfig

from seq2seq.files import place
from seq2seq.runs import Run
from seq2seq.schema import ConfigError, check_folders


class RunSweeper(Sweeper):
    """The grid of all swept values, every job checked before the first starts.

    A single run is a sweep of one job, so that both have the same folders, checks and resume. Of
    several experiments, as in `experiment=glob(atlas/*)`, each has its own sweep.
    """

    def __init__(self, params: dict[str, str] | None = None, as_json: bool = False) -> None:
        self.params, self.as_json = params or {}, as_json

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        """Called by Hydra before `sweep`.

        Raises:
            ConfigError: the launcher is not installed, or the runs would be moved.
        """
        check_folders(config.hydra)
        from seq2seq.compose import Composer

        config.hydra.sweep.dir = str(place(config.paths.outputs))
        self.config: DictConfig = config
        self.hydra_context = hydra_context
        loader: Any = hydra_context.config_loader
        self._compose = Composer(loader, config)
        composing: Any = HydraContext(self._compose, hydra_context.callbacks)  # type: ignore[arg-type]
        plugins = Plugins.instance()
        wanted = config.hydra.launcher
        if wanted._target_ not in plugins.class_name_to_class:
            raise ConfigError(f"{wanted._target_} is not installed; pip install 'seq2seq[sweep]'")
        if wanted.get("n_jobs") == -1:  # joblib: as many as the cores can serve
            from joblib import cpu_count

            wanted.n_jobs = max(1, cpu_count() // config.threads)
        if wanted.get("pre_dispatch") == "2*n_jobs":  # else jobs begin after a signal
            wanted.pre_dispatch = "n_jobs"
        self.launcher: Launcher = plugins.instantiate_launcher(
            hydra_context=composing, task_function=task_function, config=config
        )

    def sweep(self, arguments: list[str], shell: bool = True) -> list[Run]:
        """Check all jobs, run those that are missing, return all of them.

        Args:
            arguments: overrides.
            shell: tell what is done and how the jobs ended, as a command does.

        Raises:
            SystemExit: with code 1, for a command of which a job did not finish.
        """
        runs, failed = self._run(self._parse(arguments, shell), shell)
        if failed and shell:
            raise SystemExit(1)
        return runs

    def _run(self, overrides: list[Override], shell: bool) -> tuple[list[Run], int]:
        from seq2seq.sweep.sweeper import expand, run_jobs

        grid = expand(*self._sweeps(overrides))
        compose, launch = self._compose.plain, self._launch
        return run_jobs(self.config, grid, compose, launch, shell, self.as_json)

    def _sweeps(self, overrides: list[Override]) -> Iterator[list[Override]]:
        """The overrides of each experiment that a command names, its own sweep before them."""
        assert self.hydra_context is not None
        wanted = [one for one in overrides if one.key_or_group == "experiment"]
        if not (wanted and wanted[-1].is_sweep_override()):
            yield overrides
            return
        loader: Any = self.hydra_context.config_loader
        others = [one for one in overrides if one not in wanted]
        alike = [str(one.input_line) for one in others if not one.is_sweep_override()]
        names = [*wanted[-1].sweep_string_iterator()]
        if not names:
            raise ConfigError(f"{wanted[-1].input_line} has no values; correct it")
        for name in names:
            config = loader.load_configuration(
                "train", [*alike, one := f"experiment={name}"], RunMode.RUN
            )
            sweeper = config.hydra.sweeper
            if sweeper._target_ != self.config.hydra.sweeper._target_:
                raise ConfigError(f"{one} has a sweeper of its own; train it by itself")
            swept = [f"{key}={value}" for key, value in (sweeper.params or {}).items()]
            yield [*self._parser().parse_overrides([*swept, one]), *others]

    def _parse(self, arguments: list[str], shell: bool) -> list[Override]:
        parser = self._parser()
        given = parser.parse_overrides(arguments)
        swept = parser.parse_overrides([f"{key}={value}" for key, value in self.params.items()])
        for override in [*swept, *given]:
            value: Any = override.value()
            if isinstance(value, Glob):
                value.exclude += ["*_schema", "_*", "*/_*"]  # what configs begin with
                if override.key_or_group == "experiment":
                    override._value = ChoiceSweep(list=[*value.filter([*self._experiments()])])
                    override.value_type = ValueType.CHOICE_SWEEP
        if shell and not {"-m", "--multirun"} & set(sys.argv):
            for override in given:
                if override.is_sweep_override():
                    raise ConfigError(f"{override.input_line} has several values; add -m to sweep")
        return [*swept, *given]

    def _parser(self) -> OverridesParser:
        assert self.hydra_context is not None
        return OverridesParser.create(config_loader=self.hydra_context.config_loader)

    def _experiments(self, folder: str = "") -> Iterator[str]:
        """The names of all experiments, which may begin with a folder."""
        assert self.hydra_context is not None
        loader, group = self.hydra_context.config_loader, f"experiment/{folder}".rstrip("/")
        yield from (folder + name for name in loader.get_group_options(group, ObjectType.CONFIG))
        for below in loader.get_group_options(group, ObjectType.GROUP):
            yield from self._experiments(f"{folder}{below}/")

    def _launch(self, jobs: Sequence[Sequence[str]]) -> Any:
        return self.launcher.launch(jobs, initial_job_idx=0)
