"""Locks: one owner at a time, taken over only from the dead."""

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from seq2seq.runs import locks
from seq2seq.runs.locks import Claims, is_held

HOLD = """
import sys, time
from pathlib import Path
from seq2seq.runs.locks import Claims
with Claims() as claims:
    print(claims.claim(Path(sys.argv[1])), flush=True)
    time.sleep(60)
"""


@pytest.fixture
def other(tmp_path):
    """Another process that has locked `tmp_path / "run"`."""
    command = [sys.executable, "-c", HOLD, str(tmp_path / "run")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "True\n"
        yield process
        process.kill()


def forge(folder: Path, **changes: object) -> None:
    """A lock that says something else than the truth."""
    path = folder / locks.NAME
    path.write_text(json.dumps(locks.Owner(*json.loads(path.read_text()))._replace(**changes)))


def test_a_folder_has_one_owner_who_leaves_nothing_behind(tmp_path):
    folder = tmp_path / "run"
    with Claims() as claims, Claims() as others:
        assert claims.claim(folder)
        assert is_held(folder)
        assert not others.claim(folder)
        assert others.claim(tmp_path / "another")
    assert not is_held(folder)
    assert os.listdir(folder) == []


def test_a_living_process_keeps_its_lock_and_a_killed_one_loses_it(other, tmp_path):
    folder = tmp_path / "run"
    with Claims() as claims:
        assert not claims.claim(folder)
        other.kill()
        other.wait()
        assert not is_held(folder)
        assert claims.claim(folder)
        assert is_held(folder)


def test_a_process_that_ended_but_is_not_reaped_is_dead(other, tmp_path):
    os.kill(other.pid, 9)
    deadline = time.monotonic() + 10
    while is_held(tmp_path / "run"):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_number_used_again_by_another_process_is_told(other, tmp_path):
    assert is_held(tmp_path / "run")
    forge(tmp_path / "run", started="1")
    assert not is_held(tmp_path / "run")


def test_of_another_machine_the_heartbeat_is_watched(other, tmp_path):
    folder = tmp_path / "run"
    forge(folder, host="elsewhere", pid=1)
    assert is_held(folder)
    past = time.time() - locks.STALE - 1
    os.utime(folder / locks.NAME, (past, past))
    assert not is_held(folder)
    with Claims() as claims:
        assert claims.claim(folder)


def test_a_lock_that_is_being_written_is_not_taken(tmp_path):
    (tmp_path / locks.NAME).touch()
    with Claims() as claims:
        assert not claims.claim(tmp_path)
        os.utime(tmp_path / locks.NAME, (0, 0))
        assert claims.claim(tmp_path)


def test_the_heart_beats_for_every_lock(tmp_path, monkeypatch):
    monkeypatch.setattr(locks, "HEARTBEAT", 0.01)
    files = [tmp_path / name / locks.NAME for name in ("a", "b")]
    with Claims() as claims:
        for file in files:
            assert claims.claim(file.parent)
            os.utime(file, (0, 0))
        deadline = time.monotonic() + 10
        while any(file.stat().st_mtime == 0 for file in files):
            assert time.monotonic() < deadline
            time.sleep(0.01)


def test_a_lock_taken_over_is_not_released_by_its_former_owner(tmp_path):
    with Claims() as first:
        assert first.claim(tmp_path)
        forge(tmp_path, started="1")  # as if `first` had died
        with Claims() as second:
            assert second.claim(tmp_path)
            first.release(tmp_path)
            assert is_held(tmp_path)


def test_of_many_that_take_over_one_succeeds(tmp_path):
    for _ in range(20):
        (tmp_path / locks.NAME).write_text(json.dumps(["elsewhere", 1, "", "dead"]))
        os.utime(tmp_path / locks.NAME, (0, 0))
        with Claims() as claims:
            won: list[bool] = []
            ready = threading.Barrier(8)

            def attempt(
                claims: Claims = claims, ready: threading.Barrier = ready, won: list[bool] = won
            ) -> None:
                ready.wait()
                won.append(claims.claim(tmp_path))

            threads = [threading.Thread(target=attempt) for _ in range(8)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert sum(won) == 1


def test_a_takeover_that_was_killed_midway_blocks_nobody_for_long(tmp_path):
    dead = json.dumps(["elsewhere", 1, "", "dead"])
    for name in (locks.NAME, f"{locks.NAME}.takeover"):
        (tmp_path / name).write_text(dead)
        os.utime(tmp_path / name, (0, 0))
    with Claims() as claims:
        assert not claims.claim(tmp_path)
        assert claims.claim(tmp_path)
