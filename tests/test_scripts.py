"""What all scripts have in common: arguments, help, closed pipes."""

import contextlib
import runpy
import subprocess
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

import pytest

import seq2seq
from seq2seq.command import call
from seq2seq.programs import PROGRAMS
from seq2seq.programs import main as dispatch
from seq2seq.schema import ConfigError

ROOT = Path(__file__).parents[1]
#: For those who write the documentation; the package does without them.
WRITERS = ["render.py", "tour.py"]
SCRIPTS = sorted({path.name for path in (ROOT / "scripts").glob("*.py")} - {*WRITERS})
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
    own = capsys.readouterr().out
    assert (import_module(f"seq2seq.programs.{name[:-3]}").__doc__ or "").splitlines()[0] in own
    assert max(map(len, own.splitlines())) <= 100
    assert len((ROOT / "scripts" / name).read_text(encoding="utf-8").splitlines()) < 40
    monkeypatch.setattr(sys, "argv", ["seq2seq", name[:-3], "--help"])
    with contextlib.suppress(SystemExit):  # as argparse ends
        dispatch()
    again = capsys.readouterr().out
    assert again.partition("\n\n")[2] == own.partition("\n\n")[2]
    assert again.startswith((f"usage: seq2seq {name[:-3]} ", own[:20]))


@pytest.mark.parametrize("name", WRITERS)
def test_what_writes_the_documentation_answers_help(name, monkeypatch, capsys):
    assert program(name, ["--help"], monkeypatch) == 0
    assert name in capsys.readouterr().out


def test_every_program_has_a_face_in_a_checkout():
    assert {*PROGRAMS} - {"train"} == {name.removesuffix(".py") for name in SCRIPTS}


def test_the_command_lists_its_programs_and_its_version_at_once():
    code = "import sys; from seq2seq.programs import main; main(); print(*sys.modules)"
    for argument, said in (("--help", "  generate"), ("--version", seq2seq.__version__)):
        told = subprocess.check_output([sys.executable, "-c", code, argument], text=True)
        *lines, loaded = told.splitlines()
        assert said in "\n".join(lines)
        assert not {"torch", "hydra", "omegaconf", "yaml"} & {*loaded.split()}
    told = subprocess.check_output([sys.executable, ROOT / "train.py", "--version"], text=True)
    assert told == f"seq2seq {seq2seq.__version__}\n"


def test_the_command_refuses_what_is_no_program_and_reads_overrides_as_training(
    monkeypatch, capsys
):
    monkeypatch.setattr(sys, "argv", ["seq2seq", "rnus"])
    assert dispatch() == 2
    assert capsys.readouterr().err == "seq2seq: no program rnus; did you mean 'runs'?\n"
    monkeypatch.setattr(sys, "argv", ["seq2seq", "model=tcm", "--help"])
    assert dispatch() == 2
    assert "seq2seq train: model=tcm is not there; did you mean 'tcn'?" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["nowhere"], [".", "json=."], [".", "tracking=nowhere"]])
def test_what_needs_no_run_to_be_refused_is_refused_at_once(arguments):
    code = "import sys; from seq2seq.programs import run; run('capacity', sys.argv[1:])"
    told = [sys.executable, "-c", f"{code}; print(*sys.modules)", *arguments]
    done = subprocess.run(told, text=True, capture_output=True, check=True)
    assert len(done.stderr.splitlines()) == 1
    assert not {"torch", "pandas", "scipy"} & {*done.stdout.split()}


WRONG = {
    "generate.py temperature=abc": "temperature must be a number, got abc",
    "generate.py length=1.5": "length must be a whole number, got 1.5",
    "generate.py prompt": "prompt has no value; write prompt=<value>",
    "generate.py tempature=1": "unknown key tempature; did you mean 'temperature'?",
    "generate.py --tempature 1": "unknown key tempature; did you mean 'temperature'?",
    "generate.py prompt=a": "no run given; add run=<run>",
    "generate.py prompt=a --prompt b": "prompt is given more than once; keep one of them",
    f"generate.py {TEXT} temperature=inf": "temperature must lie in [0, inf), got temperature=inf",
    f"generate.py {TEXT} temperature=nan": "temperature must lie in [0, inf), got temperature=nan",
    f"generate.py {TEXT} num_samples=0": "num_samples must be at least 1, got num_samples=0",
    f"generate.py {TEXT} seed=-1": "seed must be at least 0, got seed=-1; set seed=0",
    f"generate.py {TEXT} top_k=0": "top_k must be at least 1, got top_k=0",
    f"generate.py {TEXT} top_p=nan": "top_p must lie in (0, 1], got top_p=nan",
    "generate.py run=nowhere": "no run in nowhere; give the folder that holds config.yaml",
    "generate.py run=shift-rnn": "run must be the folder of a run on text, got",
    "evaluate.py run=shift-rmn": "holds config.yaml; did you mean 'shift-rnn'?",
    "rollout.py run=nowhere": "no run in nowhere; give the folder that holds config.yaml",
    "rollout.py run=shift-rnn": "as lorenz96_forecast; shift-rnn is on Shift",
    "rollout.py run=nowhere threshold=-1": "threshold must be positive, got threshold=-1.0",
    "rollout.py prefix=x": "prefix must be a whole number, got x",
    "runs.py watch=maybe": "watch must be one of true, false, got watch='maybe'",
    "runs.py wach=true": "unknown key wach; did you mean 'watch'?",
    "bounds.py random:sead=1": "unexpected keyword argument 'sead'",
    "bounds.py parameters=[1,two]": "parameters must be a whole number, got two",
    "report.py": "no sweep given; add <sweep>",
    "report.py a lattex=true": "unknown key lattex; did you mean 'latex'?",
    "table.py a rowz=model": "unknown key rowz; did you mean 'rows'?",
    "capacity.py a bit=4": "unknown key bit; did you mean 'bits'?",
    "table.py a metric=success,steps": "metric takes one, got success,steps; write --metric succ",
    "table.py . to=/proc/x/y": "to must name a file to write, got /proc/x/y: no file can be made",
    "report.py a json=/proc/x.json": "json must name a file to write, got /proc/x.json: no file",
    "report.py a json=x": "json must end with .json, got x; its figures go into a folder",
    "bounds.py json=.": "json must name a file to write, got .: this is a folder; choose another",
    "benchmark.py sizes json=/proc/x/y": "json must name a file to write, got /proc/x/y: no file",
    f"evaluate.py {TEXT} to=/proc/x": "to must name a file to write, got /proc/x/table.json",
    "pretrain.py --keep json=/proc/x": "json must name a file to write, got /proc/x: no file",
    "report.py nowhere": "no folder nowhere; give one that holds run folders",
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
        pytest.param(f"scripts/generate.py {TEXT} length=3000", marks=pytest.mark.slow),
        "scripts/bounds.py impulse:k=3 length=4 parameters=4",
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
