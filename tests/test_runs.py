"""Identity, folders, and reading runs back."""

import json
import os

import numpy as np
import pytest
import torch
import yaml
from composed import composed

from seq2seq import multirun, schema
from seq2seq.build import load_model
from seq2seq.evaluate import evaluate
from seq2seq.runs import (
    Run,
    collect,
    find,
    label,
    load_checkpoint,
    run_folder,
    trajectory_hash,
    write_atomically,
)
from seq2seq.tasks.arrays import Arrays
from seq2seq.tasks.cache import cached
from seq2seq.tasks.text import Text
from seq2seq.training import train

SMALL = [
    "model=rnn",
    "model.hidden_size=4",
    "task.length=8",
    "task.k=2",
    "task.train_size=64",
    "task.val_size=16",
    "task.test_size=16",
    "task.batch_size=8",
    "callbacks.figures=null",
    "callbacks.progress=null",
    "logger=none",
]


def config(*overrides: str):
    return composed(*overrides)


@pytest.mark.parametrize(
    "same",
    [
        "logger=csv",
        "paths.outputs=elsewhere",
        "name=other",
        "force=true",
        "callbacks.progress=null",
        "callbacks.references=null",
        "~callbacks.references",
        "+callbacks.pictures={_target_:seq2seq.callbacks.Figures}",
        "+callbacks.nothing=null",
        "callbacks.figures.sequences=2",
        "trainer.log_every_n_steps=7",
        "task.k=8",
        "optimizer.lr=0.001",
    ],
)
def test_what_leaves_the_numbers_unchanged_leaves_the_identity(same):
    assert trajectory_hash(config(same)) == trajectory_hash(config())


@pytest.mark.parametrize(
    "other",
    ["seed=1", "threads=2", "task.k=7", "model.hidden_size=8", "optimizer.lr=2e-3",
     "gradient_clip_val=null", "trainer.precision=64-true", "task.seed=1", "model=rnn",
     "callbacks.stop_at_target.target=0.1",
     "callbacks.progress={_target_:seq2seq.callbacks.StopAtTarget}",
     "+callbacks.escape={_target_:seq2seq.callbacks.StopAfterEscape}",
     "+callbacks.timer={_target_:lightning.pytorch.callbacks.Timer}"],
)  # fmt: skip
def test_what_changes_the_numbers_changes_the_identity(other):
    assert trajectory_hash(config(other)) != trajectory_hash(config())


@pytest.mark.parametrize(
    ("typed", "name"),
    [
        ("", "tcn"),
        ("model=lstm task.k=4 optimizer.lr=1e-2 seed=3", "lstm-k=4-lr=0.01-seed=3"),
        ("task=shift optimizer.lr=1e-05 optimizer=sgd task/input=white", "sgd-white-lr=1e-05"),
        ("experiment=plateau_shift seed=1 task.seed=2", "seed=1-task.seed=2"),
        ("name=x logger=none force=true trainer.max_steps=7 paths.outputs=y", "tcn"),
        ("callbacks.figures=null callbacks.stop_at_target.target=0.1", "target=0.1"),
        ("task=arrays task.path='/far/away/pairs.npz'", "path=pairs.npz"),
        ("task=convolution task.filter=[1,0.5]", "filter=1_0.5"),
        (
            "seed=1 task.train_size=1000000 task.val_size=1000000 task.test_size=10000000",
            "seed=1-train_size=1000000-val_size=1000000",
        ),
    ],
)
def test_a_name_tells_what_was_typed_and_no_more(typed, name):
    overrides = typed.split()
    told = label(overrides, schema.plain(config(*overrides)))
    assert told == name


def test_a_folder_is_that_of_the_experiment_or_the_task():
    assert run_folder(config("task.k=4")).parts[:2] == ("outputs", "shift")
    assert run_folder(config("name=study")).parts[1] == "study"


def test_commands_that_name_a_run_otherwise_meet_in_its_folder(tmp_path):
    small = [*SMALL, f"paths.outputs={tmp_path}", "trainer.max_steps=2"]
    first = train([*small, "seed=1"])
    again = train([*[one for one in small if one != "task.k=2"], "seed=1", "task.k=2"])
    assert first.folder == again.folder
    runs = multirun([*small, "seed=0,1", "optimizer.lr=0.001,1e-3"])
    assert [run.folder.name.rpartition("-steps")[0] for run in runs[1:]] == [
        first.folder.name.rpartition("-steps")[0]
    ]
    assert len([*tmp_path.glob("*/*/result.json")]) == len(runs) == 2


