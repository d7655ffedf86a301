"""Train a model on a task, or sweep over many.

python train.py model=tcn task=shift task.k=8
python train.py -m model=rnn,tcn task.k=4,8,16 seed=0,1,2
"""

import contextlib
import io
import os
import re
import sys
from typing import NoReturn

import hydra
from hydra._internal.hydra import Hydra
from hydra._internal.utils import get_args_parser
from hydra.types import RunMode
from omegaconf import DictConfig

from seq2seq import schema
from seq2seq.command import guarded

HELP = """\
Train a sequence model on a task with memory, or sweep over many.

  python train.py model=tcn task=shift task.k=8              one run
  python train.py -m model=rnn,tcn task.k=4,8 seed=0,1,2     a sweep
  python train.py experiment=plateau_shift                   a published claim, its sweep included
  python train.py ... dry_run=true                           list the jobs and an estimated time
  python train.py ... --cfg job                              show the config, train nothing

Set any value by its dotted key, as in task.length=64 optimizer.lr=3e-4 trainer.max_steps=5000.
Runs lie in outputs/ (tensorboard --logdir outputs); a complete one is not trained again.
Further flags: --hydra-help.

Choices:
"""


@hydra.main(version_base="1.3", config_path="configs", config_name="train")
def run_job(cfg: DictConfig) -> float | None:
    """One job: the data, the model, the fit, the test; returns the validation error."""
    from seq2seq.sweep import multirun

    return multirun.run_job(cfg)


def main() -> None:
    """One command: its help, or its jobs; exits with code 1 if one failed."""
    os.environ["HYDRA_FULL_ERROR"] = "1"  # let errors through
    Hydra.get_mode = lambda *_, **__: RunMode.MULTIRUN  # type: ignore[method-assign]
    if {"--help", "-h"} & set(sys.argv):
        show_help()
        return
    if "hydra.mode=RUN" in sys.argv:
        raise schema.ConfigError("hydra.mode=RUN would leave out the checks; leave it out")
    sys.argv[1:] = flags_first(sys.argv[1:])
    schema.register(sys.argv[1:])
    complete() if {"--shell-completion", "-sc"} & set(sys.argv) else run_job()


def flags_first(arguments: list[str]) -> list[str]:
    """The flags before the overrides, as Hydra wants them.

    Raises:
        ConfigError: there is no such flag, it takes another value, or it leaves out the checks.
    """
    parser = get_args_parser()
    parser.error = refuse_flag  # type: ignore[method-assign]
    given = parser.parse_intermixed_args(arguments)
    if given.run or given.experimental_rerun:
        refuse_flag("--run and --experimental-rerun would leave out the checks; leave them out")
    return [*(a for a in arguments if a not in given.overrides), *given.overrides]


def refuse_flag(message: str) -> NoReturn:
    raise schema.ConfigError(f"{message}; train.py --hydra-help lists the flags")


def show_help() -> None:
    """Usage and all choices, read from the names of the config files: Hydra's own takes seconds."""
    print(HELP)
    for group, names in schema.choices(sys.argv[1:]).items():
        print(f"  {group}: {', '.join(names)}")


def complete() -> None:
    """Hydra's completion without what nobody chooses: schemas, `_target_` and `_partial_`."""
    with contextlib.redirect_stdout(io.StringIO()) as told:
        run_job()
    print(re.sub(r"\S+(_schema|\b_target_=|\b_partial_=)(\s|$)", "", told.getvalue()), end="")


if __name__ == "__main__":
    sys.exit(guarded(main, "stopped; the same command continues from the last checkpoint"))
