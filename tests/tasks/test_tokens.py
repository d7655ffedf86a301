"""Tasks of memory: what is asked where, by oracles of their own, and what guessing earns."""

import itertools
import math

import numpy as np
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import seq2seq
from seq2seq.evaluate import evaluate
from seq2seq.explorer.page import Refused
from seq2seq.explorer.trained import load
from seq2seq.models.tcn import TCN
from seq2seq.models.token import TokenModel
from seq2seq.tasks import (
    MQAR,
    Adding,
    BucketSort,
    CopyMemory,
    CycleNavigation,
    DuplicateString,
    Dyck,
    EvenPairs,
    GroupWord,
    Induction,
    ModularArithmetic,
    NgramLookup,
    Parity,
    ReverseString,
    SelectiveCopy,
)
from seq2seq.tasks.token import IGNORED
from seq2seq.theory import groups

MANY = 100_000

# ---------------------------------------------------------------------------------- the oracles
# Each is given a task and a sequence without its BOS, and tells the answers by their steps.


def strings(task, x):
    """The string before the first marker, and where that is."""
    end = x.index(task.alphabet)
    return x[:end], end


def copy_memory(task, x):
    said = [(task.T + task.S + i, x[i]) for i in range(task.S)]
    blanks = [(t, 0) for t in range(task.T + task.S)] if task.supervise == "all" else []
    return dict(blanks + said)


def selective_copy(task, x):
    said = [token for token in x[: x.index(task.A + 1)] if token < task.A]
    return {x.index(task.A + 1) + i: token for i, token in enumerate(said)}


def reverse(task, x):
    string, end = strings(task, x)
    return {end + i: token for i, token in enumerate(reversed(string))}


def duplicate(task, x):
    string, end = strings(task, x)
    return {end + i: token for i, token in enumerate(string * task.factor)}


def bucket_sort(task, x):
    string, end = strings(task, x)
    return {end + i: token for i, token in enumerate(sorted(string))}


def mqar(task, x):
    pairs, context = {}, 2 * (task.K * task.passes + task.overwritten)
    for t in range(0, context, 2):
        pairs[x[t]] = x[t + 1]
    said = {t: pairs[x[t]] for t in range(context, len(x), 2) if x[t] in pairs}
    return dict.fromkeys(range(len(x)), 0) | said if task.supervise == "all" else said


def induction(task, x):
    first, second = [t for t, token in enumerate(x) if token == task.V - 1]
    nothing = dict.fromkeys(range(second), task.V - 1) if task.supervise == "all" else {}
    return nothing | {second: x[first + 1]}


def ngram_lookup(task, x):
    bar = x.index(task.alphabet)
    parts = x[:bar], x[bar + 1 : -1]
    string, part = parts if task.order == "suffix" else parts[::-1]
    found = [i for i in range(len(string) - task.n) if string[i : i + task.n] == part]
    return {len(x) - 1: string[found[-1] + task.n]}


def modular_arithmetic(task, x):
    end = x.index(len(task.symbols) - 1)
    text = "".join(task.symbols[token] for token in x[:end])
    assert text.count("(") == text.count(")") == task.brackets * (sum(map(text.count, "+−×")) - 1)
    value = eval(text.replace("−", "-").replace("×", "*"))
    return {end: value % task.modulus}


def dyck(task, x):
    stack, answers, k = [], {}, task.kinds
    end = len(x)
    for t, token in enumerate(x):
        if token < k:
            stack.append(token)
        else:
            assert stack.pop() == token - k
        assert len(stack) <= task.depth
        legal = k + stack[-1] if stack else 2 * k
        if task.supervise == "all" or (t + 1 < end and x[t + 1] >= k):
            answers[t] = legal
    return answers


def of_prefixes(state, step):
    """The oracle of a state machine that answers with its state."""

    def oracle(task, x):
        answers, now = {}, state(task)
        for t, token in enumerate(x):
            now = step(task, now, token)
            answers[t] = now
        return answers if task.supervise == "all" else {t: now}

    return oracle