def test_hashes_are_those_of_former_versions():
    """Else every run that was kept would be trained again."""
    hashes = {"": "abf9a29c", "model=lru": "46d289f0", "experiment=plateau_shift": "abb032ad"}
    hashes |= {"model=s4d": "e6374911"}
    assert {o: trajectory_hash(config(*o.split())) for o in hashes} == hashes


@pytest.mark.parametrize(
    ("overrides", "name"),
    [
        (["model=lru"], "k=8-gp-lru-hidden_size=32-max_phase=3.14159-seed=0-steps=1500-46d289f0"),
        (["callbacks.references=null"], "k=8-gp-tcn-hidden_size=32-seed=0-steps=1500-24af6993"),
    ],
)
def test_folders_of_former_versions_are_found(overrides, name, tmp_path):
    overrides = [*overrides, f"paths.outputs={tmp_path}"]
    assert run_folder(config(*overrides)).name != name
    (tmp_path / "shift" / name).mkdir(parents=True)
    assert run_folder(config(*overrides)).name == name
    assert run_folder(config(*overrides, "trainer.max_steps=20")).name != name


def test_a_stop_under_the_key_of_a_watcher_is_another_run_than_the_former_default(tmp_path):
    former = tmp_path / "shift" / "k=8-gp-tcn-hidden_size=32-seed=0-steps=1500-abf9a29c"
    former.mkdir(parents=True)
    stop = "callbacks.progress={_target_:seq2seq.callbacks.StopAtTarget}"
    assert run_folder(config(f"paths.outputs={tmp_path}")) == former
    assert run_folder(config(f"paths.outputs={tmp_path}", stop)) != former


def test_changed_data_make_another_run(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    for path in (str(tmp_path / "pairs.npz"), "~/pairs.npz"):
        hashes = []
        for value in (0.0, 1.0):
            x = np.full((4, 3, 1), value)
            np.savez(tmp_path / "pairs.npz", x=x, y=x)
            hashes.append(trajectory_hash(config("task=arrays", f"task.path='{path}'")))
        assert hashes[0] != hashes[1]


def test_paths_in_the_home_folder_are_found(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "cwd").mkdir()
    monkeypatch.chdir(tmp_path / "cwd")
    x = np.ones((4, 3, 1))
    np.savez(tmp_path / "pairs.npz", x=x, y=x)
    (tmp_path / "text").write_text("abc " * 500)
    assert Arrays("~/pairs.npz").length == 3
    assert Text(path="~/text", cache="~/cache").vocabulary_size == 4 + 1
    assert cached("~/cache", {}, lambda: (torch.ones(1),)) == (torch.ones(1),)
    assert len(list((tmp_path / "cache").iterdir())) == 3
    run = Run("~/outputs/run")
    run.write_config(config())
    assert collect("~/outputs")["folder"].tolist() == [str(tmp_path / "outputs" / "run")]
    assert os.listdir() == []


def test_a_longer_run_continues_the_shorter_one_and_equals_a_run_of_that_length(tmp_path):
    short = train([*SMALL, f"paths.outputs={tmp_path}/a", "trainer.max_steps=20"])
    long = train([*SMALL, f"paths.outputs={tmp_path}/a", "trainer.max_steps=50"])
    alone = train([*SMALL, f"paths.outputs={tmp_path}/b", "trainer.max_steps=50"])
    assert short.result["steps"] == 20
    assert long.folder != short.folder
    assert np.array_equal(long.history["loss"], alone.history["loss"])
    assert np.array_equal(long.history["loss"][:20], short.history["loss"])
    states = [load_checkpoint(run.checkpoints[0])["state_dict"] for run in (long, alone)]
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[1])


def test_the_longest_of_the_shorter_runs_is_continued(tmp_path):
    for name in ("k=8-steps=9-0123abcd", "k=8-steps=20-0123abcd", "k=8-steps=30-4567abcd"):
        checkpoint = tmp_path / name / "checkpoints" / "step=9.ckpt"
        checkpoint.parent.mkdir(parents=True)
        checkpoint.touch()
        (tmp_path / name / "config.yaml").touch()
        Run(tmp_path / name).write_result({"status": "finished"})
    (tmp_path / "k=8-steps=25-0123abcd").mkdir()  # without a checkpoint
    for steps, shorter in ((40, 20), (20, 9), (9, None)):
        found = Run(tmp_path / f"k=8-steps={steps}-0123abcd").shorter()
        assert (found and found.name) == (shorter and f"k=8-steps={shorter}-0123abcd")


