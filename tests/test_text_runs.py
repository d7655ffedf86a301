"""Runs on text as whole programs: metrics, samples, carried state, resume, writing."""

import json
import subprocess
from pathlib import Path

import pytest
import shell
import torch
from omegaconf import OmegaConf
from torch import Tensor

import seq2seq
from seq2seq import generate
from seq2seq.build import build
from seq2seq.evaluate import evaluate
from seq2seq.runs import Run, load_checkpoint
from seq2seq.schema import ConfigError

ROOT = Path(__file__).parents[1]
TEXT = ("It was the best of times, it was the worst of times.\n" * 60).encode()


def overrides(folder: Path, *more: str) -> list[str]:
    (folder / "text.txt").write_bytes(TEXT)
    return [
        "task=text",
        f"task.path={folder / 'text.txt'}",
        "task.length=16",
        "task.batch_size=8",
        "task.embedding_size=6",
        "model.hidden_size=8",
        f"paths.outputs={folder}",
        "trainer.max_steps=40",
        "trainer.val_check_interval=20",
        "trainer.accelerator=cpu",
        *more,
    ]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("run")
    trained = seq2seq.train(
        overrides(folder, "model=lstm", "callbacks.figures.every_n_validations=1")
    )
    (folder / "text.txt").unlink()  # what follows needs no corpus
    return trained


def test_a_text_run_reports_its_metrics(run: Run) -> None:
    result = run.result
    assert result["status"] == "finished"
    for split in ("val", "test"):
        bits = result[f"{split}/loss"] / torch.log(torch.tensor(2.0)).item()
        assert result[f"{split}/bits_per_character"] == pytest.approx(bits)
    assert {"reference/unigram", "reference/bigram", "val/perplexity"} <= result.keys()
    assert not any("nmse" in key for key in result)


def test_stored_results_of_texts_compare_words_with_characters(run: Run, tmp_path: Path) -> None:
    stored = tmp_path / "text.json"
    done = shell.run(ROOT / "scripts" / "report.py", run.folder.parent, f"json={stored}")
    assert done.returncode == 0, done.stderr
    (row,) = json.loads(stored.read_text())["rows"]
    bits = "test/bits_per_character"
    assert row[bits]["mean"] == pytest.approx(run.result[bits])


@pytest.mark.parametrize("split", ["val", "test"])
def test_losses_are_means_over_tokens(run: Run, split: str, tmp_path: Path) -> None:
    """Against a sum token by token: 8 = length / 2 are scored together, after 8 or more others."""
    model, vocabulary = generate.load(run)
    tokens = torch.from_numpy(vocabulary.encode(TEXT.decode()).astype("int64"))
    (tmp_path / "text.txt").write_bytes(TEXT)
    own = f"task.path={tmp_path / 'text.txt'}"
    task, _ = build(OmegaConf.merge(run.config, OmegaConf.from_dotlist([own])), run.vocabulary)
    extent = task.encoded.extents[split]
    assert (extent.stop - extent.start) % 8  # the last window has fewer to score
    total = 0.0
    for token in range(extent.start, extent.stop):
        stop = min(token - (token - extent.start) % 8 + 8, extent.stop)
        with torch.no_grad():
            scores = model(tokens[None, stop - 17 : token])[0, -1]
        total -= float(scores.double().log_softmax(0)[tokens[token]])
    mean = total / (extent.stop - extent.start)
    assert run.result[f"{split}/loss"] == pytest.approx(mean, rel=1e-6)
    if split == "test":
        assert evaluate(run, [own])["test/loss"] == pytest.approx(mean, rel=1e-6)


def test_samples_stand_in_tensorboard(run: Run) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(run.folder))
    events.Reload()
    assert "sample/text_summary" in events.Tags()["tensors"]
    assert len(events.Tensors("sample/text_summary")) >= 2


def test_a_run_writes_without_its_corpus(run: Run) -> None:
    model, vocabulary = generate.load(run)
    assert len(generate.write(model, vocabulary, "It was", 30)) == 36


def call(*arguments: str) -> subprocess.CompletedProcess[str]:
    return shell.run(ROOT / "scripts" / "generate.py", *arguments)