def even_pairs(task, x):
    unequal = [a != b for a, b in itertools.pairwise(x)]
    answers = {t: sum(unequal[:t]) % 2 for t in range(len(x))}
    return answers if task.supervise == "all" else {len(x) - 1: answers[len(x) - 1]}


def group_word(task, x):
    number = {p: i for i, p in enumerate(task.elements)}
    product, answers = task.elements[0], {}
    for t in range(0, len(x), task.tokens):
        one = task.elements[x[t]]
        assert x[t + 1 : t + task.tokens] == [len(number)] * (task.tokens - 1)
        product = tuple(one[place] for place in product)
        answers[t + task.tokens - 1] = number[product]
    last = len(x) - 1
    return answers if task.supervise == "all" else {last: answers[last]}


parity = of_prefixes(lambda task: 0, lambda task, now, bit: now ^ bit)
cycle = of_prefixes(
    lambda task: 0, lambda task, now, token: (now + (0, 1, -1)[token]) % task.places
)

#: Of each task a few forms: their oracle, the class, its arguments.
FORMS = {
    "copy_memory": (copy_memory, CopyMemory, {"S": 3, "A": 4, "T": 7}),
    "copy_memory answer": (copy_memory, CopyMemory, {"S": 2, "T": 1, "supervise": "answer"}),
    "selective_copy": (selective_copy, SelectiveCopy, {"length": 9, "S": 3, "A": 4}),
    "selective_copy drawn": (selective_copy, SelectiveCopy, {"length": [3, 9], "S": 3}),
    "reverse_string": (reverse, ReverseString, {"length": [1, 6], "alphabet": 3}),
    "duplicate_string": (duplicate, DuplicateString, {"length": [2, 5], "alphabet": 3}),
    "duplicate_string once": (duplicate, DuplicateString, {"length": 5, "factor": 1}),
    "bucket_sort": (bucket_sort, BucketSort, {"length": [1, 7], "alphabet": 4}),
    "mqar": (mqar, MQAR, {"V": 16, "K": 4, "length": 24}),
    "mqar random": (mqar, MQAR, {"V": 16, "K": 4, "length": 26, "fillers": "random"}),
    "mqar overwritten": (mqar, MQAR, {"V": 20, "K": 3, "length": 24, "overwritten": 2}),
    "mqar passes": (mqar, MQAR, {"V": 8, "K": 3, "length": 20, "passes": 2, "distinct": False}),
    "mqar all": (
        mqar,
        MQAR,
        {"V": 12, "K": 3, "length": 24, "overwritten": 1, "fillers": "random", "supervise": "all"},
    ),
    "induction all": (induction, Induction, {"length": [3, 9], "V": 5, "supervise": "all"}),
    "induction": (induction, Induction, {"length": [3, 12], "V": 5}),
    "ngram_lookup": (ngram_lookup, NgramLookup, {"length": [4, 12], "n": 2, "alphabet": 3}),
    "ngram_lookup prefix": (ngram_lookup, NgramLookup, {"length": [3, 9], "order": "prefix"}),
    "modular_arithmetic": (modular_arithmetic, ModularArithmetic, {"length": 9}),
    "modular_arithmetic drawn": (modular_arithmetic, ModularArithmetic, {"length": [1, 12]}),
    "brackets": (modular_arithmetic, ModularArithmetic, {"length": 15, "brackets": True}),
    "brackets drawn": (
        modular_arithmetic,
        ModularArithmetic,
        {"length": [2, 20], "brackets": True, "modulus": 3, "bos": True},
    ),
    "parity": (parity, Parity, {"length": 9}),
    "parity drawn": (parity, Parity, {"length": [1, 7], "bos": True}),
    "parity all": (parity, Parity, {"length": [3, 6], "supervise": "all"}),
    "cycle_navigation": (cycle, CycleNavigation, {"length": [2, 6], "supervise": "all"}),
    "cycle_navigation of 2": (cycle, CycleNavigation, {"length": 4, "places": 2}),
    "even_pairs": (even_pairs, EvenPairs, {"length": [1, 8], "supervise": "all"}),
    "even_pairs answer": (even_pairs, EvenPairs, {"length": 8}),
    "dyck": (dyck, Dyck, {"length": [5, 12], "depth": 3}),
    "dyck answer": (dyck, Dyck, {"length": [3, 9], "depth": 2, "supervise": "answer"}),
    "dyck of 5": (dyck, Dyck, {"length": 9, "kinds": 5, "depth": 1}),
    "group_word": (group_word, GroupWord, {"length": 9, "bos": True}),
    "group_word D4": (group_word, GroupWord, {"group": "D4", "length": [2, 7]}),
    "group_word S4": (group_word, GroupWord, {"group": "S4", "length": 8, "inputs": "generators"}),
    "group_word S5": (group_word, GroupWord, {"group": "S5", "length": 4, "inputs": "swaps"}),
    "group_word A5": (group_word, GroupWord, {"group": "A5", "length": 6, "inputs": 13}),
    "group_word tokens": (
        group_word,
        GroupWord,
        {"group": "A4", "length": [1, 4], "tokens": 3, "supervise": "answer"},
    ),
}


