"""The trained models of the package: what their cards state, and what is not loaded."""

import json
import re
import shutil
import time
from pathlib import Path

import pytest
import shell
import torch
import yaml

import seq2seq
from seq2seq import generate, pretrained, publish, schema
from seq2seq.build import load_model
from seq2seq.evaluate import evaluate
from seq2seq.runs import identity
from seq2seq.training import train
from seq2seq.training.configure import configure

ROOT = Path(__file__).parents[1]
NAMES = pretrained.names()
WITH_NMSE = [name for name in NAMES if not name.startswith("text-")]


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """Lorenz 96 is integrated once for all models."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def copy(tmp_path, monkeypatch):
    """A copy of one trained model that a test may damage."""
    shutil.copytree(pretrained.FOLDER / "shift-tcn", tmp_path / "shift-tcn")
    monkeypatch.setattr(pretrained, "FOLDER", tmp_path)
    return tmp_path / "shift-tcn"


def test_every_recipe_has_its_model():
    assert list(pretrained.recipes()) == NAMES


@pytest.mark.parametrize("name", WITH_NMSE)
def test_a_recipe_trains_the_model_that_is_there(name):
    recipe = configure(pretrained.recipes()[name]["train"])
    assert identity(recipe) == identity(pretrained.find(name).config)


@pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=[pytest.mark.slow] * n.startswith("lorenz96")) for n in WITH_NMSE],
)
def test_a_model_has_the_nmse_that_its_card_states(name, cache):
    run = pretrained.find(name)
    drawn = [f"task.cache={cache}"] if "cache" in run.config.task else []
    measured = evaluate(run, drawn)
    assert measured["test/nmse"] == pytest.approx(run.result["test/nmse"], rel=1e-3)
    assert measured["reference/zero"] == pytest.approx(run.result["reference/zero"], rel=1e-3)


@pytest.mark.parametrize("name", [name for name in NAMES if name not in WITH_NMSE])
def test_a_model_of_text_has_the_cross_entropy_that_its_card_states(name):
    run = pretrained.find(name)
    passage = run.card["passage"]
    measured = pretrained.cross_entropy(*generate.load(run), passage["text"])
    assert measured == pytest.approx(passage["nats"], rel=1e-3)
    assert run.result["test/loss"] < run.result["reference/bigram"]


@pytest.mark.parametrize("name", NAMES)
def test_a_card_tells_how_its_model_was_made(name):
    run = pretrained.find(name)
    card, result = run.card, run.result
    assert card["train"].startswith("python train.py experiment=")
    assert card["seed"] == run.config.seed
    assert card["versions"].keys() >= {"python", "torch"}
    assert {"about", "data"} <= card.keys()
    model = load_model(run)
    assert result["parameters"] == sum(p.numel() for p in model.parameters())
    step, loss = run.history["step"], run.history["loss"]
    assert len(step) == len(loss) <= publish.POINTS
    assert step[-1] == result["steps"] == run.config.trainer.max_steps
    assert loss[-1] < loss[0]


def test_the_files_are_small_and_tell_nothing_of_where_they_were_made():
    files = [file for file in pretrained.FOLDER.rglob("*") if file.is_file()]
    assert sum(file.stat().st_size for file in files) <= 16e6
    assert {file.name for file in files} == {
        "model.safetensors",
        "config.yaml",
        "card.json",
        "vocabulary.json",
    }
    for file in files:
        content = file.read_bytes()
        if file.suffix == ".safetensors":  # a length, JSON, and numbers
            end = 8 + int.from_bytes(content[:8], "little")
            content = content[8:end]
            json.loads(content)
        for place in (b"/home", b"/tmp", b"/work", b"/root", b"\\Users"):
            assert place not in content, file


@pytest.mark.parametrize("name", NAMES)
def test_a_model_is_loaded_quickly_and_answers(name):
    start = time.process_time()
    model = seq2seq.load_pretrained(name)
    assert time.process_time() - start < 1
    assert not model.training
    x = torch.zeros(2, 5, dtype=torch.long) if name not in WITH_NMSE else torch.zeros(2, 5, 1)
    assert model(x).shape == (2, 5, model.output_dim)


def test_an_unknown_name_gets_the_nearest():
    with pytest.raises(ValueError, match="no pretrained model 'shift-tnc'; did you mean 'shift-"):
        seq2seq.load_pretrained("shift-tnc")


@pytest.mark.parametrize("target", ["os.system", "seq2seq.runs.Run", "subprocess.Popen"])
def test_a_tampered_config_is_refused(copy, target):
    config = yaml.safe_load((copy / "config.yaml").read_text())
    config["model"] = {"_target_": target, "command": f"touch {copy}/owned"}
    config["allow"] = ["os", "subprocess"]
    (copy / "config.yaml").write_text(yaml.dump(config))
    with pytest.raises(
        schema.ConfigError, match=rf"model\._target_={target} is not a class[^\n]*$"
    ):
        seq2seq.load_pretrained("shift-tcn")
    assert not (copy / "owned").exists()


def test_broken_weights_are_refused(copy):
    weights = copy / "model.safetensors"
    whole = weights.read_bytes()
    for broken in (whole[:-100], b"", b"\x80\x04not safetensors", whole[:20] + b"!" + whole[21:]):
        weights.write_bytes(broken)
        with pytest.raises(ValueError, match=r"cannot read [^\n]*$"):
            seq2seq.load_pretrained("shift-tcn")
    shutil.copy(ROOT / "seq2seq/pretrained_models/shift-rnn/model.safetensors", weights)
    with pytest.raises(ValueError, match=r"does not fit the model of its config: [^\n]*$"):
        seq2seq.load_pretrained("shift-tcn")


def test_the_programs_take_a_model_by_its_name():
    script = ROOT / "scripts" / "generate.py"
    done = shell.run(script, "run=text-char-lstm", "prompt=To be", "length=20")
    model, vocabulary = generate.load(pretrained.find("text-char-lstm"))
    assert done.stdout == generate.write(model, vocabulary, "To be", 20) + "\n"
    done = shell.run(ROOT / "scripts" / "evaluate.py", "run=shift-rnn", "task.length=40")
    assert re.search(r"reference/zero +0\.032", done.stdout)


# --------------------------------------------------------------------------------------- making

SMALL = ["task.train_size=64", "task.val_size=16", "task.test_size=16", "task.batch_size=8"]
QUICK = ["trainer.max_steps=6", "logger=none", "callbacks.progress=null", "callbacks.figures=null"]


def test_a_recipe_makes_a_model_that_is_what_was_trained(tmp_path, monkeypatch):
    monkeypatch.setattr(pretrained, "FOLDER", tmp_path / "models")
    made = publish.rebuild("shift-rnn", [*SMALL, *QUICK, f"paths.outputs={tmp_path / 'runs'}"])
    (trained,) = (tmp_path / "runs").glob("*/*/result.json")
    stored = json.loads(trained.read_text())
    assert pretrained.names() == ["shift-rnn"]
    assert made.result["test/nmse"] == pytest.approx(stored["test/nmse"], rel=1e-5)
    expected = load_model(trained.parent).state_dict()
    for key, value in seq2seq.load_pretrained("shift-rnn").state_dict().items():
        assert torch.equal(value, expected[key])
    before = (made.folder / "model.safetensors").stat().st_mtime_ns
    trained_at = trained.stat().st_mtime_ns
    publish.rebuild("shift-rnn", [*SMALL, *QUICK, f"paths.outputs={tmp_path / 'runs'}"])
    assert trained.stat().st_mtime_ns == trained_at  # not trained again
    assert (made.folder / "model.safetensors").stat().st_mtime_ns > before


def test_a_model_of_text_is_stored_without_its_text(tmp_path, monkeypatch):
    monkeypatch.setattr(pretrained, "FOLDER", tmp_path / "models")
    text = tmp_path / "text.txt"
    text.write_text("Now is the winter of our discontent made glorious summer.\n" * 60)
    overrides = [f"task.path={text}", "task.length=16", "model.hidden_size=8", "threads=1"]
    overrides += ["task.embedding_size=4", *QUICK, f"paths.outputs={tmp_path / 'runs'}"]
    made = publish.rebuild("text-char-lstm", overrides)
    assert made.config.task.corpus == "tinyshakespeare"
    assert made.config.task.path is None
    assert "58" in made.card["data"].replace(",", "")
    model, vocabulary = generate.load(made)
    assert len(generate.write(model, vocabulary, "Now", 20)) == 23
    halved = model.embedding.weight.half().float()
    assert torch.equal(model.embedding.weight, halved)


def test_a_run_that_has_not_finished_is_not_published(tmp_path, monkeypatch):
    monkeypatch.setattr(pretrained, "FOLDER", tmp_path / "models")
    run = train(["model=rnn", *SMALL, *QUICK, f"paths.outputs={tmp_path}"])
    run.write_result({"status": "diverged"})
    with pytest.raises(ValueError, match=r"shift-rnn: the run .* is diverged; finish it first"):
        publish.export(run, "shift-rnn")
    assert pretrained.names() == []


def test_the_program_refuses_what_it_does_not_know():
    done = shell.run(ROOT / "scripts" / "pretrain.py", "shift-tcn", "shift-gur")
    assert done.returncode == 2
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert "no recipe for 'shift-gur'; did you mean" in line
