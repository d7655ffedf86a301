"""Run folders from strangers: what they name, what their files hold, and how large they are."""

import os
import random
import re
import shutil
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from seq2seq.analysis.report import report
from seq2seq.errors import printable
from seq2seq.evaluate import evaluate
from seq2seq.explorer import build
from seq2seq.explorer.page import answer
from seq2seq.runs import Run, collect
from seq2seq.schema import explain
from seq2seq.sweep import status

FORMER = Path(__file__).with_name("former_runs")

#: Seconds that a tool may take; of the processor, as others may use it at the same time.
LIMIT = 5.0


def stranger(folder, **changes):
    """A trained run, `changes` made to the nodes of its config."""
    shutil.copytree(sorted(FORMER.iterdir())[0], folder)
    config = yaml.safe_load((folder / "config.yaml").read_text())
    for node, entries in changes.items():
        config[node] = (config[node] if isinstance(config.get(node), dict) else {}) | entries
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    return folder


@pytest.mark.parametrize("path", ["/etc/passwd", "../secret.npz", "pipe/../../secret.npz"])
@pytest.mark.parametrize("nested", [False, True])
def test_a_run_names_only_data_in_its_own_folder(tmp_path, path, nested):
    np.savez(tmp_path / "secret.npz", x=np.zeros((4, 3, 1)), y=np.zeros((4, 3, 1)))
    arrays = {"_target_": "seq2seq.tasks.Arrays", "path": path}
    folder = stranger(tmp_path / "run", task={"input": arrays} if nested else arrays)
    with pytest.raises(ValueError, match=r"path=.* lies outside the run's folder; copy .* allow="):
        Run(folder).config  # noqa: B018
    shutil.copy(tmp_path / "secret.npz", folder / Path(path).name)
    node = Run(folder).config.task
    assert (node.input if nested else node).path == str(folder / Path(path).name)


def test_the_reader_may_allow_data_elsewhere(tmp_path):
    path = str(tmp_path / "data" / "x.npz")
    folder = stranger(tmp_path / "run", task={"path": path, "cache": path})
    task = Run(folder, [str(tmp_path / "data")]).config.task
    assert (task.path, task.cache) == (path, path)


def test_a_config_that_is_cut_off_is_not_read_as_another(tmp_path):
    folder = stranger(tmp_path / "run")
    text = (folder / "config.yaml").read_text()
    (folder / "config.yaml").write_text(text[: text.index("length: ") + 9])
    assert collect(tmp_path)["status"].tolist() == ["unreadable"]
    with pytest.raises(ValueError, match=r"config\.yaml: it is cut off"):
        evaluate(folder)


def test_what_the_refusal_advises_lets_the_reader_on(tmp_path):
    folder = stranger(tmp_path / "run", task={"path": "pairs.npz"})
    with pytest.raises(ValueError, match="add allow=") as refusal:
        Run(folder).config  # noqa: B018
    advised = re.search(r"allow=\[(.*)\]", str(refusal.value))
    assert Run(folder, [advised[1]]).config.task.path == "pairs.npz"


def test_caches_of_others_are_not_used_and_nothing_is_fetched(tmp_path):
    text = {"_target_": "seq2seq.tasks.Text", "corpus": "text8", "cache": str(tmp_path / "cache")}
    assert Run(stranger(tmp_path / "run", task=text)).config.task.cache is None


@pytest.mark.parametrize(
    ("node", "entries"),
    [
        ("model", {"hidden_size": 100_000}),
        ("model", {"num_layers": 100_000}),
        ("task", {"length": 10**9, "test_size": 10**6}),
        ("task", {"input": {"_target_": "seq2seq.tasks.White", "scale": 10**12}}),
    ],
)
def test_sizes_are_bounded_before_anything_is_built(tmp_path, node, entries):
    folder = stranger(tmp_path / "run", **{node: entries})
    with pytest.raises(ValueError, match=f"{node}.* asks for about .* numbers at once, more than"):
        Run(folder).config  # noqa: B018


