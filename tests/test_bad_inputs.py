"""Bad inputs are refused in one line, before anything is written, or trained as written.

Each is a command of its own (`asking.py`): its signals, its memory and its folders are its own.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import shell
import yaml
from bad_inputs import WAYS, Trial, all_trials

ASKING = Path(__file__).parent / "asking.py"
#: What an input may take by the clock.
SECONDS = 90
#: A run of four steps, whatever the trial asks beside.
TINY = {
    "trainer.max_steps": "4",
    "trainer.val_check_interval": "2",
    "trainer.accelerator": "cpu",
    "callbacks.figures": "null",
    "model.hidden_size": "4",
    "logger": "none",
    "model": "rnn",
}
TINY_TASK = {
    "task.length": "16",
    "task.train_size": "64",
    "task.val_size": "16",
    "task.test_size": "16",
    "task.batch_size": "16",
}
TINY_TASKS = {
    "shift": TINY_TASK | {"task.k": "4"},
    "arrays": {"task.batch_size": "16"},
    "text": {"task.batch_size": "4", "task.length": "16"},
}


class Outcome(NamedTuple):
    """How a trial ended.

    Attributes:
        code: the exit code; negative, the signal that ended it; None, it was ended for its time.
        printed, said: standard output and standard error.
        written: the files that it made, but for those of the trial itself.
    """

    code: int | None
    printed: str
    said: str
    written: list[str]


# ------------------------------------------------------------------------- what a trial runs


def overrides(trial: Trial) -> list[str]:
    """The trial's own arguments after those that keep its run small."""
    own = {argument.partition("=")[0].lstrip("+~") for argument in trial.arguments}
    task = next((a[5:] for a in trial.arguments if a.startswith("task=")), "shift")
    tiny = TINY | TINY_TASKS.get(task, TINY_TASK)
    if trial.arguments[0].startswith("experiment="):
        tiny = {}
    return [
        f"{key}={value}"
        for key, value in tiny.items()
        if not any(f"{name}.".startswith(f"{key}.") for name in own)
    ]


def ask(trial: Trial, folder: Path, data: Path) -> Outcome:
    """Run the trial in a new folder."""
    prepare(folder, data)
    given = [a.replace("DATA", str(folder / "data")) for a in trial.arguments]
    lists = json.dumps(overrides(trial)), json.dumps(given)
    home = os.environ | {"HOME": str(folder / "home")}
    with shell.Program(ASKING, trial.way, folder, *lists, cwd=folder / "cwd", env=home) as asking:
        try:
            code: int | None = asking.wait(SECONDS)
        except subprocess.TimeoutExpired:
            asking.kill()
            asking.wait()
            code = None
        return outcome(code, asking.output(), asking.errors(), folder)


def prepare(folder: Path, data: Path) -> None:
    """The folders that a trial finds."""
    shutil.copytree(data, folder / "data")
    for name in ("cwd", "home"):
        (folder / name).mkdir(parents=True)


def outcome(code: int | None, printed: str, said: str, folder: Path) -> Outcome:
    """How the trial ended, and what it has left."""
    found = (str(path.relative_to(folder)) for path in folder.rglob("*"))
    written = [name for name in found if not re.match(r"conf(/|$)", name) and name not in GIVEN]
    if any("/.cache/" in name for name in written):  # what is kept of a text, for every run on it
        written = [n for n in written if "/.cache" not in n and n != "cwd/outputs"]
    return Outcome(code, printed, said, sorted(written))


#: What a trial finds.
GIVEN = ("cwd", "home", "data", "data/text.txt", "data/pairs.npz", "data/only_x.npz")


def write_data(folder: Path) -> None:
    """The files that trials name: 18 kB of text, 40 pairs, and half of them."""
    rng = np.random.default_rng(0)
    words = rng.choice(["one", "two", "three", "four", "five"], 4000)
    (folder / "text.txt").write_text(" ".join(words)[:18000])
    x = rng.standard_normal((40, 12, 1))
    np.savez(folder / "pairs.npz", x=x, y=np.cumsum(x, 1))
    np.savez(folder / "only_x.npz", x=x)


# ---------------------------------------------------------------------------------- the judge


def fault(trial: Trial, ended: Outcome, folder: Path) -> str | None:
    """What is wrong with the way that a trial ended; None if nothing is."""
    if ended.code is None:
        return f"takes more than {SECONDS} s"
    if ended.code < 0:
        return f"ended by {signal.Signals(-ended.code).name}"
    if "Traceback" in ended.said:
        return f"traceback, ending in {ended.said.strip().splitlines()[-1][:200]}"
    if trial.key is None:
        return _not_as_written(trial, ended, folder)
    if ended.code == 0:
        return "accepted"
    if ended.code == 1:
        return f"fails in the run: {(ended.printed.strip().splitlines() or [''])[-1].strip()[:200]}"
    lines = ended.said.strip("\n").split("\n")
    if len(lines) != 1:
        return f"{len(lines)} lines, first and last: {lines[0][:120]} … {lines[-1][:120]}"
    if ended.printed:
        return f"prints {ended.printed[:100]!r}"
    if ended.written:
        return f"has written {ended.written[:3]}"
    if trial.key not in lines[0]:
        return f"does not name {trial.key}: {lines[0][:250]}"
    return None


