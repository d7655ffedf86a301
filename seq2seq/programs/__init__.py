"""The programs: `seq2seq <program> …` and `python -m seq2seq …`; in a checkout train.py, scripts/.

What can be said without them, such as the list of programs, imports nothing further.
"""

import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

import seq2seq
from seq2seq.errors import nearest

PROGRAMS = {
    "train": "train a model on a task, or sweep over many",
    "runs": "what is done, running, failed or missing",
    "report": "a page with the figures and numbers of a sweep",
    "table": "a number of the runs of sweeps, over seeds, for a paper",
    "evaluate": "test a trained model on other data",
    "generate": "let a trained language model write",
    "rollout": "how long a trained model predicts Lorenz 96 on its own",
    "explore": "pages with sliders, in a browser",
    "gallery": "figures and recorded pages as one HTML file",
    "published": "the published losses beside the own ones",
    "capacity": "how many bits of the past trained models recall",
    "bounds": "what recurrences and dilated convolutions must miss of a memory",
    "pretrain": "train the models that come with the package anew",
    "benchmark": "what it costs on this machine",
}
#: Of sweeps; those from `joblib` on need pip install 'seq2seq[sweep]'.
LAUNCHERS = {
    "auto": "each run in the way that is fastest for it (the default)",
    "basic": "one run after another",
    "vmap": "runs of one shape as one tensor program",
    "joblib": "runs in processes on this machine",
    "submitit": "a Slurm array, a task per run",
    "submitit_vmap": "a Slurm array, a task per group of runs as one program",
    "ray": "runs on a Ray cluster",
    "ray_vmap": "groups of runs, each as one program, on a Ray cluster",
}
HELP = """\
How sequence models learn long memory: train, sweep, watch, report.

  seq2seq train model=tcn task=shift task.k=8                one run, in ./outputs
  seq2seq train -m model=rnn,tcn task.k=4,8 seed=0,1,2       a sweep
  seq2seq report outputs/shift                               its figures and numbers

Programs:
"""
ENDING = """
`seq2seq <program> --help` tells more of each, and `eval "$(seq2seq -sc install=bash)"` lets TAB
complete what follows."""


def main() -> int:
    """What follows `seq2seq`; overrides alone are for `train`. The exit code."""
    name, *arguments = sys.argv[1:] or ["--help"]
    if name in ("--help", "-h"):
        print(HELP + "\n".join(f"  {one:<12}{does}" for one, does in PROGRAMS.items()))
        print(ENDING)
        return 0
    if name.startswith("-") or "=" in name:  # processes of DDP are started anew in this way
        name, arguments = "train", sys.argv[1:]
    if name not in PROGRAMS:
        print(f"seq2seq: no program {name}{nearest(name, PROGRAMS)}", file=sys.stderr)
        return 2
    return run(name, arguments, f"seq2seq {name}")


def run(program: str, arguments: Sequence[str], called: str = "") -> int:
    """The exit code of a program, given its arguments.

    Args:
        program: one of `PROGRAMS`.
        arguments: what follows its name.
        called: what a user calls it; empty for the name of the file that was started.
    """
    if "--version" in arguments:
        print(f"seq2seq {seq2seq.__version__}")
        return 0
    sys.argv[1:] = arguments
    if {"--shell-completion", "-sc"} & {*arguments}:
        from seq2seq.programs.completion import complete

        return complete(arguments)
    from seq2seq.command import command

    main = import_module(f"{__name__}.{program}").main
    return command(main, arguments, called or Path(sys.argv[0]).name)
