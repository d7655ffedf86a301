"""Test trained models on other data.

seq2seq evaluate run=<folder> task.length=512
seq2seq evaluate run=<folder> task.length=10,20,40          once per value, or combination
seq2seq evaluate run=<folder> task.length=range(10,200,10) to=curve    and its figure and numbers
seq2seq evaluate run=outputs/<sweep> task.length=10,20,40   every finished run: a map
seq2seq evaluate run=<folder> score=true    mean accuracy beyond the lengths in training, to 500
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seq2seq import checks
from seq2seq.errors import nearest
from seq2seq.files import place
from seq2seq.schema import ConfigError

if TYPE_CHECKING:
    from seq2seq.analysis.generalisation import Grid
    from seq2seq.analysis.report import Sweep
    from seq2seq.runs import Run

#: Values that a table shows of one group of runs.
MOST = 12


def main(*overrides: str, run: str, score: bool = False, to: Path | None = None) -> None:
    """Print the metrics beside the reference predictors', or a table where there are several.

    Args:
        overrides: task.<key>=<value> for any key of the run's task, or values, allow=[package]
        run: its folder, that of a sweep, or the name of a trained model of the package
        score: the mean accuracy beyond the longest length in training, up to 500
        to: a folder for the table as CSV and JSON, and the figure
    """
    for word in overrides:
        if not word.startswith(("task.", "allow=")):
            meant = nearest(word.partition("=")[0], ("run", "score", "to", "allow"), "")
            raise ConfigError(f"only task.<key>=<value> may be changed, got {word}{meant}")
    from seq2seq.analysis.generalisation import Grid, Tested
    from seq2seq.evaluate import evaluations

    found, sweep = _runs(run)
    if to is not None and place(to).exists() and not place(to).is_dir():
        raise ConfigError(f"to must be a folder, got {to}; choose another")
    checks.writable("to", to and to / "table.json")
    if score and not all("test/accuracy" in one.result for one in found):
        raise ConfigError("a score is a mean accuracy, and this task has none; leave out score")
    if score:
        overrides = _beyond(found, overrides)
    tested = []
    for index, one in enumerate(found):
        tested += [Tested(index, *each) for each in evaluations(one, overrides, progress=True)]
    if sweep is None and len(tested) == 1 and not score and to is None:
        for key, value in tested[0].measured.items():
            print(f"  {key:<26} {value:.4g}")
        return
    if not tested[0].setting:
        raise ConfigError("several values of a key make a table; give task.<key>=<values>")
    key = next(iter(tested[0].setting))
    trained = [_largest(_known(one, key)) for one in found]
    made = Grid(tested, sweep, trained)
    scored = [*made.scored()] if score else []
    for line in _table(made, alone=sweep is None):
        print(line)
    for label, _ in made.groups() if score else ():
        if label not in {told["group"] for told in scored}:
            print(f"{label or 'all runs'}: no score, no value lies beyond those in training")
    for told in scored:
        label = f"{told['group']}: " * bool(told["group"])
        print(f"{label}score {told['score']:.3f} ({told['scaled']:.3f} above chance)", end="")
        print(f", {told['solved']} of {told['runs']} solved" * (told["runs"] > 1), end="")
        print(f", right up to {told['reach']:.0f}" if told["reach"] else ", right at no length")
    if to is not None:
        made.write(place(to), score)
        print(f"written to {to}")


def _runs(run: str) -> tuple[list["Run"], "Sweep | None"]:
    """The run of that name; or the finished ones of a sweep, and the sweep."""
    from seq2seq import pretrained
    from seq2seq.runs import Run, find

    folder = place(run)
    if run in pretrained.names() or not folder.is_dir() or (folder / "config.yaml").exists():
        return [pretrained.run(run)], None
    from seq2seq.analysis.report import Sweep

    if not any(one.status == "finished" for one in find(folder)):
        raise ConfigError(f"no finished run below {run}; give the folder of a run or a sweep")
    sweep = Sweep(folder)
    sweep = sweep.part(sweep.table["status"] == "finished")
    return [Run(one.folder) for one in sweep.runs], sweep


def _largest(value: Any) -> float | None:
    """Of a number, or of the bounds [least, most]."""
    bounds = value if isinstance(value, list) else [value]
    return max(bounds) if all(isinstance(one, int | float) for one in bounds) else None


def _beyond(found: Sequence["Run"], overrides: tuple[str, ...]) -> tuple[str, ...]:
    """The overrides of a score, where none lists values with all lengths beyond those in training.

    Raises:
        ConfigError: they list no values of one number, or none beyond those in training.
    """
    from seq2seq.analysis.generalisation import LONGEST
    from seq2seq.evaluate import settings

    listed = settings(overrides)
    length = [word for word in overrides if word.startswith("task.length=")]
    if len(listed) == 1 and not length:
        return (*overrides, _longer(found))
    keys = [*listed[0]]
    values = [one[keys[0]] for one in listed] if len(keys) == 1 else []
    if not values or not all(isinstance(value, int | float) for value in values):
        raise ConfigError(
            f"a score needs several values of one number, got {' '.join(overrides)}; list them for "
            "one key, or leave out task.length"
        )
    known = [_largest(_known(one, keys[0])) for one in found]
    if not any(trained is None or any(trained < v <= LONGEST for v in values) for trained in known):
        least = min(one for one in known if one is not None)
        word = next(word for word in overrides if word.startswith(f"{keys[0]}="))
        raise ConfigError(
            f"a score is of values beyond those in training, up to {LONGEST}, and none of {word} "
            f"lies beyond {least:g} and up to there; list some that do"
        )
    return overrides


def _known(run: "Run", key: str) -> Any:
    """What a key `task.<key>` was in training."""
    return run.plain_config["task"].get(key.removeprefix("task."))


def _longer(found: Sequence["Run"]) -> str:
    """All lengths beyond the shortest that a run was trained with, up to 500."""
    from seq2seq.analysis.generalisation import LONGEST

    known = [_largest(_known(one, "task.length")) for one in found]
    if None in known:
        raise ConfigError("a task without length has no score by itself; add task.<key>=<values>")
    first = min(int(one or 0) for one in known) + 1
    checks.within("the length in training", first - 1, f"[0, {LONGEST - 1}]", LONGEST - 1)
    return f"task.length=range({first},{LONGEST + 1})"


def _table(made: "Grid", alone: bool) -> Iterator[str]:
    """A line per value of one run, or per group of a sweep, evenly chosen where there are many."""
    from seq2seq.analysis.figures import number

    if alone:
        metrics = [name for name in made.table if str(name).startswith("test/")]
        rows = [made.keys, *made.table[made.keys].to_numpy().tolist()]
        numbers = [metrics, *made.table[metrics].to_numpy().tolist()]
        rows = [[*map(str, a), *map(number, b)] for a, b in zip(rows, numbers, strict=True)]
        rows = [rows[0], *_chosen(rows[1:], 3 * MOST)]
    else:
        cells: dict[str, dict[tuple[Any, ...], float]] = {}
        for cell in made.cells():
            values = tuple(cell[key] for key in made.keys)
            cells.setdefault(cell["group"], {})[values] = cell["mean"]
        columns = _chosen([*dict.fromkeys(v for row in cells.values() for v in row)], MOST)
        yield f"{made.name}, means over runs, by {', '.join(made.keys)}"
        short = [", ".join(map(number, values)) for values in columns]
        if len({*short}) < len(short):
            short = [", ".join(map(str, values)) for values in columns]
        rows = [["", *short]]
        rows += [
            [label or "all runs", *(number(row[v]) if v in row else "" for v in columns)]
            for label, row in cells.items()
        ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        first, *others = (cell.rjust(width) for cell, width in zip(row, widths, strict=True))
        yield "  ".join([first if alone else row[0].ljust(widths[0]), *others]).rstrip()


def _chosen(items: list[Any], most: int) -> list[Any]:
    """At most so many items, evenly spaced."""
    count = min(len(items), most)
    return [items[i * (len(items) - 1) // max(1, count - 1)] for i in range(count)]