def test_the_program_writes(run: Run) -> None:
    options = ("prompt=It was ä", "length=20", "temperature=0.8", "seed=4", "num_samples=2")
    done = call(f"run={run.folder}", *options)
    assert done.returncode == 0
    model, vocabulary = generate.load(run)
    for seed in (4, 5):
        assert generate.write(model, vocabulary, "It was ä", 20, 0.8, seed=seed) in done.stdout
    assert done.stderr == "not seen in training, read as <unk>: ['ä']\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["lenght=3"], "unknown key lenght; did you mean 'length'?"),
        ([], "no run given; add run=<run>"),
        (["run=/missing"], "no run in /missing; give the folder that holds config.yaml"),
    ],
)
def test_the_program_refuses_in_one_line(arguments: list[str], message: str) -> None:
    done = call(*arguments)
    assert done.returncode == 2  # as of every program
    assert done.stderr == f"generate.py: {message}\n"


class Stop(Exception):
    pass


@pytest.mark.parametrize("model", ["lstm", pytest.param("transformer", marks=pytest.mark.slow)])
def test_resuming_inside_an_epoch_ends_with_identical_weights(
    tmp_path: Path, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped after 33 steps, in the second epoch of 21, and continued from step 30."""
    common = [f"model={model}", "callbacks.figures=null", "callbacks.checkpoints.every_n_steps=10"]
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    whole.mkdir()
    parts.mkdir()
    once = seq2seq.train(overrides(whole, *common))

    from seq2seq.tasks import Text

    batch = Text.batch

    def stop(self: Text, step: int, rank: int = 0, world_size: int = 1) -> tuple[Tensor, Tensor]:
        if step == 33:
            raise Stop("power cut")
        assert not self.contiguous or self.epoch == 21
        return batch(self, step, rank, world_size)

    with monkeypatch.context() as patch:
        patch.setattr(Text, "batch", stop)
        assert seq2seq.train(overrides(parts, *common)).status == "failed"
    twice = seq2seq.train(overrides(parts, *common))
    one, two = (load_checkpoint(r.checkpoints[0])["state_dict"] for r in (once, twice))
    assert one.keys() == two.keys()
    assert all(torch.equal(one[key], two[key]) for key in one)
    assert (once.history["loss"] == twice.history["loss"]).all()
    if model == "lstm":
        assert load_checkpoint(once.checkpoints[0])["carried"] is not None


def test_the_carried_state_matters(tmp_path: Path) -> None:
    """Against a loop by hand: the state goes on within an epoch and starts again with the next."""
    trained = seq2seq.train(overrides(tmp_path, "model=lstm", "callbacks.figures=null"))
    task, module = build(trained.config)
    model, state, losses = module.model, None, []
    optimizer = torch.optim.Adam(model.parameters(), 1e-3, fused=True)
    for step in range(40):
        if task.restarts(step):
            state = None
        x, y = task.batch(step)
        scores, state = model(x, state, return_state=True)
        state = tuple(part.detach() for part in state)
        loss = task.loss(scores, y)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        losses.append(float(loss.detach()))
    assert trained.history["loss"].tolist() == pytest.approx(losses, rel=1e-6)


def test_another_text_is_read_with_the_symbols_that_the_model_knows(
    run: Run, tmp_path: Path
) -> None:
    """Against its own losses, token by token; its own order of symbols is another."""
    other = "the worst season, the age of wisdom.\n" * 40
    (tmp_path / "other.txt").write_text(other)
    overrides = [f"task.path={tmp_path / 'other.txt'}", f"task.cache={tmp_path / 'cache'}"]
    allowed = [*overrides, f"allow=[{tmp_path}]"]
    with pytest.warns(UserWarning, match=r"not seen in training: \d+\.\d+% of the tokens"):
        found = evaluate(run, allowed)["test/loss"]
    model, vocabulary = generate.load(run)
    cut = round(len(other) * 0.95)
    tokens = torch.from_numpy(vocabulary.encode(other).astype("int64"))
    total = 0.0
    for start in range(cut, len(tokens), 8):
        stop = min(start + 8, len(tokens))
        with torch.no_grad():
            scores = model(tokens[None, stop - 17 : stop - 1])[0].double().log_softmax(-1)
        for position in range(start, stop):
            total -= float(scores[position - stop, tokens[position]])
    assert found == pytest.approx(total / (len(tokens) - cut), rel=1e-5)
    with pytest.warns(UserWarning, match="not seen"):  # from the cache
        assert evaluate(run, allowed)["test/loss"] == found
    with pytest.raises(ConfigError, match=r"trained with level=char, got level=word"):
        evaluate(run, [*allowed, "task.level=word"])


def test_a_text_outside_the_run_is_asked_for_or_allowed(run: Run, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"lies outside the run's folder; .* add allow=\[/"):
        evaluate(run)
