"""What a run folder says about where its numbers come from."""

import subprocess
from pathlib import Path

import pytest
import shell

from seq2seq.runs import Run, provenance

ROOT = Path(__file__).resolve().parents[1]
TINY = ["task.k=2", "task.length=8", "trainer.max_steps=2", "logger=none", "callbacks.figures=null"]


def test_every_run_says_what_made_it(tmp_path):
    arguments = ["-m", "seed=0,1", "hydra/launcher=vmap", *TINY]
    done = shell.run(shell.TRAIN, *arguments, f"paths.outputs={tmp_path}", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    found = [Run(path.parent).provenance for path in tmp_path.glob("*/*/config.yaml")]
    assert len(found) == 2
    for one in found:
        assert all(argument in one["command"] for argument in arguments)
        assert one["folder"] == str(tmp_path)
        assert one["threads"] == 1
        assert set(one["packages"]) == set(provenance.PACKAGES)
        assert one["commit"] is None or len(one["commit"]) == 40


def test_the_commit_is_that_of_the_package_not_of_what_lies_around_it(tmp_path, monkeypatch):
    def git(*arguments: str) -> str:
        who = ["-c", "user.name=a", "-c", "user.email=a@b"]
        done = subprocess.run(["git", *who, *arguments], cwd=home, check=True, capture_output=True)
        return done.stdout.decode().strip()

    home = tmp_path / "checkout"
    (home / "seq2seq").mkdir(parents=True)
    (home / "seq2seq" / "code.py").write_text("1")
    git("init", "-q")
    git("add", ".")
    git("commit", "-qm", "first")
    commit = git("rev-parse", "HEAD")
    monkeypatch.setattr(provenance, "PACKAGE", home / "seq2seq")
    assert provenance.checkout() == (commit, True)
    (home / "seq2seq" / "code.py").write_text("2")
    assert provenance.checkout() == (commit, False)
    assert provenance.checkout("*.py") == (commit, True)
    git("checkout", "-q", ".")
    (home / "notes.md").write_text("nothing that a run reads")
    assert provenance.checkout() == (commit, True)
    (home / "configs").mkdir()
    (home / "configs" / "of_ones_own.yaml").write_text("")
    assert provenance.checkout() == (commit, False)
    monkeypatch.setattr(provenance, "PACKAGE", home / "venv" / "seq2seq")
    (home / "venv" / "seq2seq").mkdir(parents=True)
    assert provenance.checkout() == (None, None)


@pytest.mark.parametrize("content", ["", "[1]", '{"a":', "[" * 9999])
def test_a_damaged_one_is_none(tmp_path, content):
    (tmp_path / "provenance.json").write_text(content)
    assert Run(tmp_path).provenance == {}


def test_a_training_that_goes_on_keeps_what_its_former_parts_said(tmp_path):
    run, cfg = Run(tmp_path), {"threads": 1}
    run.write_provenance(cfg)
    run.write_provenance(cfg)
    assert run.provenance["before"] == []  # there was nothing to go on from
    first = run.provenance
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "step=1.ckpt").touch()
    run.write_provenance(cfg)
    del first["before"]
    assert run.provenance["before"] == [first]
