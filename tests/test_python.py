"""The package called from other programs: notebooks, Hydra applications, threads."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.singleton import Singleton

import seq2seq
from seq2seq.evaluate import evaluate
from seq2seq.schema import ConfigError
from seq2seq.training import configure

TINY = ["model=rnn", "model.hidden_size=4", "task.length=8", "task.k=2", "task.train_size=64"]
TINY += ["task.val_size=16", "task.test_size=16", "task.batch_size=8", "trainer.max_steps=4"]
TINY += ["callbacks.figures=null", "callbacks.progress=null", "logger=none"]
CALLS = {
    "train": seq2seq.train,
    "configure": configure,
    "multirun": seq2seq.multirun,
    "multirun-vmap": lambda overrides: seq2seq.multirun(overrides, launcher="vmap"),
}


@pytest.fixture
def tiny(tmp_path):
    return [*TINY, f"paths.outputs={tmp_path}/outputs"]


@pytest.fixture
def another_application(tmp_path):
    """Is there, with its own configs, and must be there afterwards as it was."""
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf" / "other.yaml").write_text("theirs: 1\n")
    with initialize_config_dir(str(tmp_path / "conf"), version_base="1.2"):
        before = dict(Singleton._instances)
        yield
        assert Singleton._instances == before
        assert compose("other") == {"theirs": 1}


@pytest.mark.parametrize("launcher", [None, "vmap", pytest.param("joblib", marks=pytest.mark.slow)])
def test_a_sweep_from_python(launcher, tiny, another_application, capsys):
    if launcher == "joblib":
        pytest.importorskip("hydra_plugins.hydra_joblib_launcher")
    runs = seq2seq.multirun([*tiny, "task.k=1,2"], launcher)
    assert [run.config.task.k for run in runs] == [1, 2]
    assert {run.status for run in runs} == {"finished"}
    written = [(run.folder / "result.json").stat().st_mtime_ns for run in runs]
    again = seq2seq.multirun([*tiny, "task.k=2,1"], launcher)
    assert [run.folder for run in again] == [runs[1].folder, runs[0].folder]
    assert written == [(run.folder / "result.json").stat().st_mtime_ns for run in runs]
    assert capsys.readouterr().out == ""


def test_a_failed_run_of_a_sweep_says_so_itself(tiny, monkeypatch):
    from seq2seq.tasks import Shift

    def targets(self, x, right=Shift.targets):
        if self.k == 2:
            raise RuntimeError("no targets today")
        return right(self, x)

    monkeypatch.setattr(Shift, "targets", targets)
    runs = seq2seq.multirun([*tiny, "task.k=1,2"])
    assert [run.status for run in runs] == ["finished", "failed"]


def test_training_inside_another_application(tiny, another_application):
    assert seq2seq.train(tiny).status == "finished"


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ("model=tcn", "overrides must be a list of texts, got overrides='model=tcn'"),
        (None, "overrides must be a list of texts, got overrides=None"),
        (["seed=1", 2], "overrides must be a list of texts, got overrides=['seed=1', 2]"),
        (["-m", "seed=1,2"], "-m is a flag, which only the command line takes; call seq2seq.mul"),
        (["--help"], "--help is a flag, which only the command line takes; leave it out"),
        (["model=tnc"], "model=tnc: no such model; did you mean 'tcn'?"),
        (["task.length=8", "task.k=8"], "k must be smaller than length, got k=8, length=8"),
    ],
)
def test_what_cannot_be_run_is_refused_in_one_line(call, overrides, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError) as refusal:
        CALLS[call](overrides)
    assert message in str(refusal.value)
    assert "\n" not in str(refusal.value)
    assert not list(tmp_path.iterdir())


def test_several_values_are_for_a_sweep():
    with pytest.raises(ConfigError, match=r"^task.k=2,4 has several .* seq2seq.multirun,"):
        seq2seq.train(["task.k=2,4"])


def test_overrides_of_an_evaluation_are_a_list():
    with pytest.raises(ValueError, match="overrides must be a list of texts"):
        evaluate(seq2seq.pretrained.find("shift-rnn"), "task.length=64")


@pytest.mark.parametrize("launcher", ["vmpa", "basic"])
def test_a_launcher_that_is_not_there_and_a_job_that_cannot_run(launcher, tiny):
    with pytest.raises(ConfigError, match=r"did you mean 'vmap'|k must be smaller"):
        seq2seq.multirun([*tiny, "task.k=1,9"], launcher)


@pytest.mark.parametrize("call", ["train", "multirun"])
def test_several_devices_would_run_the_callers_program_again(call, tiny, tmp_path):
    with pytest.raises(ConfigError, match="has one device"):
        CALLS[call]([*tiny, "trainer=ddp"])
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("call", ["train", "multirun"])
def test_a_dry_run_trains_nothing(call, tiny, tmp_path):
    run = CALLS[call]([*tiny, "dry_run=true"])
    assert (run if call == "train" else run[0]).status == "new"
    assert not list(tmp_path.iterdir())


def test_threads_train_one_after_another(tiny):
    """With the numbers that they have alone: what torch draws is the process's."""
    jobs = [[*tiny, "model.dropout=0.1", f"seed={seed}"] for seed in range(2)]
    other = [f"{o}/alone" if o.startswith("paths") else o for o in tiny]
    alone = [seq2seq.train([*other, *job[len(tiny) :]]) for job in jobs]
    with ThreadPoolExecutor(2) as pool:
        runs = list(pool.map(seq2seq.train, jobs))
        swept = pool.submit(seq2seq.multirun, [*tiny, "model.dropout=0.1", "seed=0,1"]).result()
    assert [run.folder for run in swept] == [run.folder for run in runs]
    for one, by_itself in zip(runs, alone, strict=True):
        assert one.history["loss"].tolist() == by_itself.history["loss"].tolist()


def test_rooms_are_found_without_importing_them():
    code = "import sys, seq2seq; print(seq2seq.pretrained.names()[0], 'torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "shift-rnn False\n"
    with pytest.raises(AttributeError, match="no attribute 'pretrain'"):
        seq2seq.pretrain  # noqa: B018