def test_the_same_seed_gives_the_same_numbers_whatever_else_drew(tmp_path):
    one = train([*SMALL, f"paths.outputs={tmp_path}/a", "trainer.max_steps=10"])
    torch.randn(100)
    np.random.default_rng().normal(size=3)
    two = train([*SMALL, f"paths.outputs={tmp_path}/b", "trainer.max_steps=10"])
    assert np.array_equal(one.history["loss"], two.history["loss"])


def test_training_leaves_the_callers_randomness_and_threads_alone(tmp_path):
    torch.set_num_threads(2)
    try:
        state = torch.get_rng_state()
        train([*SMALL, f"paths.outputs={tmp_path}", "trainer.max_steps=3", "model.dropout=0.2"])
        assert torch.equal(torch.get_rng_state(), state)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(1)


def test_a_diverging_run_says_so_and_is_final(tmp_path):
    wild = ["optimizer=sgd", "optimizer.lr=1e6", "gradient_clip_val=null", "model.cell=linear"]
    overrides = [*SMALL, *wild, f"paths.outputs={tmp_path}", "trainer.max_steps=500"]
    run = train(overrides)
    assert run.status == "diverged"
    assert run.result["steps"] < 500
    json.loads((run.folder / "result.json").read_text(), parse_constant=pytest.fail)
    written = (run.folder / "result.json").stat().st_mtime_ns
    assert train(overrides).status == "diverged"
    assert (run.folder / "result.json").stat().st_mtime_ns == written


def test_a_damaged_checkpoint_falls_back_to_the_one_before(tmp_path, caplog):
    overrides = [*SMALL, "callbacks.checkpoints.every_n_steps=10", "trainer.max_steps=30"]
    whole = train([*overrides, f"paths.outputs={tmp_path}/whole"])
    run = train([*overrides, f"paths.outputs={tmp_path}/cut"])
    (run.folder / "result.json").unlink()
    last, previous = run.checkpoints
    last.write_bytes(last.read_bytes()[:1000])
    caplog.set_level("INFO", "seq2seq")
    again = train([*overrides, f"paths.outputs={tmp_path}/cut"])
    assert f"cannot read {last}" in caplog.text
    assert f"continuing from step 20 of {run.folder}" in caplog.text
    assert previous.name == "step=20.ckpt"
    assert np.array_equal(again.history["loss"], whole.history["loss"])


def test_a_checkpoint_that_would_execute_code_is_refused(tmp_path):
    class Hostile:
        def __reduce__(self):
            return (open, (str(tmp_path / "owned"), "w"))

    path = tmp_path / "step=1.ckpt"
    torch.save({"state_dict": Hostile(), "global_step": 1}, path)
    with pytest.raises(ValueError, match="cannot read"):
        load_checkpoint(path)
    assert not (tmp_path / "owned").exists()


def test_a_run_folder_with_a_foreign_class_is_refused(tmp_path):
    run = train([*SMALL, f"paths.outputs={tmp_path}", "trainer.max_steps=2"])
    path = run.folder / "config.yaml"
    path.write_text(path.read_text().replace("seq2seq.models.RNN", "os.system"))
    with pytest.raises(schema.ConfigError, match=r"os\.system is not a class of this project"):
        load_model(run.folder)
    path.write_text(path.read_text().replace("allow: []", "allow: [os]"))
    with pytest.raises(schema.ConfigError, match=r"os\.system is not a class of this project"):
        load_model(run.folder)


def test_classes_from_outside_are_loaded_when_the_reader_allows_them(tmp_path, monkeypatch):
    code = "from seq2seq.models import RNN\nclass Own(RNN):\n    pass\n"
    (tmp_path / "ours.py").write_text(code)
    monkeypatch.syspath_prepend(str(tmp_path))
    own = ["model._target_=ours.Own", "allow=[ours]", "trainer.max_steps=2"]
    run = train([*SMALL, *own, f"paths.outputs={tmp_path}"])
    with pytest.raises(schema.ConfigError, match=r"add allow=\[ours\]"):
        evaluate(run.folder)
    measured = evaluate(run.folder, ["allow=[ours]"])
    assert measured["test/loss"] == pytest.approx(run.result["test/loss"], rel=1e-5)


