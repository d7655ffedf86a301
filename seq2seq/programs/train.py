"""Train a model on a task, or sweep over many."""

import os
import sys
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import NoReturn

from omegaconf import DictConfig

from seq2seq import schema
from seq2seq.errors import terminal_width
from seq2seq.programs import LAUNCHERS

WHAT = "Train a sequence model on a task with memory, or sweep over many."
EXAMPLES = {
    "model=tcn task=shift task.k=8": "one run",
    "-m model=rnn,tcn task.k=4,8 seed=0,1,2": "a sweep (--json: a table for programs)",
    "experiment=plateau_shift": "a published claim, its sweep included",
    "... dry_run=true": "list the jobs and an estimated time",
    "... --cfg job": "show the config, train nothing",
    "model=tcn --help": "what can be set, and what it means",
}
NOTES = (
    "Set any value by its dotted key, as in task.length=64 optimizer.lr=3e-4 trainer.max_steps=99.",
    "Runs lie in outputs/ (tensorboard --logdir outputs); a complete one is not trained again.",
    "Further flags: --hydra-help.",
)
#: Groups of configs that the list of choices begins with.
FIRST = ("model", "task")
STOPPED = "stopped; the same command continues from the last checkpoint"


def main(arguments: Sequence[str], called: str) -> None:
    """One command: its help, or its jobs; exits with code 1 if one failed."""
    if {"--help", "-h"} & {*arguments}:
        print("\n".join(describe(arguments, called)))
        return
    import hydra
    from hydra._internal.hydra import Hydra
    from hydra.types import RunMode

    # Hydra would compose the config to see which mode that asks for.
    Hydra.get_mode = lambda *_, **__: RunMode.MULTIRUN  # type: ignore[method-assign]
    os.environ["HYDRA_FULL_ERROR"] = "1"  # let errors through
    if "hydra.mode=RUN" in arguments:
        raise schema.ConfigError("hydra.mode=RUN would leave out the checks; leave it out")
    sys.argv[1:] = flags_first(arguments)
    schema.register(sys.argv[1:])
    hydra.main(version_base="1.3", config_path=str(schema.CONFIGS), config_name="train")(run_job)()


def run_job(cfg: DictConfig) -> float | None:
    """One job: the data, the model, the fit, the test; returns the validation error."""
    from seq2seq.sweep import multirun

    return multirun.run_job(cfg)


def flags_first(arguments: Sequence[str]) -> list[str]:
    """The flags before the overrides, as Hydra wants them.

    Raises:
        ConfigError: there is no such flag, it takes another value, or it leaves out the checks.
    """
    from hydra._internal.utils import get_args_parser

    parser = get_args_parser()
    parser.add_argument("--json", action="store_true")
    parser.error = refuse_flag  # type: ignore[method-assign]
    given = parser.parse_intermixed_args([*arguments])
    if given.run or given.experimental_rerun:
        refuse_flag("--run and --experimental-rerun would leave out the checks; leave them out")
    flags = [a for a in arguments if a not in given.overrides and a != "--json"]
    return [*flags, *given.overrides, *["hydra.sweeper.as_json=true"] * given.json]


def refuse_flag(message: str) -> NoReturn:
    raise schema.ConfigError(f"{message}; train.py --hydra-help lists the flags")


def describe(arguments: Sequence[str], called: str) -> Iterator[str]:
    """The lines of `--help`: of what is chosen on the command line, else of all choices.

    Raises:
        ConfigError: something is chosen that there is not.
    """
    width = min(100, terminal_width())
    words = [a for a in arguments if a not in ("--help", "-h")]
    known = schema.choices(words)
    chosen = [key for key in dict.fromkeys(w.partition("=")[0] for w in words) if key in known]
    if groups := [key for key in chosen if "/" not in key and key != "experiment"]:
        catalogue = schema.Catalogue(words)
        for group in groups:
            title = f"{group}={catalogue.picks[group]}: {catalogue.meaning(group)}"
            yield textwrap.fill(title, width, subsequent_indent=" " * 6)
            yield from _rows([*catalogue.keys(group)], width)
        return
    program = called if called.startswith("seq2seq") else f"python {called}"
    yield from (*textwrap.wrap(WHAT, width), "")
    yield from _pairs({f"{program} {given}": does for given, does in EXAMPLES.items()}, width)
    yield ""
    yield from (textwrap.fill(note, width, break_on_hyphens=False) for note in NOTES)
    yield "\nLaunchers of a sweep (hydra/launcher=):"
    yield from _pairs(LAUNCHERS, width)
    yield "\nChoices:"
    for group in sorted(known, key=lambda name: (name.partition("/")[0] not in FIRST, name)):
        if group != "hydra/launcher":
            own = f"  {group}: {', '.join(known[group])}"
            yield textwrap.fill(own, width, subsequent_indent=" " * 6, break_on_hyphens=False)


def _pairs(told: Mapping[str, str], width: int) -> Iterator[str]:
    """A line for each key and what it means; of all the meaning below where one does not fit."""
    most = max(map(len, told))
    if 4 + most + max(map(len, told.values())) <= width:
        yield from (f"  {key:<{most}}  {meaning}" for key, meaning in told.items())
        return
    for key, meaning in told.items():
        yield from (f"  {key}", textwrap.indent(textwrap.fill(meaning, width - 6), " " * 6))


def _rows(keys: Sequence[schema.Key], width: int) -> Iterator[str]:
    """A line per key with its type, its default and its meaning, which goes on below."""
    cells = [(key.name, key.type, schema.shown(key.value)) for key in keys]
    bounds = (32, 22, 16)
    widths = [
        min(most, max(map(len, column)))
        for column, most in zip(zip(*cells, strict=True), bounds, strict=True)
    ]
    rest = width - sum(widths) - 8
    for key, row in zip(keys, cells, strict=True):
        columns = [
            textwrap.wrap(text, wide, break_on_hyphens=False) or [""]
            for text, wide in zip((*row, key.meaning), (*widths, rest), strict=True)
        ]
        for line in range(max(map(len, columns))):
            parts = [column[line] if line < len(column) else "" for column in columns]
            yield "  ".join(
                ["", *(p.ljust(w) for p, w in zip(parts, (*widths, 0), strict=True))]
            ).rstrip()