# ------------------------------------------------------------------------------ broken folders

#: Contents that stand in for those of a file.
CONTENTS = {
    "config.yaml": [
        b"",
        b"\xff\xfe",
        b"- a list",
        b"a: &a [1, 2]\nb: &b [*a, *a, *a]\nc: [*b, *b, *b]\n",
        b"[" * 100_000,
        b"- " * 100_000,
        b"a: [" + b"1, " * 100_000 + b"1]",
        b"a: " + b"1:" * 100_000 + b"1",
        b"task: {_target_: Shift}\nmodel: {_target_: 3}\n",
        b"task: [1]\nmodel: text\ncallbacks: text\n",
        b"!!python/object/apply:os.system ['touch owned']",
        b"seed: later\n",
    ],
    "result.json": [
        b"",
        b"[]",
        b"null",
        b'"finished"',
        b"[" * 60_000,
        b'{"status": ["finished"]}',
        b'{"status": "finished", "test/nmse": "low", "seconds": "many"}',
        b'{"status": "finished", "test/nmse": Infinity, "steps": NaN, "seconds": -1}',
        b'{"status": "finished", "test/nmse": 1' + b"0" * 400 + b"}",
        b'{"status": "\\u001b[31mfinished", "error": "\\u001b[2J"}',
        b" " * 2**20,
    ],
    "history.npz": [b"", b"PK\5\6", b"no archive"],
    "kernel.npz": [b"", b"no archive"],
    "eigenvalues.npz": [b"", b"no archive"],
    "traceback.txt": [b"\xff", b"\x1b[2J\n" * 10],
    ".lock": [b"\xff", b"[" * 4000, b"{}", b" " * 10_000],
    "vocabulary.json": [b"[]", b"\xff", b"[" * 100_000],
    "model.safetensors": [b"", b"\xff" * 100],
}


def arrays(path, draw):
    """Arrays of the wrong kind, or that unpack to gigabytes."""
    kinds = [
        {"step": np.arange(3)},
        {"step": np.array(["a"]), "loss": np.zeros(1), "lr": np.zeros(1)},
        {"step": np.zeros((2, 2)), "loss": np.zeros(3), "lr": np.zeros(1)},
        {"step": np.arange(2), "loss": np.full(2, np.nan), "lr": np.zeros(2)},
        None,
        {"step": np.array(1), "true": np.zeros(3), "learned": np.zeros(4)},
    ]
    if (kind := draw.choice(kinds)) is not None:
        np.savez(path, **kind)
        return
    archive = zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1)
    with archive, archive.open("step.npy", "w") as part:
        for _ in range(2**8 + 1):
            part.write(bytes(2**20))


def special(path, draw):
    """No regular file, or a link to another."""
    kind = draw.choice(["pipe", "folder", "device", "loop", "nowhere", "sparse"])
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    elif kind == "sparse":
        with path.open("wb") as stream:
            stream.truncate(2**40)
    else:
        path.symlink_to({"device": "/dev/zero", "loop": path, "nowhere": "/nowhere"}[kind])


