"""Measure on this machine: `seq2seq benchmark sweep steps=500` (`sweep --help`).

step        a training step against a hand-written loop
data        sequences per second that tasks draw
plateau     false alarms and errors of the escape from a plateau
boundary    runs that hydra/sweeper=boundary needs for what a grid tells
sizes       parameters and memory of the models
models      a pass over long sequences
generate    characters per second that models of text write
explore     the explorer's start and its answers to a slider
books       lists and sweeps of thousands of runs
memory      what many runs in one process leave behind
sweep       runs per minute under each launcher
"""

from collections.abc import Sequence
from importlib import import_module

from seq2seq import checks
from seq2seq.command import call

KINDS = (
    *("step", "data", "plateau", "boundary", "sizes", "models"),
    *("generate", "explore", "books", "memory", "sweep"),
)


def main(arguments: Sequence[str], called: str) -> None:
    """Print one table."""
    kind, *options = arguments or ["--help"]
    if kind in ("--help", "-h"):
        print(__doc__)
        return
    checks.one_of("kind", kind, KINDS)
    call(import_module(f"seq2seq.benchmark.{kind}").measure, options, f"{called} {kind}")
