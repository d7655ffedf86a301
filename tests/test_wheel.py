"""The built wheel in an environment of its own, far from the checkout."""

import importlib.util
import json
import os
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def call(*command: object, cwd: Path, env: dict[str, str] | None = None) -> str:
    done = subprocess.run([*map(str, command)], cwd=cwd, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    # Without hatchling here, pip fetches it.
    isolation = ["--no-build-isolation"] if importlib.util.find_spec("hatchling") else []
    options = ["--quiet", "--disable-pip-version-check", "--no-deps", *isolation, "-w", folder]
    call(sys.executable, "-m", "pip", "wheel", *options, ROOT, cwd=folder)
    (found,) = folder.glob("*.whl")
    return found


@pytest.mark.slow
def test_the_wheel_holds_what_the_programs_need(wheel, tmp_path):
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "site")
    for room in ("seq2seq", "hydra_plugins", "configs"):
        home = tmp_path / "site" / ("seq2seq" if room == "configs" else ".") / room
        own = {p.relative_to(ROOT / room) for p in (ROOT / room).rglob("*.*") if p.suffix != ".pyc"}
        assert own
        assert not {path for path in own if not (home / path).exists()}
    env = os.environ | {"PYTHONPATH": str(tmp_path / "site")}
    told = call(
        sys.executable, "-m", "seq2seq", "train", "model=gru", "--help", cwd=tmp_path, env=env
    )
    assert "model.hidden_size" in told


@pytest.mark.slow
def test_the_command_trains_in_another_folder(wheel, tmp_path):
    home, folder = tmp_path / "venv", tmp_path / "elsewhere"
    folder.mkdir()
    venv.create(home, symlinks=True)
    (site,) = home.glob("lib/python*/site-packages")
    # What else is needed is taken from here; a line of a .pth brings in no checkout.
    (site / "further.pth").write_text("\n".join(p for p in sys.path if p.endswith("-packages")))
    pip = [sys.executable, "-m", "pip", "--python", home / "bin" / "python"]
    call(*pip, "install", "--quiet", "--disable-pip-version-check", "--no-deps", wheel, cwd=folder)
    env = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    command = home / "bin" / "seq2seq"
    where = call(
        home / "bin" / "python", "-c", "import seq2seq; print(seq2seq)", cwd=folder, env=env
    )
    assert str(site) in where
    tiny = ["model=rnn", "task.k=1,2", "task.length=8", "task.train_size=16", "trainer.max_steps=1"]
    options = ["task.val_size=4", "task.test_size=4", "task.batch_size=4", "callbacks.figures=null"]
    jobs = json.loads(call(command, "train", "-m", "--json", *tiny, *options, cwd=folder, env=env))
    assert [job["status"] for job in jobs] == ["finished"] * 2
    assert [Path(job["folder"]).parent for job in jobs] == [Path("outputs/shift")] * 2
    assert "2 finished" in call(command, "runs", cwd=folder, env=env)
    told = call(
        command, "evaluate", f"run={jobs[0]['folder']}", "task.length=16", cwd=folder, env=env
    )
    assert "test/nmse" in told