def make(name, **more):
    _, kind, arguments = FORMS[name]
    return kind(**arguments | more)


def draw(task, n, seed=0):
    return task.sample(n, torch.Generator().manual_seed(seed))


def words(task, x, y):
    """Sequences without BOS and padding, as lists, with the first step of each."""
    first = int(task.bos)
    if first:
        assert (x[:, 0] == len(task.symbols)).all()
        assert (y[:, 0] == IGNORED).all()
    return [row[first:stop] for row, stop in zip(x.tolist(), steps_asked(y).tolist(), strict=True)]


def steps_asked(y):
    """How many steps there are up to what is asked last, (n,)."""
    return y.shape[1] - (y != IGNORED).int().flip(1).argmax(1)


@pytest.mark.parametrize("name", FORMS)
def test_answers_are_those_of_an_oracle_and_asked_nowhere_else(name):
    oracle, task = FORMS[name][0], make(name)
    x, y = draw(task, 10_000)
    found = words(task, x, y)
    assert x.shape == y.shape == (10_000, task.length)
    assert x.dtype == y.dtype == torch.int64
    assert 0 <= x.min() <= x.max() < task.vocabulary_size
    expected = [[IGNORED] * task.length for _ in found]
    ends_itself = isinstance(task, Dyck) and task.supervise == "answer"
    lasts = y.amax(1) if not ends_itself else y.gather(1, steps_asked(y)[:, None] - 1)
    for row, word, last in zip(expected, found, lasts.flatten().tolist(), strict=True):
        if ends_itself:  # what comes next closes what the answer says
            word = [*word, int(last)]
        for t, answer in oracle(task, word).items():
            row[t + task.bos] = answer
    assert torch.equal(y, torch.tensor(expected))
    assert 0 < task.memory < task.length
    if task.lengths[0] < task.lengths[1] and not ends_itself and name != "group_word tokens":
        ends = task.bos + torch.tensor([len(word) for word in found])[:, None]
        assert not x[torch.arange(task.length) >= ends].any(), "padded with zeros"


