"""What all scripts have in common: arguments, help, closed pipes."""

import runpy
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from seq2seq.command import call
from seq2seq.schema import ConfigError

ROOT = Path(__file__).parents[1]
SCRIPTS = sorted(path.name for path in (ROOT / "scripts").glob("*.py"))
TEXT = "run=text-char-lstm"


def program(name: str, arguments: Sequence[str], monkeypatch: pytest.MonkeyPatch) -> int:
    """The exit code of a script that runs in this process."""
    monkeypatch.setattr(sys, "argv", [name, *arguments])
    with pytest.raises(SystemExit) as end:
        runpy.run_path(str(ROOT / "scripts" / name), run_name="__main__")
    return int(end.value.code or 0)


@pytest.mark.parametrize("name", SCRIPTS)
def test_every_script_answers_help_and_is_short(name, monkeypatch, capsys):
    assert program(name, ["--help"], monkeypatch) == 0
    text = (ROOT / "scripts" / name).read_text(encoding="utf-8")
    assert capsys.readouterr().out.find(text[3:40].splitlines()[0]) >= 0
    assert len(text.splitlines()) < 40


WRONG = {
    "generate.py temperature=abc": "temperature must be a number, got abc",
    "generate.py length=1.5": "length must be a whole number, got 1.5",
    "generate.py prompt": "prompt has no value; write prompt=<value>",
    "generate.py tempature=1": "unknown key tempature; did you mean 'temperature'?",
    "generate.py --tempature 1": "unknown key tempature; did you mean 'temperature'?",
    "generate.py prompt=a": "no run given; add run=<run>",
    f"generate.py {TEXT} temperature=inf": "temperature must lie in [0, inf), got temperature=inf",
    f"generate.py {TEXT} temperature=nan": "temperature must lie in [0, inf), got temperature=nan",
    f"generate.py {TEXT} num_samples=0": "num_samples must be at least 1, got num_samples=0",
    f"generate.py {TEXT} seed=-1": "seed must be at least 0, got seed=-1; set seed=0",
    f"generate.py {TEXT} top_k=0": "top_k must be at least 1, got top_k=0",
    f"generate.py {TEXT} top_p=nan": "top_p must lie in (0, 1], got top_p=nan",
    "generate.py run=nowhere": "run must be the folder of a run on text, got nowhere",
    "rollout.py run=nowhere threshold=-1": "threshold must be positive, got threshold=-1.0",
    "rollout.py prefix=x": "prefix must be a whole number, got x",
    "runs.py watch=maybe": "watch must be one of true, false, got watch='maybe'",
    "runs.py wach=true": "unknown key wach; did you mean 'watch'?",
    "bounds.py random:sead=1": "unexpected keyword argument 'sead'",
    "bounds.py sizes=[1,two]": "sizes must be a whole number, got two",
    "report.py": "no sweep given; add <sweep>",
    "evaluate.py task.k=3": "no run given; add run=<run>",
    "evaluate.py run=shift-rnn model.hidden_size=3": "only task.<key>=<value> may be changed",
    "explore.py port=70000": "port 70000 cannot be had",
    "benchmark.py memori": "kind must be one of step, data",
    "benchmark.py data second=1": "unknown key second; did you mean 'seconds'?",
}


@pytest.mark.parametrize("line", WRONG)
def test_wrong_arguments_of_scripts_get_one_line(line, monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)
    name, *arguments = line.split()
    assert program(name, arguments, monkeypatch) == 2
    out, error = capsys.readouterr()
    assert out == ""
    (told,) = error.splitlines()
    assert told.startswith(f"{name}: ")
    assert WRONG[line] in told


def test_arguments_have_the_types_of_the_parameters():
    def main(
        folder: Path,
        /,
        *others: str,
        number: int | None = None,
        many: Sequence[int] = (),
        on: bool = False,
    ) -> tuple[object, ...]:
        return folder, others, number, many, on

    assert call(main, ["a=b"]) == (Path("a=b"), (), None, (), False)
    options = ["number=-3", "many=[1,2]", "on=true"]
    assert call(main, ["x", *options, "y"]) == (Path("x"), ("y",), -3, [1, 2], True)
    options = ["--number", "4", "--on", "--many", "1", "2", "--many=3"]
    assert call(main, ["x", *options]) == (Path("x"), (), 4, [1, 2, 3], True)
    with pytest.raises(ConfigError, match="no folder given; add <folder>"):
        call(main, ["number=3"])


def test_samples_are_separated_and_the_nth_has_the_nth_seed(monkeypatch, capsys):
    arguments = [TEXT, "prompt=To be", "length=20", "temperature=1e-40"]
    assert program("generate.py", [*arguments, "seed=4", "num_samples=3"], monkeypatch) == 0
    texts = capsys.readouterr().out.split("\n" + "-" * 20 + "\n")
    assert len(texts) == 3
    assert len({text.rstrip("\n") for text in texts}) == 1  # at this temperature, the likeliest
    assert program("generate.py", [*arguments[:3], "seed=5"], monkeypatch) == 0
    alone = capsys.readouterr().out
    assert program("generate.py", [*arguments[:3], "seed=4", "num_samples=2"], monkeypatch) == 0
    assert capsys.readouterr().out.split("-" * 20 + "\n")[1] == alone


@pytest.mark.parametrize(
    "line",
    [
        f"scripts/generate.py {TEXT} length=3000",
        "scripts/bounds.py impulse:k=3 length=4 sizes=1",
        "scripts/runs.py --help",
        "train.py --help",
        "train.py --cfg job",
    ],
)
def test_a_closed_pipe_ends_a_program_quietly(line):
    command = [sys.executable, *line.split()]
    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == ""
    assert process.returncode == 0
