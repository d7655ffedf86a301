"""Models whose weights are set by hand solve their tasks, also far beyond the lengths they name."""

import pytest
import torch
from composed import composed

from seq2seq.build import build_model, build_task
from seq2seq.models.constructions import NoConstruction, construct

DELTA = ("model=deltanet", "model.eigenvalues=[-1,1]")
PARITY = ("task=parity", "task.length=[3,40]")
COPY = ("task=copy_memory", "task.T=20")
LONG_WORDS = {"length": 300}

#: Task, model, a longer problem, and how many numbers the model's state has.
CASES = [
    (("task=shift", "model=linear_rnn", "model.hidden_size=9"), {"length": 200}, 9),
    (("task=shift", "model=rnn", "model.cell=relu", "model.hidden_size=18"), {"length": 200}, 18),
    (
        ("task=shift", "task.channels=2", "model=linear_rnn", "model.num_layers=2"),
        {"length": 200},
        128,
    ),
    (("task=convolution", "task.filter=[1,-2,0,3]", "model=linear_rnn"), {"length": 200}, 64),
    (("task=reconstruct", "model=linear_rnn", "model.hidden_size=16"), {"length": 200}, 16),
    (("task=shift", "task.k=21", "model=tcn"), {"length": 200}, None),
    (("task=shift", "task.k=21", "model=tcn", "model.activation=linear"), {"length": 200}, None),
    (("task=shift", "task.k=15", "model=tcn_plain", "task.channels=2"), {"length": 200}, None),
    ((*COPY, "model=linear_rnn", "model.hidden_size=31"), {}, 31),
    ((*COPY, "model=rnn", "model.cell=relu", "task.supervise=answer"), {}, 64),
    ((*COPY, "model=tcn"), {}, None),
    ((*COPY, "model=orthogonal_rnn", "model.hidden_size=31"), {}, 31),
    (
        (*COPY, "model=orthogonal_rnn", "model.hidden_size=32", "model.parameterisation=cayley"),
        {},
        32,
    ),
    ((*PARITY, "model=rnn", "model.hidden_size=5"), LONG_WORDS, 5),
    ((*PARITY, "model=rnn", "model.hidden_size=4", "model.cell=relu"), LONG_WORDS, 4),
    ((*PARITY, "model=lstm", "model.hidden_size=5"), LONG_WORDS, 10),
    ((*PARITY, "model=gru", "model.hidden_size=5", "model.num_layers=3"), LONG_WORDS, 15),
    (("task=group_word", "task.group=S3", "model=lstm", "task.bos=true"), LONG_WORDS, 128),
    ((*PARITY, *DELTA, "model.hidden_size=8"), LONG_WORDS, 208),
    ((*PARITY, *DELTA, "model.conv=0", "model.norm=false"), LONG_WORDS, 1024),
    ((*PARITY, "model=gated_deltanet", DELTA[1], "model.num_layers=1"), LONG_WORDS, 800),
    ((*PARITY, "model=mingru", "model.hidden_size=5", DELTA[1]), LONG_WORDS, 10),
    ((*PARITY, "model=gla", DELTA[1]), LONG_WORDS, 1024),
    ((*PARITY, "model=gla", DELTA[1], "model.feature_map=elu", "model.conv=3"), LONG_WORDS, 1408),
    ((*PARITY, "model=mamba2", DELTA[1]), LONG_WORDS, 2 * (1024 + 3 * 96)),
    ((*PARITY, "model=mamba", DELTA[1], "model.num_layers=1"), LONG_WORDS, 64 * 19),
    (("task=adding", "model=rnn", "model.cell=relu", "model.hidden_size=2"), {"length": 300}, 2),
    ((*PARITY, "model=minlstm", "model.candidate=positive", DELTA[1]), LONG_WORDS, 64),
    (
        ("task=cycle_navigation", "task.places=7", "model=deltaproduct", "model.conv=0"),
        LONG_WORDS,
        1024,
    ),
    (
        ("task=group_word", "task.group=S3", "model=deltaproduct", "model.conv=0", "task.bos=true"),
        LONG_WORDS,
        1024,
    ),
    (
        (
            *("task=group_word", "task.group=S5", "model=deltaproduct", "model.conv=0"),
            *("model.householders=4", "model.num_layers=1", "model.key_dim=4"),
            *("model.value_dim=4", "model.num_heads=1"),
        ),
        LONG_WORDS,
        16,
    ),
    (
        (
            *("task=group_word", "task.group=S5", "task.inputs=swaps", *DELTA, "model.conv=0"),
            *("model.num_layers=1", "model.key_dim=4", "model.value_dim=4", "model.num_heads=1"),
        ),
        LONG_WORDS,
        16,
    ),
    (
        ("task=mqar", "task.K=8", "model=deltanet", "model.hidden_size=64", "model.num_layers=1"),
        {"length": 256},
        2048 + 3 * 192,
    ),
    (
        (
            *("task=mqar", "task.V=16", "task.overwritten=2", "task.passes=2"),
            *("task.fillers=random", "task.distinct=false", "model=deltanet", "model.num_heads=1"),
        ),
        {"length": 256},
        2 * (1024 + 3 * 96),
    ),
    (
        ("task=mqar", "task.V=16", "task.supervise=all", "model=deltanet", "model.num_layers=3"),
        {"length": 256},
        3 * (512 + 3 * 96),
    ),
]