def _not_as_written(trial: Trial, ended: Outcome, folder: Path) -> str | None:
    if ended.code != 0:
        return f"exit code {ended.code}: {ended.said[-200:]} {ended.printed[-200:]}"
    results = [json.loads(p.read_text()) for p in folder.rglob("result.json")]
    if len(results) != trial.result.get("runs", 1):
        return f"{len(results)} runs"
    for name, value in trial.result.items():
        if name != "runs" and results[0].get(name) != value:
            return f"{name} is {results[0].get(name)}, not {value}"
    if not all(r["status"] in ("finished", "diverged") for r in results):
        return f"status {[r['status'] for r in results]}"
    config = yaml.safe_load(next(folder.rglob("config.yaml")).read_text())
    for argument in trial.arguments:
        key, _, text = argument.partition("=")
        value: Any = config
        for part in key.split("."):
            value = value.get(part, {}) if isinstance(value, dict) else {}
        if "." in key and re.fullmatch(r"[\w.+-]+", text):
            asked = yaml.safe_load(text)
            asked = asked if not isinstance(asked, str) else text
            if str(value) != str(asked) and _number(value) != _number(asked):
                return f"{key} is {value} in config.yaml"
    return None


def _number(value: Any) -> Any:
    try:
        return float(value)
    except (TypeError, ValueError):
        return value


# ---------------------------------------------------------------------------------- the tests

TRIALS = all_trials()


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    write_data(folder)
    return folder


def some(trials: Sequence[Any], step: int) -> list[Any]:
    """Every `step`-th trial is one of the tests that always run, the others take minutes."""
    return [
        pytest.param(trial, marks=[pytest.mark.slow] if number % step else [], id=str(trial))
        for number, trial in enumerate(trials)
    ]


@pytest.mark.parametrize("trial", some(TRIALS, 12))
def test_every_input_is_refused_in_one_line_or_trained_as_written(
    trial: Trial, data: Path, tmp_path: Path
) -> None:
    ended = ask(trial, tmp_path / "trial", data)
    assert fault(trial, ended, tmp_path / "trial") is None


def test_all_are_two_hundred_and_more() -> None:
    assert len(TRIALS) >= 200
    assert len({trial.arguments for trial in TRIALS}) == len(TRIALS)


#: One of each kind of check: of a key, a type, a range, a task, a model, an optimizer, a trainer.
ALIKE = (
    "task.lenght=16",
    "model.hidden_size=abc",
    "optimizer.lr=inf",
    "task.k=16",
    "model.dropout=1.5",
    "trainer.max_steps=0",
    "callbacks.checkpoints.every_n_steps=0",
)


@pytest.mark.parametrize("text", some(ALIKE, 4))
def test_all_ways_to_ask_are_answered_alike(text: str, data: Path, tmp_path: Path) -> None:
    said = {}
    for way in WAYS:
        ended = ask(Trial((text,), text.partition("=")[0], {}, way), tmp_path / way, data)
        said[way] = (ended.code, ended.said.replace(" (in configs/experiment/bad.yaml)", ""))
    assert set(said.values()) == {said["run"]}
    assert said["run"][0] == 2


@pytest.mark.slow
@pytest.mark.parametrize("trial", TRIALS[::20], ids=str)
def test_the_command_itself_does_the_same(trial: Trial, data: Path, tmp_path: Path) -> None:
    folder = tmp_path / "trial"
    prepare(folder, data)
    arguments = [a.replace("DATA", str(folder / "data")) for a in trial.arguments]
    done = subprocess.run(
        [sys.executable, shell.TRAIN, *overrides(trial), *arguments],
        cwd=folder / "cwd",
        capture_output=True,
        text=True,
        env=os.environ | {"HOME": str(folder / "home"), "MPLCONFIGDIR": str(tmp_path)},
        timeout=2 * SECONDS,
    )
    ended = outcome(done.returncode, done.stdout, done.stderr, folder)
    assert fault(trial, ended, folder) is None


def tell(scratch: Path, pattern: str, way: str | None = None) -> None:
    """Print a line for every trial: what is wrong with it, or a dot."""
    scratch.mkdir()
    data = scratch / "data"
    data.mkdir()
    write_data(data)
    good = 0
    for number, trial in enumerate(TRIALS):
        if way and trial.key and not any(a.startswith(("-", "hydra")) for a in trial.arguments):
            trial = trial._replace(way=way)
        if not re.search(pattern, str(trial)):
            continue
        folder = scratch / str(number)
        start = time.monotonic()
        ended = ask(trial, folder, data)
        wrong = fault(trial, ended, folder)
        good += wrong is None
        took = f"{time.monotonic() - start:.1f}s"
        said = " ".join(ended.said.split())[-300:] if trial.key else ""
        print(f"{'.' if wrong is None else 'X'} {took} {trial} | {wrong or said}", flush=True)
        shutil.rmtree(folder)
    print(f"{good} good")


if __name__ == "__main__":
    tell(Path(sys.argv[1]), *sys.argv[2:])
