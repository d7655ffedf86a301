"""What TensorBoard's page shows of sweeps, read from the page."""

import re
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import shell

SMALL = ["task.length=20", "task.train_size=64", "task.val_size=16", "task.test_size=16"]
SMALL += [
    "task.batch_size=8",
    "model.hidden_size=4",
    "trainer.max_steps=4",
    "callbacks.figures=null",
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Two sweeps in one folder; of the second, runs diverge."""
    outputs = tmp_path_factory.mktemp("outputs")
    here = [*SMALL, f"paths.outputs={outputs}"]
    for own in (
        ["model=rnn,lstm", "task.k=2,16", "seed=0,1"],
        ["model=rnn", "optimizer.lr=0.001,1e3", "optimizer=adam,sgd", "task.k=2"],
    ):
        assert shell.run(shell.TRAIN, "-m", *here, *own).returncode == 0
    return outputs / "shift"


@pytest.fixture(scope="module")
def board(folder):
    """The address of TensorBoard."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = ["-m", "tensorboard.main", "--logdir", folder, "--host=127.0.0.1", f"--port={port}"]
    with subprocess.Popen(
        [sys.executable, *map(str, command)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        while not answers(port):
            assert process.poll() is None
            time.sleep(0.1)
        yield f"http://127.0.0.1:{port}/"
        process.terminate()


def answers(port: int) -> bool:
    """Whether a server listens there."""
    with socket.socket() as one:
        return one.connect_ex(("127.0.0.1", port)) == 0


def rows(page) -> list[dict[str, str]]:
    """The table of the HParams page."""
    header, *table = page.locator("tf-hparams-table-view vaadin-grid").evaluate(READ)
    return [dict(zip(header, row, strict=True)) for row in table]


#: The cells of all rows that are shown, the one for a row's details left out.
READ = """grid => [...grid.shadowRoot.querySelectorAll("tr")]
    .map(row => [...row.querySelectorAll("th, td:not([part~=details-cell])")]
        .map(cell => cell.querySelector("slot").assignedNodes()[0].innerText.trim()))
    .filter(cells => cells[0])"""


def test_the_page_compares_what_the_sweeps_vary(board, browser):
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.goto(f"{board}#hparams")
    page.get_by_text(re.compile(r"-steps=4-\w{8}$")).first.wait_for(timeout=60_000)
    table = rows(page)
    assert [*table[0]][2:7] == ["model", "optimizer", "optimizer.lr", "seed", "task.k"]
    assert [*table[0]][7:] == ["val/nmse", "test/nmse", "steps", "seconds", "parameters"]
    told = {(r["model"], r["optimizer"], float(r["optimizer.lr"]), r["task.k"]) for r in table}
    assert told == {
        *((model, "adam", 0.001, k) for model in ("rnn", "lstm") for k in ("2", "16")),
        *(("rnn", name, lr, "2") for name in ("adam", "sgd") for lr in (0.001, 1e3)),
    }
    assert {r["Trial ID"].rpartition("-steps=")[0] for r in table} == {
        *(f"{m}-k={k}-seed={s}" for m in ("rnn", "lstm") for k in (2, 16) for s in (0, 1)),
        *("adam-lr=1000", "sgd-lr=0.001", "sgd-lr=1000"),  # the sweeps share a run
    }
    assert all(r["test/nmse"] == "" for r in table if r["optimizer.lr"] == "1000.0")
    assert all(float(r["test/nmse"]) > 0 for r in table if r["optimizer.lr"] != "1000.0")
    assert {r["steps"] for r in table} == {"4.0000"}
    page.close()