@pytest.mark.parametrize("name", FORMS)
def test_problems_are_drawn_by_the_seed_alone(name):
    one, two, other = make(name), make(name), make(name, seed=1)
    two.batch(40)  # in any order
    assert all(map(torch.equal, one.batch(3), two.batch(3)))
    shares = [two.batch(3, rank, 2)[1] for rank in range(2)]
    assert torch.equal(torch.cat(shares), one.batch(3)[1])
    assert all(map(torch.equal, one.split("val"), two.split("val")))
    assert not torch.equal(one.batch(3)[0], other.batch(3)[0])
    assert not torch.equal(one.batch(3)[0], one.batch(4)[0])
    stored = make(name, online=False, train_size=64)
    first, second = (torch.cat([stored.batch(step)[0] for step in steps]) for steps in ([0], [1]))
    assert torch.equal(first.unique(dim=0), second.unique(dim=0))


@pytest.mark.parametrize("name", FORMS)
def test_lengths_are_drawn_evenly(name):
    task = make(name)
    low, high = task.lengths
    drawn = task.draw_lengths(20_000, torch.Generator().manual_seed(0))
    counts = drawn.flatten().bincount(minlength=high + 1)[low:]
    assert counts.sum() == 20_000
    assert (counts - counts.float().mean()).abs().max() < 5 * counts.float().mean().sqrt()


# -------------------------------------------------------------------------------- the references


def simulated(known, y, answers):
    """The losses and hits of the best answer to what is `known`, asked for y, (n,) each.

    `known` are whole numbers; the best answer is read off the sequences themselves.
    """
    size = answers * (int(known.max()) + 1)
    counts = np.bincount(known * answers + y, minlength=size).reshape(-1, answers)
    share = counts / counts.sum(1, keepdims=True).clip(1)
    return -np.log(share[known, y]), counts.argmax(1)[known] == y