def test_parameters_of_another_model_are_refused_in_one_line(tmp_path):
    run = train([*SMALL, f"paths.outputs={tmp_path}", "trainer.max_steps=2"])
    path = run.folder / "config.yaml"
    path.write_text(path.read_text().replace("hidden_size: 4", "hidden_size: 5"))
    with pytest.raises(ValueError, match=r"ckpt does not fit the model of its config: [^\n]*shape"):
        load_model(run.folder)


@pytest.mark.parametrize("text", ["- a list", "a: [1", "\x00"])
def test_a_damaged_config_is_refused_in_one_line(tmp_path, text):
    (tmp_path / "config.yaml").write_text(text)
    with pytest.raises(ValueError, match=r"cannot read [^\n]*$"):
        load_model(tmp_path)


@pytest.mark.parametrize(
    "text",
    [
        "seed: 1\ntask:\n  _target_: a.B\n  k: 3\nallow:\n- a\n- b\n",
        'name: "x\nseed: 2"\n',
        "claim: |\n  seed: 3\nseed: 4\n",
        "claim: {\nseed: 5}\n",
        "claim: [1,\nseed: 5]\n",
        "seed: 1\nseed: 2\n",
        "# seed: 6\nseed: 7\n",
        "seed: 1\n...\nname: x\n",
        "seed: 1\n--- \nname: x\n",
        "name: &a x\nclaim: *a\n",
        "{seed: 8}\n",
        "name: 'x'\nclaim: x\n y\n",
        "? seed\n: 9\n",
        "",
    ],
)
def test_a_config_read_node_by_node_is_what_yaml_says(tmp_path, text):
    (tmp_path / "config.yaml").write_text(text)
    try:
        expected = yaml.safe_load(text)
    except yaml.YAMLError:
        expected = None
    for _ in range(2):  # the second time from what is known
        if isinstance(expected, dict) and "*" not in text:
            assert Run(tmp_path).plain_config == expected
        else:
            with pytest.raises(ValueError, match="cannot read"):
                Run(tmp_path).plain_config  # noqa: B018


def test_collect_gives_a_row_per_run_with_the_keys_that_vary(tmp_path):
    for k in (1, 3):
        train([*SMALL, f"task.k={k}", f"paths.outputs={tmp_path}", "trainer.max_steps=3"])
    frame = collect(tmp_path)
    assert frame["task.k"].tolist() == [1, 3]
    assert set(frame["model"]) == {"RNN"}
    assert "model.hidden_size" not in frame
    assert frame["reference/zero"].tolist() == pytest.approx([7 / 8, 5 / 8])
    assert [run.config.task.k for run in find(tmp_path)] == [1, 3]


def test_an_interrupted_write_leaves_the_old_content(tmp_path, monkeypatch):
    path = tmp_path / "result.json"
    write_atomically(path, b"old")

    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", fail)
    with pytest.raises(OSError, match="No space"):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["result.json"]


def test_what_cannot_be_written_is_told_by_its_own_name(tmp_path):
    with pytest.raises(FileNotFoundError) as caught:
        write_atomically(tmp_path / "none" / "a.json", b"new")
    assert str(caught.value).endswith(f"'{tmp_path}/none/a.json'")
    (tmp_path / "a.json").mkdir()
    with pytest.raises(OSError, match=r"/a\.json'$") as caught:
        write_atomically(tmp_path / "a.json", b"new")
    assert ".tmp" not in str(caught.value)


def test_a_folder_without_result_was_killed(tmp_path):
    assert Run(tmp_path).status == "new"
    (tmp_path / "config.yaml").write_text("seed: 0\n")
    assert Run(tmp_path).status == "killed"


def test_a_receptive_field_shorter_than_the_memory_draws_a_warning(tmp_path, caplog):
    overrides = [*SMALL, f"paths.outputs={tmp_path}", "trainer.max_steps=1", "model=tcn_plain"]
    overrides += ["model.num_layers=2", "model.hidden_size=4"]
    train([*overrides, "task.k=3"])
    assert "receptive field" not in caplog.text
    train([*overrides, "task.k=4"])
    assert "4 steps back, the model's receptive field is 4 steps" in caplog.text
