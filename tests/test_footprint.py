"""What a job takes of the memory."""

import re
import time

import pytest
from composed import composed

from seq2seq import memory
from seq2seq.build import build, build_task
from seq2seq.footprint import footprint, kept_by
from seq2seq.models import RNN
from seq2seq.schema import ConfigError
from seq2seq.training import check


def config(overrides: str):
    return composed(*overrides.split())


@pytest.mark.parametrize(
    ("overrides", "named"),
    [
        ("task.train_size=10000000000000", "task.train_size=10000000000000"),
        ("task.val_size=1000000000000", "task.val_size=1000000000000"),
        ("task.batch_size=1000000000000", "task.batch_size=1000000000000"),
        ("task.online=true task.batch_size=1000000000000", "task.batch_size=1000000000000"),
        ("task.channels=1000000000", "task.channels=1000000000"),
        ("task.length=1000000000000", "task.length=1000000000000"),
        ("task=lorenz96 task.J=1000000000000", "task.J=1000000000000"),
        ("task=lorenz96 task.initial_state=zero task.length=500000", "task.length=500000"),
        ("model=rnn model.hidden_size=1000000000", "model.hidden_size=1000000000"),
        ("model=lstm model.hidden_size=1000000000", "model.hidden_size=1000000000"),
        ("model=tcn model.hidden_size=10000000000", "model.hidden_size=10000000000"),
        ("model=rnn model.num_layers=100000", "model.num_layers=100000"),
        ("model=transformer model.num_layers=100000", "model.num_layers=100000"),
        ("model=s4d model.num_layers=50000", "model.num_layers=50000"),
        ("model=tcn model.kernel_size=1000000000", "model.kernel_size=1000000000"),
    ],
)
def test_what_cannot_fit_is_refused_by_its_key_before_it_is_built(overrides, named, monkeypatch):
    monkeypatch.setattr(memory, "available", lambda: 8e9)
    cfg, start = config(overrides), time.process_time()
    with pytest.raises(ConfigError, match=rf"would take .* lower .*\b{named}\b"):
        check(cfg)
    assert time.process_time() - start < 5


@pytest.mark.parametrize(
    ("forward", "given"),
    [
        (lambda self, x: x[:, 1:], "(1, 31, 1)"),
        (lambda self, x: x[..., 0], "(1, 32)"),
        (lambda self, x: (x, None), "tuple"),
    ],
)
def test_an_output_of_another_shape_is_refused_before_training(forward, given, monkeypatch):
    monkeypatch.setattr(RNN, "forward", forward)
    message = re.escape(f"here (1, 32, 1), got {given}")
    with pytest.raises(ConfigError, match=f"forward must return .batch, time, .* {message}"):
        check(config("model=rnn"))


@pytest.mark.parametrize("model", ["rnn", "lstm", "tcn", "transformer", "s4d", "lru"])
def test_estimates_beyond_what_is_tried_out_are_near_the_truth(model):
    cfg = config(f"model={model} model.num_layers=5 task.length=300 task.batch_size=6")
    told = footprint(cfg, build_task(cfg))
    task, module = build(cfg)
    x, _ = task.sample(6, None)
    kept, _ = kept_by(lambda: module.model(x))
    assert told.parameters == 16 * sum(p.numel() for p in module.model.parameters())
    assert 0.7 * kept < told.step < 2 * kept


def test_what_is_there_is_positive_and_no_more_than_the_machine_has():
    assert 0 < memory.available() < 1e15
    assert memory.shown(1.5e9) == "1.5 GB"
