"""Measure on this machine: `python scripts/benchmark.py sweep` (see --help)."""

import argparse
from collections.abc import Callable
from typing import Any

from seq2seq.benchmark import data, explore, generate, memory, models, step, sweep


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    kinds = parser.add_subparsers(dest="kind", required=True)
    kinds.add_parser("step", help="a training step against a hand-written loop")
    kinds.add_parser("data", help="sequences per second that tasks draw")
    kinds.add_parser("models", help="a pass over long sequences")
    kinds.add_parser("generate", help="characters per second that models of text write")
    kinds.add_parser("explore", help="the explorer's start and its answers to a slider")
    runs = kinds.add_parser("memory", help="what many runs in one process leave behind")
    runs.add_argument("--runs", type=int, default=100)
    sweeps = kinds.add_parser("sweep", help="runs per minute under each launcher")
    sweeps.add_argument("--cases", nargs="+", default=list(sweep.CASES), choices=sweep.CASES)
    sweeps.add_argument("--members", nargs="+", type=int, default=[1, 8, 32, 128])
    sweeps.add_argument("--launchers", nargs="+", default=list(sweep.LAUNCHERS))
    sweeps.add_argument("--steps", type=int, default=2000)
    sweeps.add_argument("--most", type=int, default=8, help="trained of basic and joblib")
    given = vars(parser.parse_args())
    modules = {
        m.__name__.rpartition(".")[2]: m
        for m in (step, data, models, generate, explore, memory, sweep)
    }
    measure: Callable[..., Any] = modules[given.pop("kind")].measure
    measure(**given)


if __name__ == "__main__":
    main()
