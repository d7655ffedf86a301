"""What a command says of its jobs before it trains them."""

import io
import sys

import pytest

from seq2seq.sweep import jobs

NODES = {
    "task": {"_target_": "seq2seq.tasks.LinearFunctional"},
    "model": {"_target_": "seq2seq.models.RNN"},
    "callbacks": {"progress": {"_target_": "seq2seq.callbacks.ProgressReport"}},
}
LINE = "preparing 2 jobs: linear_functional, rnn"


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize(
    ("stream", "sound", "said"),
    [
        (Terminal, True, f"{LINE}\r\x1b[K{LINE}\n"),
        (Terminal, False, f"{LINE}\r\x1b[K"),
        (io.StringIO, True, f"{LINE}\n"),
        (io.StringIO, False, ""),
    ],
)
def test_what_is_prepared_is_said_unless_it_is_refused(tmp_path, monkeypatch, stream, sound, said):
    monkeypatch.setattr(sys, "stderr", stream())
    missing = [jobs.Job((), NODES, tmp_path)] * 2
    try:
        with jobs._telling(missing):
            if not sound:
                raise ValueError("refused")
    except ValueError:
        assert not sound
    assert sys.stderr.getvalue() == said


@pytest.mark.parametrize("callbacks", [None, {"progress": None}, {}])
def test_jobs_without_a_progress_bar_are_prepared_in_silence(tmp_path, capsys, callbacks):
    with jobs._telling([jobs.Job((), NODES | {"callbacks": callbacks}, tmp_path)]):
        pass
    assert capsys.readouterr().err == ""