@pytest.mark.parametrize("name", FORMS)
def test_references_are_reached_by_simulated_predictors(name):
    task = make(name)
    x, y = draw(task, MANY // 4 if task.length > 12 else MANY)
    rows, times = (y != IGNORED).nonzero(as_tuple=True)
    tokens, asked = x[rows, times].numpy(), y[rows, times].numpy()
    guesses = task.guesses
    assert {"uniform", "memoryless", "floor"} <= set(guesses)
    known = {"memoryless": tokens}
    if isinstance(task, CopyMemory):  # which knows the time
        known = {"memoryless": times.numpy()}
    if isinstance(task, BucketSort):
        place = times.numpy() - (x == task.alphabet).int().argmax(1)[rows].numpy()
        length = (x == task.alphabet).sum(1)[rows].numpy()
        known["place"] = place + 100 * length
    parts = len(np.unique(rows.numpy()))
    for key, what in known.items():
        losses, hits = simulated(what, asked, task.vocabulary_size)
        for name, values, exact in zip(("loss", "hit"), (losses, hits), guesses[key], strict=True):
            # Of one sequence the answers may depend on each other.
            spread = values.std() / math.sqrt(parts) + 2e-3
            assert abs(values.mean() - exact) < 4 * spread, (key, name, values.mean(), exact)
    assert guesses["uniform"].loss == pytest.approx(math.log(task.answers))
    assert len(np.unique(asked)) == task.answers
    assert guesses["memoryless"].loss <= guesses["uniform"].loss + 1e-9
    assert task.reference_names == tuple(task.reference_losses())
    assert set(task.references()) >= {"reference/memoryless", "reference_accuracy/memoryless"}


@pytest.mark.parametrize("distinct", [True, False])
def test_guessing_among_the_values_of_the_context(distinct):
    task = MQAR(V=12, K=4, length=24, distinct=distinct)
    x, y = draw(task, MANY)
    values = x[:, 1:8:2]
    asked = y[y != IGNORED].view(-1, 4)[:, :1]
    share = (values == asked).double().mean(1)
    for drawn, exact in zip((-share.log(), share), task.guesses["in_context"], strict=True):
        assert abs(drawn.mean() - exact) < 4 * drawn.std() / math.sqrt(MANY) + 1e-9


def test_guessing_among_the_symbols_of_the_sequence():
    task = Induction(length=[3, 8], V=4)
    x, y = draw(task, MANY)
    length = 1 + (y != IGNORED).int().argmax(1, keepdim=True)
    inside = (torch.arange(8) < length) & (x != 3)
    share = ((x == y.amax(1, keepdim=True)) & inside).sum(1) / inside.sum(1)
    for drawn, exact in zip((-share.log(), share), task.guesses["in_context"], strict=True):
        assert abs(drawn.mean() - exact) < 4 * drawn.std() / math.sqrt(MANY)


def test_an_ngram_model_fitted_in_context():
    task = NgramLookup(length=[4, 12], n=1, alphabet=3)
    x, _ = draw(task, 4000, seed=7)
    losses, shares = [], []
    for word in x.tolist():
        bar = word.index(3)
        string, part = word[:bar], word[bar + 1]
        followers = [b for a, b in itertools.pairwise(string) if a == part]
        shares.append(followers.count(followers[-1]) / len(followers))
        losses.append(-math.log(shares[-1]))
    for drawn, told in zip((losses, shares), task.guesses["in_context"], strict=True):
        assert abs(np.mean(drawn) - told) < 4 * np.std(drawn) * math.sqrt(2 / 4000)


@pytest.mark.parametrize(
    ("supervise", "lengths", "asks"),
    [("answer", 6, True), ("all", [3, 6], False), ("all", 6, True), ("answer", [3, 6], False)],
)
def test_a_task_knows_whether_it_asks_at_the_last_step(supervise, lengths, asks):
    assert Parity(length=lengths, supervise=supervise).asks_at_end is asks


def test_the_published_baseline_of_copy_memory():
    published = {
        50: 0.29706,
        100: 0.17329,
        200: 0.09452,
        500: 0.03999,
        1000: 0.02039,
        2000: 0.01029,
    }
    for T, loss in published.items():
        assert CopyMemory(T=T).reference_losses()["memoryless"] == pytest.approx(loss, abs=5e-6)
    answer = CopyMemory(supervise="answer").guesses
    assert answer["memoryless"] == (pytest.approx(math.log(8)), 1 / 8)


def test_queries_come_early_with_the_published_weights():
    task = MQAR(V=64, K=1, length=18)
    _, y = draw(task, MANY)
    gaps = ((y != IGNORED).int().argmax(1) - 2) // 2
    weights = np.arange(1, 9) ** -0.99
    expected = MANY * weights / weights.sum()
    chi = ((gaps.bincount(minlength=8).numpy() - expected) ** 2 / expected).sum()
    assert chi < 30  # of 7 degrees of freedom
    x, _ = draw(MQAR(V=16, K=4, length=32, fillers="random"), 5000)
    keys = x[:, :8:2]
    assert ((x[:, 8:, None] == keys[:, None]).sum((1, 2)) == 4).all(), "no filler is a key"
    x, _ = draw(MQAR(V=16, K=4, length=32, fillers="colliding"), 5000)
    assert ((x[:, 8:, None] == x[:, None, :8:2]).sum((1, 2)) > 4).float().mean() > 0.9


# ------------------------------------------------------------------------------------- scoring


def test_scores_count_what_is_asked():
    task = Parity(length=3, supervise="all")
    y = torch.tensor([[0, 1, IGNORED], [1, 1, IGNORED], [IGNORED] * 3])
    output = torch.nn.functional.one_hot(torch.tensor([[0, 1, 0], [1, 0, 1], [0, 0, 0]]), 2).float()
    counts = task.counts(output, y)
    assert counts.tolist() == [3, 4, 1, 2]
    assert task.scores(counts.tolist()) == {"accuracy": 0.75, "exact": 0.5, "scaled": 0.5}
    assert task.scores([1, 4, 0, 2])["scaled"] == 0
    asked = output[y != IGNORED], y[y != IGNORED]
    torch.testing.assert_close(
        task.loss(output, y), torch.nn.functional.cross_entropy(*asked), rtol=1e-6, atol=0
    )


@pytest.mark.parametrize("marks", ["anywhere", "halves"])
def test_adding(marks):
    task = Adding(length=7, marks=marks, train_size=9, val_size=3, test_size=3)
    x, y = draw(task, MANY)
    assert y.shape == (MANY, 1, 1)
    assert (x[..., 1].sum(1) == 2).all()
    oracle = [sum(u for u, mark in row if mark == 1) for row in x[:2000].tolist()]
    torch.testing.assert_close(y[:2000, 0, 0], torch.tensor(oracle))
    if marks == "halves":
        assert (x[:, :3, 1].sum(1) == 1).all()
    else:
        first, second = x[..., 1].nonzero()[:, 1].view(-1, 2).T
        pairs = (7 * first + second).bincount()
        assert (pairs > 0).sum() == 21
        assert (pairs[pairs > 0] - MANY / 21).abs().max() < 5 * math.sqrt(MANY / 21)
    for name, constant in (("zero", 0.0), ("memoryless", 1.0)):
        errors = (y.double() - constant).square()
        exact = task.reference_losses()[name]
        assert abs(errors.mean() - exact) < 4 * errors.std() / math.sqrt(MANY)
    output = torch.rand(5, 7, 1)
    assert task.loss(output, y[:5]) == (output[:, -1] - y[:5, 0]).square().mean()
    assert all(map(torch.equal, task.batch(1), Adding(length=7, marks=marks).batch(1)))


# -------------------------------------------------------------------------------------- groups


@pytest.mark.parametrize(
    ("name", "order", "abelian"),
    [
        ("Z2", 2, True),
        ("Z60", 60, True),
        ("S3", 6, False),
        ("D3", 6, False),
        ("D5", 10, False),
        ("S4", 24, False),
        ("A4", 12, False),
        ("A4xZ5", 60, False),
        ("A5", 60, False),
        ("S5", 120, False),
    ],
)
def test_groups_are_closed_and_of_their_order(name, order, abelian):
    elements = groups.group(name)
    assert len(set(elements)) == order
    assert elements[0] == tuple(range(len(elements[0])))
    table = groups.table(elements)
    assert (np.sort(table, 0) == np.arange(order)[:, None]).all()
    assert (np.sort(table, 1) == np.arange(order)).all()
    assert (table == table.T).all() == abelian
    a, b = order - 1, order // 2
    assert elements[table[a, b]] == tuple(elements[a][place] for place in elements[b])


# ------------------------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("kind", "arguments", "message"),
    [
        (CopyMemory, {"A": 1}, "task.A must be at least 2, got A=1"),
        (CopyMemory, {"T": 0}, "task.T must be at least 1"),
        (SelectiveCopy, {"S": 9, "length": 8}, "S must be at most length, got S=9, length=8"),
        (ReverseString, {"alphabet": 0}, "task.alphabet must be at least 2"),
        (DuplicateString, {"factor": 0}, "task.factor must be at least 1"),
        (MQAR, {"K": 32}, "K must leave a key for each"),
        (MQAR, {"K": 8, "length": 30}, "set task.length=32"),
        (MQAR, {"V": 63}, "task.V must be even"),
        (MQAR, {"overwritten": 5}, "task.overwritten must be at most K=4"),
        (Induction, {"length": [2, 5]}, "task.length must be at least 3"),
        (NgramLookup, {"n": 20}, "n must be smaller than length, got n=20, length=20"),
        (ModularArithmetic, {"length": 8}, "task.length must be odd"),
        (ModularArithmetic, {"length": 9, "brackets": True}, "set task.length=11"),
        (ModularArithmetic, {"modulus": 1}, "task.modulus must be at least 2"),
        (Dyck, {"length": 4}, "depth must be smaller than length, got depth=4, length=4"),
        (Dyck, {"kinds": 1}, "task.kinds must be at least 2"),
        (GroupWord, {"group": "M11"}, "task.group 'M11' is not known"),
        (GroupWord, {"group": "S7"}, "task.group S7 has more than 1000 elements"),
        (GroupWord, {"group": "Z1"}, "task.group must have two elements or more"),
        (GroupWord, {"group": "Z5", "inputs": "swaps"}, "task.inputs must leave more"),
        (GroupWord, {"inputs": 7}, "task.inputs must be at most the 6 elements of S3"),
        (GroupWord, {"inputs": 1}, "task.inputs must be at least 2"),
        (CycleNavigation, {"places": 1}, "task.places must be at least 2"),
        (Parity, {"length": [5, 3]}, "be \\[least, most\\], got length=\\[5, 3\\]"),
        (Parity, {"length": [3, 4, 5]}, "be a whole number or \\[least, most\\]"),
        (Parity, {"length": 0}, "task.length must be at least 1"),
        (Parity, {"supervise": "last"}, "task.supervise must be one of answer, all"),
        (Parity, {"embedding_size": 0}, "task.embedding_size must be at least 1"),
        (Adding, {"length": 1}, "task.length must be at least 2"),
        (Adding, {"marks": "both"}, "task.marks must be one of anywhere, halves"),
    ],
)
def test_bad_parameters_are_refused(kind, arguments, message):
    with pytest.raises(ValueError, match=message):
        kind(**arguments)