def made(*overrides, dtype=torch.float64):
    cfg = composed(*overrides)
    task = build_task(cfg)
    return task, build_model(cfg.model, task).to(dtype)


def by_steps(model, x):
    state = model.initial_state(len(x), x.device, next(model.parameters()).dtype)
    outputs = []
    for x_t in x.unbind(1):
        output, state = model.step(x_t, state)
        outputs.append(output)
    return torch.stack(outputs, 1)


@pytest.mark.parametrize(("overrides", "longer", "numbers"), CASES)
@torch.no_grad()
def test_a_construction_is_exact_at_any_length(overrides, longer, numbers):
    task, model = made(*overrides)
    construct(model, task.machine)
    assert numbers in (None, model.state_size)
    for one in (task, task.changed(longer)):
        x, y = one.sample(8, torch.Generator().manual_seed(7))
        tokens = one.vocabulary_size is not None
        if not tokens:
            x = x.double()
            y = one.targets(x)
        for output in (model(x), by_steps(model, x)):
            if tokens:
                right, asked, *_ = one.counts(output, y).tolist()
                assert right == asked > 0
                assert float(one.loss(output, y)) < 1e-9
            else:
                assert float(one.loss(output, y) / y.square().mean()) < 1e-20


@pytest.mark.parametrize("index", [7, 10, 15, 20, 22, 24, 25, 30, 32, 34])
@torch.no_grad()
def test_in_the_precision_of_training_it_is_right_too(index):
    task, model = made(*CASES[index][0], dtype=torch.float32)
    construct(model, task.machine)
    one = task.changed(CASES[index][1])
    x, y = one.sample(8, torch.Generator().manual_seed(7))
    if one.vocabulary_size is None:
        assert torch.equal(model(x), y)
    else:
        right, asked, *_ = one.counts(model(x), y).tolist()
        assert right == asked


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (("task=shift", "model=linear_rnn", "model.hidden_size=8"), "model.hidden_size ≥ 9, got 8"),
        (("task=shift", "model=rnn"), "model.cell=linear or relu"),
        (("task=shift", "task.k=31", "model=tcn", "model.num_layers=3"), "31 steps back, got 28"),
        (("task=shift", "model=tcn", "model.hidden_size=9"), "model.hidden_size ≥ 10, got 9"),
        (("task=convolution", "task.filter=[1,1]", "model=tcn"), "a single lag"),
        ((*COPY, "model=orthogonal_rnn", "model.hidden_size=30"), "model.hidden_size ≥ 31"),
        ((*PARITY, "model=deltanet"), "model.eigenvalues=[-1,1]"),
        ((*PARITY, "model=mingru"), "model.eigenvalues=[-1,1]"),
        ((*PARITY, "model=mamba"), "model.eigenvalues=[-1,1]"),
        ((*PARITY, "model=mamba2"), "model.eigenvalues=[-1,1]"),
        ((*PARITY, "model=linear_attention", "model.normaliser=none"), "model.eigenvalues=[-1,1]"),
        (("task=adding", "model=rnn"), "model.cell=relu"),
        (("task=group_word", "model=mamba", DELTA[1]), "two states that alternate"),
        ((*PARITY, *DELTA, "task.tied=true"), "task.tied=false"),
        ((*PARITY, *DELTA, "model.hidden_size=4"), "model.hidden_size ≥ 6, got 4"),
        ((*PARITY, "model=transformer"), "of the kind Automaton is known for Transformer"),
        (("task=group_word", *DELTA, "model.conv=0"), "model.householders ≥ 2, got 1"),
        (("task=group_word", "model=deltaproduct"), "model.conv=0"),
        (("task=group_word", "task.group=A5", "model=lstm"), "model.hidden_size ≥ 3601, got 64"),
        (("task=mqar", "model=deltanet"), "model.key_dim ≥ 31, got 16"),
        (("task=mqar", "model=deltanet", "model.conv=0"), "model.conv ≥ 2"),
    ],
)
def test_where_none_is_known_it_says_what_is_missing(overrides, said):
    task, model = made(*overrides)
    with pytest.raises(NoConstruction) as raised:
        construct(model, task.machine)
    assert said in str(raised.value)