class Owned:
    """Unpickled, it makes a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


def checkpoint(path, draw):
    """What is no checkpoint, or more than one."""
    kind = draw.choice(["pickle", "bytearray", "name", "torn"])
    if kind == "name":
        path.with_name("step=abc.ckpt").touch()
    elif kind == "torn":
        path.write_bytes(path.read_bytes()[:-100])
    else:
        owned = Owned(path.parents[2] / "owned") if kind == "pickle" else bytearray(10)
        torch.save({"state_dict": {}, "global_step": owned}, path)


NODES = [
    ("model", {"_target_": "os.system", "command": "touch owned"}),
    ("model", {"_target_": "nodots"}),
    ("model", {"hidden_size": 10**9}),
    ("model", {"hidden_size": "$\\frac$"}),
    ("model", {"num_layers": -1}),
    ("task", {"length": 10**12}),
    ("task", {"k": "\x1b[31m"}),
    ("task", {"k": [1, {"a": 2}]}),
    ("task", {"input": {"_target_": "seq2seq.tasks.Arrays", "path": "/dev/zero"}}),
    ("task", {"_target_": "seq2seq.tasks.Text", "path": "/etc"}),
    ("task", {"_target_": "seq2seq.tasks.Text", "corpus": "text8", "cache": "owned"}),
    ("callbacks", {"stop_after_escape": {"reference": ["a"], "tolerance": "much"}}),
    ("callbacks", {"stop_after_escape": [1]}),
    ("paths", {"outputs": "${oc.env:HOME}"}),
]


def broken(folder, draw):
    """A run with one to three faults, drawn by chance; what was done, in words."""
    node, entries = draw.choice(NODES)
    stranger(folder, **({node: entries} if draw.random() < 0.3 else {}))
    (weights,) = (folder / "checkpoints").iterdir()
    done = []
    for _ in range(draw.randint(1, 3)):
        kind = draw.choice(["content", "special", "arrays", "checkpoint"])
        path = folder / draw.choice([*CONTENTS])
        if kind == "checkpoint" and weights.is_file() and not weights.is_symlink():
            checkpoint(weights, draw)
        elif kind == "arrays":
            path = folder / draw.choice(["history.npz", "kernel.npz", "eigenvalues.npz"])
            if not path.is_dir():
                path.unlink(missing_ok=True)
                arrays(path, draw)
        elif not path.is_dir():
            path.unlink(missing_ok=True)
            if kind == "special":
                special(path, draw)
            else:
                path.write_bytes(draw.choice(CONTENTS[path.name]))
        done.append(f"{kind} {path.name}")
    return f"{folder.name}: {node if folder.name else ''} {', '.join(done)}"


def timed(slow, name, act, sound=0.0):
    """What `act` returns, or the line that it raises; `sound`: its time without broken folders."""
    start = time.process_time()
    try:
        return act()
    except (OSError, ValueError) as error:
        line = printable(explain(error))
        assert line
        return line
    finally:
        if time.process_time() - start - sound > LIMIT:
            slow.append(name)


@pytest.mark.parametrize(
    ("seed", "number"),
    [(0, 6), *(pytest.param(seed, 12, marks=pytest.mark.slow) for seed in range(1, 11))],
)
def test_no_broken_folder_takes_down_a_tool(tmp_path, monkeypatch, seed, number):
    monkeypatch.chdir(tmp_path)
    draw, slow, root = random.Random(seed), [], tmp_path / "runs"
    shutil.copytree(sorted(FORMER.iterdir())[1], root / "good")
    for warm in (lambda: report(root), lambda: evaluate(root / "good"), lambda: collect(root)):
        warm()  # the first use of a tool imports what it needs
    start = time.process_time()
    report(root)  # nearly all of its time is the drawing of the sound run
    sound = time.process_time() - start
    told = [broken(root / f"{n}\x1b[31m²", draw) for n in range(number)]
    print("\n".join(told))
    table = timed(slow, "collect", lambda: collect(root))
    assert len(table) == number + 1
    assert table.set_index("folder")["status"][str(root / "good")] == "finished"
    listed = timed(slow, "runs", lambda: status.report(status.read(root)))
    assert f"{number + 1} runs: " in listed
    assert "\x1b" not in listed
    assert timed(slow, "report", lambda: report(root), sound) == root / "report.html"
    page = build("models", tmp_path)
    for folder in sorted(root.glob("*²")):
        shown = timed(slow, f"evaluate {folder}", lambda f=folder: evaluate(f))
        assert isinstance(shown, str) or "test/loss" in shown
        values = {"task": "runs", "model": f"runs/{folder.name}"}
        request = {"values": values, "seed": 1, "width": 600, "started": True}
        for one in (page, build("training", tmp_path)):
            name, messages = f"{one.name} {folder}", answer(one, request)
            assert "failed" not in str(timed(slow, name, lambda m=messages: list(m))[-1])
    assert slow == []
    assert not list(tmp_path.rglob("owned"))