# ------------------------------------------------------------------------------- whole programs


def test_a_model_learns_is_drawn_and_tested_at_other_lengths(tmp_path):
    overrides = ["task=parity", "task.length=[1,3]", "model=rnn", "model.hidden_size=16"]
    overrides += ["optimizer.lr=0.02", "trainer.max_steps=300", "trainer.val_check_interval=300"]
    overrides += ["task.val_size=200", "task.test_size=200", f"paths.outputs={tmp_path}"]
    run = seq2seq.train(overrides)
    result = run.result
    assert result["test/accuracy"] == result["test/exact"] == result["test/scaled"] == 1
    assert result["reference/memoryless"] == pytest.approx(math.log(3) - math.log(4) / 3)
    assert result["reference_accuracy/memoryless"] == pytest.approx(2 / 3), "one bit is all"
    boards = [EventAccumulator(str(path)).Reload() for path in run.folder.rglob("events.out.*")]
    shown = {
        tag for board in boards for kind in ("images", "scalars") for tag in board.Tags()[kind]
    }
    assert {"view/answers", "val/accuracy", "val/exact", "val/scaled"} <= shown
    longer = evaluate(run, ["task.length=3"])
    assert longer["test/accuracy"] == 1
    assert evaluate(run, ["task.length=[1,3]"])["test/loss"] == result["test/loss"]
    with pytest.raises(Refused, match="its answers are no curves"):
        load(run)


def test_outputs_do_not_depend_on_the_padding():
    task = Parity(length=[2, 12], bos=True)
    model = TokenModel(TCN(8, task.vocabulary_size, hidden_size=8), task.vocabulary_size)
    x, y = draw(task, 50)
    filled = torch.where(y.flip(1).ne(IGNORED).cumsum(1).flip(1) > 0, x, 1)
    assert not torch.equal(filled, x)
    one, two = (task.loss(model(part), y) for part in (x, filled))
    assert one == two


def test_signs_in_brackets_are_worked_out_in_every_order():
    task = ModularArithmetic(length=15, brackets=True)
    x, _ = draw(task, 24_000)
    shapes = (x * (x > 7)).unique(dim=0, return_counts=True)[1]
    # Of 24 orders of four signs each shape, one of 14 trees, has as many as its heaps.
    assert len(shapes) == 14
    orders = torch.tensor([1, 1, 1, 1, 1, 1, 1, 1, 2, 2, 3, 3, 3, 3])
    assert ((shapes.sort().values - 1000 * orders).abs() < 5 * (1000 * orders).sqrt()).all()
